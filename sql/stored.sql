CREATE EXTENSION stream_ingest;

--
-- What is stored of a subscription, when it came with a dump of another version
-- or by an UPDATE: it stops with the reason, and the others live.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset null '~'
SET client_min_messages = warning;
\! test/mock_broker -c create st_t 2
CREATE TABLE st_t (id int);
-- a subscription for each of these, into whose row that is written
CREATE TABLE st_odd (name name, assignment text, state text);
INSERT INTO st_odd VALUES
    ('st_id', $$id = -5, epoch = -3$$, 'streaming'),
    ('st_version', $$options = '{"new_option": 1, "batch_size": 5}'$$, 'stopped'),
    ('st_library', $$options = '{"fetch.of.old": "1"}'$$, 'stopped'),
    ('st_array', $$options = '[1]'$$, 'stopped'),
    ('st_null', $$options = 'null'$$, 'stopped'),
    ('st_number', $$options = '{"batch_size": 1e400}'$$, 'stopped'),
    ('st_value', $$options = '{"workers": -3}'$$, 'stopped'),
    ('st_short', $$pinned = '{UTC}'$$, 'stopped'),
    ('st_holes', $$pinned = '{UTC,NULL,postgres,""}'$$, 'stopped'),
    ('st_pinned', $$pinned = '{Nowhere/Else,"ISO, MDY",postgres,""}'$$, 'stopped'),
    ('st_format', $$format = 'yaml'$$, 'stopped'),
    ('st_mode', $$insert_mode = 'replace'$$, 'stopped'),
    ('st_neither', $$target = NULL$$, 'stopped'),
    ('st_both', $$apply = 'SELECT 1'$$, 'stopped'),
    ('st_topic', $$topic = repeat('x', 600)$$, 'stopped'),
    ('st_topic2', $$topic = E'a\u00e9'$$, 'stopped'),
    ('st_mapping', $$mapping = '[1]'$$, 'stopped'),
    ('st_source', $$mapping = '{"id": 7}'$$, 'stopped'),
    ('st_keys', $$key_columns = '{NULL,id}', insert_mode = 'upsert'$$, 'stopped'),
    ('st_server', $$server = 'gone'$$, 'stopped'),
    ('st_owner', $$owner = 4000000000$$, 'stopped'),
    ('st_target', $$target = 4000000000$$, 'stopped'),
    ('st_first', $$first_partitions = -7, pending_position = 'earliest'$$, 'streaming'),
    ('st_position', $$pending_position = 'nowhere'$$, 'stopped'),
    ('st_stop', $$stop_state = 'tired', stop_reason = NULL$$, 'tired');
CREATE FUNCTION wait_stored(subscription name, wanted text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    FOR i IN 1 .. 3000 LOOP
        SELECT state || coalesce(': ' || split_part(reason, ';', 1), '') INTO answer FROM stream_ingest.status WHERE name = subscription;
        IF answer ~ ('^' || wanted) THEN
            RETURN answer;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN 'still ' || answer;
END $$;
SELECT stream_ingest.create_subscription('st_well', 'si_kafka', 'st_t', 'st_t', options => '{"start": "latest"}');
SELECT wait_stored('st_well', 'streaming');
BEGIN;
DO $$
DECLARE
    odd st_odd;
BEGIN
    FOR odd IN SELECT * FROM st_odd LOOP
        PERFORM stream_ingest.create_subscription(odd.name, 'si_kafka', 'st_t', 'st_t', options => '{"start": "latest"}');
        EXECUTE format('UPDATE stream_ingest.subscription SET %s WHERE name = %L', odd.assignment, odd.name);
    END LOOP;
    PERFORM stream_ingest.disable('st_well');
END $$;
COMMIT;
SELECT stream_ingest.enable('st_well');
SELECT wait_stored('st_well', 'streaming');
SELECT name, wait_stored(name, state) FROM st_odd;
-- the view shows all of them
SELECT name, settings ->> 'batch_size' AS batch_size FROM stream_ingest.subscriptions ORDER BY name COLLATE "C";
-- no message is to blame
\! echo '{"id": 1}' | test/produce -t st_t -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('st_well');
SELECT count(*) FROM stream_ingest.dead_letters;

-- who calls a function of an odd one is told
SELECT * FROM stream_ingest.preview('st_library');
SELECT stream_ingest.retry_dead_letters('st_library');
SELECT * FROM stream_ingest.preview('st_short');
SELECT stream_ingest.retry_dead_letters('st_mode');

-- they can be stopped, moved about, corrected, and dropped
SELECT stream_ingest.disable(name), stream_ingest.enable(name), stream_ingest.seek(name, 'latest') FROM st_odd
 WHERE name IN ('st_version', 'st_short', 'st_holes', 'st_format', 'st_array', 'st_topic');
SELECT stream_ingest.alter_subscription('st_version', options => '{"new_option": null}');
SELECT options FROM stream_ingest.subscriptions WHERE name = 'st_version';
SELECT stream_ingest.alter_subscription('st_array', options => '{}');
SELECT stream_ingest.alter_subscription('st_short');
SELECT stream_ingest.alter_subscription('st_holes');
SELECT stream_ingest.alter_subscription('st_format', format => 'json');
SELECT stream_ingest.enable('st_stop');
SELECT name, wait_stored(name, 'streaming') FROM st_odd
 WHERE name IN ('st_version', 'st_array', 'st_short', 'st_holes', 'st_format', 'st_stop');
SELECT pinned[1:3] FROM stream_ingest.subscription WHERE name IN ('st_short', 'st_holes');
SELECT count(stream_ingest.drop_subscription(name)::text) FROM st_odd WHERE name <> 'st_id';

-- rows of progress
CREATE FUNCTION write_progress(assignment text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stream_ingest.disable('st_id');
    EXECUTE format('UPDATE stream_ingest.progress SET %s WHERE subscription = -5', assignment);
    PERFORM stream_ingest.enable('st_id');
END $$;
SELECT write_progress($$seek_position = 'nowhere'$$);
SELECT wait_stored('st_id', 'stopped');
SELECT write_progress($$seek_position = NULL, skips = '{NULL,-1}', leader_epoch = -9, stop_offset = -3$$);
SELECT wait_stored('st_id', 'streaming');
SELECT write_progress($$next_offset = -1$$);
SELECT wait_stored('st_id', 'stopped');
SELECT write_progress('partition = partition - 1, next_offset = 0');
SELECT wait_stored('st_id', 'streaming');
SELECT partition, next_offset FROM stream_ingest.offsets WHERE name = 'st_id' ORDER BY partition;
SELECT wait_stored('st_well', 'streaming');

SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions;
DROP EXTENSION stream_ingest CASCADE;
DROP TABLE st_t, st_odd;
DROP FUNCTION wait_stored, write_progress;
