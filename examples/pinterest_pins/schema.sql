-- Whose the subscriptions are: a role of their own, which may log in (a worker
-- connects as the owner) and do no more than it needs.
CREATE ROLE pinterest LOGIN;
CREATE SCHEMA pinterest AUTHORIZATION pinterest;
SET ROLE pinterest;

-- What the files in S3 were: the messages as they came, by the day (UTC) on
-- which Kafka got them.
CREATE TABLE pinterest.raw_pins (
    received_at        timestamptz NOT NULL,
    message_partition  int NOT NULL,
    message_offset     bigint NOT NULL,
    pin                jsonb NOT NULL
) PARTITION BY RANGE (received_at);

-- what has no day of its own yet; no message is refused for that
CREATE TABLE pinterest.raw_pins_default PARTITION OF pinterest.raw_pins DEFAULT;

CREATE FUNCTION pinterest.add_days(first date, days int) RETURNS void
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
BEGIN
    FOR i IN 0 .. days - 1 LOOP
        EXECUTE format('CREATE TABLE IF NOT EXISTS pinterest.%I PARTITION OF pinterest.raw_pins
                            FOR VALUES FROM (%L) TO (%L)',
                       'raw_pins_' || to_char(first + i, 'YYYYMMDD'),
                       (first + i)::timestamptz, (first + i + 1)::timestamptz);
    END LOOP;
END
$$;

SELECT pinterest.add_days((now() AT TIME ZONE 'UTC')::date, 7);

-- The clean pins: of the daily job, and as they arrive.
CREATE TABLE pinterest.pins (
    unique_id          uuid PRIMARY KEY,
    index_id           int,
    title              text,
    category           text,
    description        text,
    follower_count     int,
    tag_list           text,
    is_image_or_video  text,
    image_src          text,
    downloaded         int,
    save_location      text
);
CREATE TABLE pinterest.experimental_streaming (LIKE pinterest.pins INCLUDING ALL);

-- The rules, in one place; the planner puts the body where it is called.  A
-- pin that they do not fit is an error: a dead letter where it streams.
CREATE FUNCTION pinterest.clean(pin jsonb) RETURNS SETOF pinterest.pins
LANGUAGE sql STABLE AS $$
    SELECT (pin->>'unique_id')::uuid,
           (pin->>'index')::int,
           nullif(pin->>'title', 'No Title Data Available'),
           pin->>'category',
           CASE WHEN pin->>'description' NOT IN ('No description available',
                                                 'No description available Story format')
                THEN pin->>'description' END,
           replace(replace(nullif(pin->>'follower_count', 'User Info Error'),
                           'k', 'e3'), 'M', 'e6')::numeric::int,
           nullif(pin->>'tag_list', 'N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e'),
           pin->>'is_image_or_video',
           nullif(pin->>'image_src', 'Image src error.'),
           (pin->>'downloaded')::int,
           pin->>'save_location'
$$;

RESET ROLE;
