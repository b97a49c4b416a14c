--
-- Steering a subscription: skip, wait_for_offset, rate_limit, published offsets
--
\set VERBOSITY terse
CREATE EXTENSION stream_ingest;
\getenv bootstrap STREAM_INGEST_BOOTSTRAP
CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'bootstrap');
\! test/mock_broker -c create steering 1
CREATE TABLE steered (id integer PRIMARY KEY);
\! printf '{"id": 1}\n{"id": "two"}\n{"id": 3}\n{"id": 4}\n' | test/produce -t steering -p 0 >/dev/null

-- a bad message stops it; skipped, it lies among the dead letters, and on
SELECT stream_ingest.create_subscription('si_steering', 'kafka', 'steering', 'steered',
    options => '{"on_error": "stop", "rate_limit": 1000, "group_id": "stream_ingest.contrib_regression.steering"}');
SELECT stream_ingest.wait_for_offset('si_steering', 0, 0);
DO $$
BEGIN
    FOR i IN 1 .. 1000 LOOP
        EXIT WHEN (SELECT state = 'stopped' FROM stream_ingest.status);
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
SELECT state, reason FROM stream_ingest.status;
SELECT stream_ingest.wait_for_offset('si_steering', 0, 1, '0');
SELECT stream_ingest.skip('si_steering', 0, 1);
SELECT stream_ingest.wait_for_offset('si_steering', 0, 3);
SELECT * FROM steered ORDER BY id;
SELECT partition, message_offset, sqlstate, error, convert_from(value, 'UTF8') AS value
  FROM stream_ingest.dead_letters;
SELECT messages, applied, ignored, dead_letters FROM stream_ingest.counts;
SELECT settings ->> 'rate_limit' AS rate_limit, settings ->> 'group_id' AS group_id
  FROM stream_ingest.subscriptions;

-- a good one is skipped as well; after a backward seek it comes in
\! printf '{"id": 5}\n{"id": 6}\n' | test/produce -t steering -p 0 >/dev/null
SELECT stream_ingest.wait_for_offset('si_steering', 0, 5);
SELECT stream_ingest.disable('si_steering');
TRUNCATE steered;
SELECT stream_ingest.seek('si_steering', 0, 2);
SELECT stream_ingest.skip('si_steering', 0, 6);
SELECT stream_ingest.enable('si_steering');
\! printf '{"id": 7}\n{"id": 8}\n' | test/produce -t steering -p 0 >/dev/null
SELECT stream_ingest.wait_for_offset('si_steering', 0, 7);
SELECT * FROM steered ORDER BY id;
SELECT messages, applied, ignored, dead_letters FROM stream_ingest.counts;
SELECT stream_ingest.retry_dead_letters('si_steering', 0, 6, 7);
SELECT max(id) AS newest, count(*) FROM steered;

-- mistakes
SELECT stream_ingest.skip('si_steering', 0, 1);
SELECT stream_ingest.skip('si_steering', 5, 100);
SELECT stream_ingest.skip('si_steering', -1, 100);
SELECT stream_ingest.skip('si_steering', 0, -1);
SELECT stream_ingest.skip('nobody', 0, 1);
SELECT stream_ingest.wait_for_offset('nobody', 0, 1, '0');
SELECT stream_ingest.wait_for_offset('si_steering', 0, 100, '10 ms');

SELECT stream_ingest.drop_subscription('si_steering');
DROP TABLE steered;
DROP EXTENSION stream_ingest CASCADE;
