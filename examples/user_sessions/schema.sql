-- Where the sessions go: better types than varchar, and the same messages fit.
CREATE SCHEMA streaming_layer;

CREATE TABLE streaming_layer.streaming_data (
    person_name       text NOT NULL,
    user_name         text NOT NULL,
    email             text NOT NULL,
    personal_number   bigint NOT NULL,
    birth_date        date NOT NULL,
    address           text NOT NULL,
    phone_number      text NOT NULL,
    mac_address       macaddr NOT NULL,
    ip_address        inet NOT NULL,
    iban              text NOT NULL,
    accessed_at       timestamp NOT NULL,
    session_duration  int NOT NULL CHECK (session_duration >= 0),
    download_speed    int NOT NULL,
    upload_speed      int NOT NULL,
    consumed_traffic  int NOT NULL,
    unique_id         uuid PRIMARY KEY
);
