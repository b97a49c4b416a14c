-- Waits until the state of a subscription, with ": " and its reason if it has one, is LIKE that.
-- For SQL tests, which run in the top directory of the sources.
CREATE PROCEDURE await(subscription name, what text) LANGUAGE plpgsql AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + interval '60 s';
BEGIN
    WHILE NOT EXISTS (SELECT FROM stream_ingest.status WHERE name = subscription AND concat_ws(': ', state, reason) LIKE what) LOOP
        IF clock_timestamp() > deadline THEN
            RAISE WARNING 'waited in vain: %', (SELECT row(state, reason, last_error) FROM stream_ingest.status s WHERE s.name = subscription);
            EXIT;
        END IF;
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
