CREATE EXTENSION stream_ingest;

--
-- Foreign tables as targets, and as partitions of one.  Needs postgres_fdw.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset null '~'
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA si_foreign;
SET search_path = si_foreign;
CREATE EXTENSION postgres_fdw;
CREATE SERVER si_loopback FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host :'HOST', port :'PORT', dbname :'DBNAME');
CREATE USER MAPPING FOR PUBLIC SERVER si_loopback OPTIONS (user :'USER');

-- Subscribe a target to the topic, wait until it has been read, say what was
-- counted and refused.
CREATE PROCEDURE run(target regclass, mode text DEFAULT 'insert', options jsonb DEFAULT '{}', key_columns name[] DEFAULT NULL,
    mapping jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
    subscription name := target::text || '_' || mode;
    r text;
BEGIN
    PERFORM stream_ingest.create_subscription(subscription, 'si_kafka', 'f_rows', target, insert_mode => mode,
        key_columns => key_columns, mapping => mapping, options => '{"batch_interval": "300 ms"}' || options);
    COMMIT;
    IF NOT stream_ingest.wait_until_caught_up(subscription, '30 s') THEN
        RAISE WARNING 'waited in vain: %', (SELECT row(state, reason, last_error) FROM stream_ingest.status s WHERE s.name = subscription);
    END IF;
    SELECT concat_ws(' ', 'messages=' || messages, 'inserted=' || nullif(inserted, 0), 'updated=' || nullif(updated, 0),
        'deleted=' || nullif(deleted, 0), 'superseded=' || nullif(superseded, 0),
        'ignored=' || nullif(ignored, 0), 'dead_letters=' || nullif(dead_letters, 0))
      INTO r FROM stream_ingest.counts WHERE name = subscription;
    RAISE NOTICE '%', r;
    FOR r IN SELECT concat_ws(' ', message_offset, sqlstate, error) FROM stream_ingest.dead_letters d
             WHERE d.name = subscription ORDER BY message_offset LOOP
        RAISE NOTICE 'dead: %', r;
    END LOOP;
    PERFORM stream_ingest.discard_dead_letters(subscription);
    PERFORM stream_ingest.drop_subscription(subscription);
END $$;
SET client_min_messages = notice;

-- ids 1 to 5 with v = 10 * id; 2 again with v = 21; 3 deleted
\! test/mock_broker -c create f_rows 1
\! printf '%s\n' '1;{"id": 1, "v": 10}' '2;{"id": 2, "v": 20}' '3;{"id": 3, "v": 30}' '4;{"id": 4, "v": 40}' '5;{"id": 5, "v": 50}' '2;{"id": 2, "v": 21}' '3;' | test/produce -t f_rows -p 0 -K ';' -Z >/dev/null

--
-- with a partition elsewhere
--
CREATE TABLE remote (id int, v int);
CREATE TABLE spread (id int, v int) PARTITION BY RANGE (id);
CREATE TABLE spread_1 PARTITION OF spread FOR VALUES FROM (0) TO (3);
CREATE FOREIGN TABLE spread_2 PARTITION OF spread FOR VALUES FROM (3) TO (9) SERVER si_loopback OPTIONS (schema_name 'si_foreign', table_name 'remote');
CALL run('spread');
SELECT tableoid::regclass, id, v FROM spread ORDER BY id, v;
SELECT * FROM remote ORDER BY 1;
TRUNCATE spread_1, remote;
CALL run('spread', 'upsert');
CALL run('spread', 'upsert', key_columns => '{id}');
SELECT tableoid::regclass, id, v FROM spread ORDER BY id, v;

-- rules, which may not stand in a WITH
CREATE TABLE noted (id int);
CREATE RULE note AS ON UPDATE TO spread DO ALSO INSERT INTO noted VALUES (NEW.id);
CALL run('spread', 'upsert', key_columns => '{id}');
SELECT * FROM noted ORDER BY 1;
DROP RULE note ON spread;

--
-- a table elsewhere
--
CREATE TABLE remote2 (id int PRIMARY KEY, v int, w int DEFAULT 5);
CREATE FOREIGN TABLE far (id int, v int, w int) SERVER si_loopback OPTIONS (schema_name 'si_foreign', table_name 'remote2', batch_size '10');
CALL run('far', mapping => '{"w": "v"}');
SELECT * FROM remote2 ORDER BY id;
CALL run('far', 'upsert');
CALL run('far', 'upsert', key_columns => '{id}');
SELECT * FROM remote2 ORDER BY id;
INSERT INTO remote2 VALUES (3, 1, 1);
CALL run('far', 'upsert', '{"tombstones": "ignore", "version_column": "v"}', key_columns => '{id}');
SELECT * FROM remote2 ORDER BY id;
-- where the key is not unique there, all rows of a key are written, and no more count than there are messages
CREATE TABLE remote3 (id int, v int);
CREATE FOREIGN TABLE far_twice (id int, v int) SERVER si_loopback OPTIONS (schema_name 'si_foreign', table_name 'remote3');
INSERT INTO remote3 VALUES (1, 0), (1, 0), (1, 0), (3, 0), (3, 0), (3, 0);
CALL run('far_twice', 'upsert', key_columns => '{id}');
SELECT * FROM remote3 ORDER BY id, v;
INSERT INTO remote3 VALUES (1, 10), (3, 0), (3, 0), (5, 99);
CALL run('far_twice', 'upsert', '{"version_column": "v"}', key_columns => '{id}');
SELECT * FROM remote3 ORDER BY id, v;
INSERT INTO remote3 VALUES (3, 0), (3, 0);
CALL run('far_twice', options => '{"tombstones": "delete"}', key_columns => '{id}');
SELECT * FROM remote3 ORDER BY id, v;
-- rows that are all key, and there
CREATE FOREIGN TABLE far_key (id int) SERVER si_loopback OPTIONS (schema_name 'si_foreign', table_name 'remote3');
CALL run('far_key', 'upsert', '{"tombstones": "ignore"}', key_columns => '{id}');
SELECT id, count(*) FROM remote3 GROUP BY 1 ORDER BY 1;
CALL run('far_key', 'ignore', key_columns => '{id}');
-- its commits are waited for
SELECT stream_ingest.create_subscription('far', 'si_kafka', 'none', 'far', enabled => false);
SELECT stream_ingest.create_subscription('spread', 'si_kafka', 'none', 'spread', options => '{"synchronous_commit": "local"}', enabled => false);
SELECT stream_ingest.create_subscription('near', 'si_kafka', 'none', 'remote', enabled => false);
SELECT name, settings->'synchronous_commit' AS synchronous_commit FROM stream_ingest.subscriptions ORDER BY 1;
SELECT count(stream_ingest.drop_subscription(name)) FROM stream_ingest.subscriptions;

SET client_min_messages = error;
DROP EXTENSION stream_ingest CASCADE;
DROP EXTENSION postgres_fdw CASCADE;
DROP SCHEMA si_foreign CASCADE;
