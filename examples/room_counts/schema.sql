-- Whose the subscriptions are: a role of their own, which may log in (a worker
-- connects as the owner) and do no more than it needs.
CREATE ROLE rooms LOGIN;
CREATE SCHEMA rooms AUTHORIZATION rooms;
SET ROLE rooms;

-- "reckoning": the sum of each room's counts
CREATE TABLE rooms.room_counts (
    room   text PRIMARY KEY,
    count  bigint NOT NULL
);

-- "coldstorage": the messages as they came (json keeps every character, which
-- jsonb would not), by the day of the observation
CREATE TABLE rooms.coldstorage (
    observed_at        timestamptz NOT NULL,
    message_partition  int NOT NULL,
    message_offset     bigint NOT NULL,
    message            json NOT NULL
) PARTITION BY RANGE (observed_at);

-- what has no day of its own yet; no message is refused for that
CREATE TABLE rooms.coldstorage_default PARTITION OF rooms.coldstorage DEFAULT;

-- The partitions of so many days.  A scheduler calls it ahead of time; days
-- are those of UTC in every session.
CREATE FUNCTION rooms.add_days(first date, days int) RETURNS void
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
BEGIN
    FOR i IN 0 .. days - 1 LOOP
        EXECUTE format('CREATE TABLE IF NOT EXISTS rooms.%I PARTITION OF rooms.coldstorage
                            FOR VALUES FROM (%L) TO (%L)',
                       'coldstorage_' || to_char(first + i, 'YYYYMMDD'),
                       (first + i)::timestamptz, (first + i + 1)::timestamptz);
    END LOOP;
END
$$;

SELECT rooms.add_days('2024-02-05', 7);

RESET ROLE;
