--
-- Runs that end by themselves: the option stop_at and the state finished
--
\set VERBOSITY terse
CREATE EXTENSION stream_ingest;
\getenv bootstrap STREAM_INGEST_BOOTSTRAP
CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'bootstrap');
CREATE TABLE stopped (id integer, payload text, part integer, pos bigint);

-- Wait for a state, and then until no slot is left.
CREATE PROCEDURE wait_for_state(subscription name, wanted text) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        IF (SELECT bool_and(s.state = wanted AND (s.worker IS NULL OR wanted NOT IN ('finished', 'stopped')))
              FROM stream_ingest.status s WHERE s.name = subscription) THEN
            RETURN;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RAISE EXCEPTION 'it is %', (SELECT string_agg(s.state || ': ' || coalesce(s.reason, ''), '; ')
                                  FROM stream_ingest.status s WHERE s.name = subscription);
END $$;
CREATE VIEW run AS
    SELECT s.name, o.partition, o.next_offset, p.stop_offset
      FROM stream_ingest.subscription s
      JOIN stream_ingest.offsets o ON o.name = s.name
      JOIN stream_ingest.progress p ON p.subscription = s.id AND p.partition = o.partition;

--
-- latest: what is there, and no more
--
\! test/mock_broker -c create stop_at_a 3
\! test/produce -t stop_at_a -p 0 -n 10 >/dev/null
\! test/produce -t stop_at_a -p 1 -n 5 -i 100 >/dev/null
SELECT stream_ingest.create_subscription('si_stop', 'kafka', 'stop_at_a', 'stopped',
    mapping => '{"part": "$partition", "pos": "$offset"}',
    options => '{"stop_at": "latest", "workers": 2, "batch_size": 3}');
CALL wait_for_state('si_stop', 'finished');
SELECT part, count(*), min(pos), max(pos) FROM stopped GROUP BY part ORDER BY part;
SELECT partition, next_offset, stop_offset FROM run ORDER BY partition;
SELECT worker, pid, state, reason, since > now() - interval '1 hour' AS fresh,
       last_error, catch_up_in
  FROM stream_ingest.status;
SELECT messages, applied, ignored, dead_letters FROM stream_ingest.counts;
SELECT enabled, options -> 'stop_at' AS option, settings -> 'stop_at' AS setting
  FROM stream_ingest.subscriptions;
SELECT count(*) FROM pg_stat_activity
 WHERE backend_type = 'stream_ingest worker' AND datname = current_database();

-- it does not move, and who waits for it is told at once
\! test/produce -t stop_at_a -p 0 -n 3 -i 10 >/dev/null
SELECT stream_ingest.wait_for_offset('si_stop', 0, 9, '1 hour');
SELECT stream_ingest.wait_for_offset('si_stop', 0, 10, '1 hour');
SELECT stream_ingest.wait_until_caught_up('si_stop', '1 hour');
SELECT count(*) FROM stopped;

-- the next run takes what has come since
SELECT stream_ingest.enable('si_stop');
SELECT stream_ingest.wait_until_caught_up('si_stop', '1 min');
CALL wait_for_state('si_stop', 'finished');
SELECT partition, next_offset, stop_offset FROM run ORDER BY partition;
SELECT count(*), count(DISTINCT (part, pos)) FROM stopped;

-- other changes do not start it
SELECT stream_ingest.alter_subscription('si_stop', options => '{"batch_size": 100}');
SELECT state FROM stream_ingest.status;
SELECT stream_ingest.disable('si_stop');
SELECT state FROM stream_ingest.status;
SELECT stream_ingest.enable('si_stop');
CALL wait_for_state('si_stop', 'finished');

-- a seek does, to where the run ended
\! test/produce -t stop_at_a -p 0 -n 2 -i 13 >/dev/null
TRUNCATE stopped;
SELECT stream_ingest.seek('si_stop', 0, 11);
CALL wait_for_state('si_stop', 'finished');
SELECT part, count(*), min(pos), max(pos) FROM stopped GROUP BY part ORDER BY part;
SELECT stream_ingest.seek('si_stop', 'latest');
CALL wait_for_state('si_stop', 'finished');
SELECT partition, next_offset, stop_offset FROM run ORDER BY partition;
SELECT partition, from_offset, to_offset, reason FROM stream_ingest.gaps ORDER BY partition;
SELECT count(*) FROM stopped;

-- a message to be skipped, too: it counts when a run comes to it
\! test/produce -t stop_at_a -p 1 -n 2 -i 105 >/dev/null
SELECT stream_ingest.skip('si_stop', 1, 5);
CALL wait_for_state('si_stop', 'finished');
SELECT partition, next_offset, stop_offset FROM run ORDER BY partition;
SELECT stream_ingest.enable('si_stop');
CALL wait_for_state('si_stop', 'finished');
SELECT partition, message_offset, error FROM stream_ingest.dead_letters;
SELECT part, pos FROM stopped WHERE part = 1;

-- without the option it continues
SELECT stream_ingest.alter_subscription('si_stop', options => '{"stop_at": null}');
SELECT state FROM stream_ingest.status;
SELECT stream_ingest.enable('si_stop');
\! test/produce -t stop_at_a -p 2 -n 2 >/dev/null
SELECT stream_ingest.wait_for_offset('si_stop', 2, 1);
SELECT partition, next_offset, stop_offset FROM run ORDER BY partition;
SELECT stream_ingest.drop_subscription('si_stop');

--
-- nothing there: over at once
--
\! test/mock_broker -c create stop_at_empty 2
SELECT stream_ingest.create_subscription('si_stop', 'kafka', 'stop_at_empty', 'stopped',
    options => '{"stop_at": "latest"}');
CALL wait_for_state('si_stop', 'finished');
SELECT partition, next_offset, stop_offset FROM run ORDER BY partition;
SELECT stream_ingest.drop_subscription('si_stop');

--
-- offsets: partition 0 up to there, partition 1 to an offset to come, 2 to its end
--
TRUNCATE stopped;
\! test/mock_broker -c create stop_at_b 3
\! test/produce -t stop_at_b -p 0 -n 10 >/dev/null
\! test/produce -t stop_at_b -p 1 -n 4 >/dev/null
\! test/produce -t stop_at_b -p 2 -n 7 >/dev/null
SELECT stream_ingest.create_subscription('si_stop', 'kafka', 'stop_at_b', 'stopped',
    mapping => '{"part": "$partition", "pos": "$offset"}',
    options => '{"stop_at": {"0": 6, "1": 8}}');
SELECT stream_ingest.wait_for_offset('si_stop', 1, 3);
SELECT stream_ingest.wait_for_offset('si_stop', 0, 5);
CALL wait_for_state('si_stop', 'streaming');
\! test/produce -t stop_at_b -p 1 -n 6 -i 4 >/dev/null
\! test/produce -t stop_at_b -p 2 -n 1 -i 7 >/dev/null
CALL wait_for_state('si_stop', 'finished');
SELECT partition, next_offset, stop_offset FROM run ORDER BY partition;
SELECT part, count(*), min(pos), max(pos) FROM stopped GROUP BY part ORDER BY part;

-- there already: the next run has partition 2 only
SELECT stream_ingest.enable('si_stop');
CALL wait_for_state('si_stop', 'finished');
SELECT partition, next_offset, stop_offset FROM run ORDER BY partition;

-- given again: to the end of all; other options leave the end where it is
SELECT stream_ingest.alter_subscription('si_stop', options => '{"stop_at": "latest"}');
SELECT partition, next_offset, stop_offset FROM run ORDER BY partition;
SELECT stream_ingest.enable('si_stop');
CALL wait_for_state('si_stop', 'finished');
SELECT stream_ingest.alter_subscription('si_stop', options => '{"batch_size": 1}');
SELECT partition, next_offset, stop_offset FROM run ORDER BY partition;
SELECT part, count(*), count(DISTINCT pos) FROM stopped GROUP BY part ORDER BY part;
SELECT stream_ingest.drop_subscription('si_stop');

--
-- with partitions: the others have no part in it
--
SELECT stream_ingest.create_subscription('si_stop', 'kafka', 'stop_at_b', 'stopped',
    options => '{"stop_at": {"1": 2}, "partitions": "1-2"}');
CALL wait_for_state('si_stop', 'finished');
SELECT partition, next_offset, stop_offset FROM run ORDER BY partition;
SELECT stream_ingest.alter_subscription('si_stop', options => '{"partitions": "2"}');
SELECT stream_ingest.alter_subscription('si_stop', options => '{"partitions": "0,1"}');
SELECT stream_ingest.enable('si_stop');
CALL wait_for_state('si_stop', 'finished');
SELECT partition, next_offset, stop_offset FROM run ORDER BY partition;
SELECT stream_ingest.drop_subscription('si_stop');

-- a partition that is not there
SELECT stream_ingest.create_subscription('si_stop', 'kafka', 'stop_at_b', 'stopped',
    options => '{"stop_at": {"3": 1}}');
CALL wait_for_state('si_stop', 'stopped');
SELECT reason FROM stream_ingest.status;
SELECT stream_ingest.alter_subscription('si_stop', options => '{"stop_at": {"2": 1}}');
SELECT stream_ingest.enable('si_stop');
CALL wait_for_state('si_stop', 'finished');
SELECT partition, next_offset, stop_offset FROM run ORDER BY partition;
SELECT stream_ingest.drop_subscription('si_stop');

--
-- a bad message on the way, and a batch that would wait to fill
--
TRUNCATE stopped;
\! test/mock_broker -c create stop_at_c 1
\! printf '{"id": 1}\n{"id": "two"}\n{"id": 3}\n' | test/produce -t stop_at_c -p 0 >/dev/null
SELECT stream_ingest.create_subscription('si_stop', 'kafka', 'stop_at_c', 'stopped',
    options => '{"stop_at": "latest", "batch_interval": "1 h", "on_error": "stop"}');
CALL wait_for_state('si_stop', 'stopped');
SELECT stream_ingest.skip('si_stop', 0, 1);
CALL wait_for_state('si_stop', 'finished');
SELECT id FROM stopped ORDER BY id;
SELECT messages, applied, dead_letters FROM stream_ingest.counts;

-- an end before messages that have come already
SELECT stream_ingest.alter_subscription('si_stop', options => '{"stop_at": {"0": 2}, "on_error": null}');
SELECT stream_ingest.seek('si_stop', 0, 0);
CALL wait_for_state('si_stop', 'finished');
SELECT id FROM stopped ORDER BY id;
SELECT partition, next_offset, stop_offset FROM run;
SELECT stream_ingest.drop_subscription('si_stop');

DROP VIEW run;
DROP PROCEDURE wait_for_state;
DROP TABLE stopped;
DROP EXTENSION stream_ingest CASCADE;
