"""The columns of user_sessions, as the peers' programs need them."""

COLUMNS = (
    "person_name", "user_name", "email", "personal_number", "birth_date", "address", "phone_number", "mac_address",
    "ip_address", "iban", "accessed_at", "session_duration", "download_speed", "upload_speed", "consumed_traffic",
    "unique_id",
)
TABLE = "streaming_layer.streaming_data"
