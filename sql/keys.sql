CREATE EXTENSION stream_ingest;

--
-- The option "key_format": keys as Kafka's own serializers write them.  On
-- librdkafka's embedded broker, from the top directory of the sources.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset null '~'
SET client_min_messages = warning;
CREATE SCHEMA si_keys;
SET search_path = si_keys;

-- a tombstone's key, by decode
SELECT k AS format, key, d.operation, d.fields, d.error
FROM (VALUES
    ('int16', '\x0001'::bytea), ('int16', '\xffff'), ('int16', '\x8000'), ('int16', '\x01'), ('int16', ''),
    ('int32', '\x0000002a'), ('int32', '\x80000000'), ('int32', '\x7fffffff'), ('int32', '\x000000000000002a'),
    ('int64', '\x000000000000002a'), ('int64', '\x8000000000000000'), ('int64', '\xffffffffffffffff'), ('int64', '\x3432'),
    ('float64', '\x3ff8000000000000'), ('float64', '\x7ff8000000000000'), ('float64', '\xfff0000000000000'),
    ('float64', '\x8000000000000000'), ('float64', '\x3fc00000'),
    ('uuid', '\x00112233445566778899aabbccddeeff'), ('uuid', '00112233-4455-6677-8899-aabbccddeeff'),
    ('uuid', '00112233-4455-6677-8899-aabbccddeefg'), ('uuid', '00112233-4455-6677-8899-aabbccddee\000f'),
    ('uuid', '\x0011'),
    ('text', 'plain'), ('text', '"quoted"'), ('text', '{"a": 1}'), ('text', ''), ('text', '\xff'), ('text', 'a\000b'),
    ('bytes', 'plain'), ('bytes', '{"a": 1}'), ('bytes', '\x00ff'),
    ('json', 'plain'), ('json', '"quoted"'), ('json', '{"a": 1}'), ('json', '42')) AS t (k, key),
    stream_ingest.decode('json', NULL, key, jsonb_build_object('key_format', k)) AS d;
SELECT * FROM stream_ingest.decode('json', NULL, '\x01', '{"key_format": "int8"}');
SELECT * FROM stream_ingest.decode('json', NULL, '\x01', '{"key_format": 8}');

-- keys as hexadecimal digits, values as text; an empty value is a tombstone
\setenv KEYS '0000000000000001:{"v": "one"}\n0000000000000002:{"v": "two"}\nfffffffffffffffe:{"v": "minus two"}\n0000000000000001:{"v": "one again"}\n0000000000000002:\n0001:{"v": "short"}\n0002:\n'
\! printf "$KEYS" | "$STREAM_INGEST_TESTS/produce" -t si_keys_64 -p 0 -K : -y -Z
-- and one without a key
SELECT stream_ingest.produce('si_kafka', 'si_keys_64', '{"v": "no key"}', partition => 0);
\setenv KEYS '00112233445566778899aabbccddeeff:{"v": 1}\n30303131323233332d343435352d363637372d383839392d616162626363646465656666:{"v": 2}\nffffffffffffffffffffffffffffffff:{"v": 3}\nffffffffffffffffffffffffffffffff:\n'
\! printf "$KEYS" | "$STREAM_INGEST_TESTS/produce" -t si_keys_uuid -p 0 -K : -y -Z
\setenv KEYS '61:{"v": 1}\n22612220:{"v": 2}\n7b2261223a20317d:{"v": 3}\n61:\n7b2261223a20317d:\nff:{"v": 4}\nff:\n'
\! printf "$KEYS" | "$STREAM_INGEST_TESTS/produce" -t si_keys_text -p 0 -K : -y -Z

CREATE PROCEDURE wait_for(subscription name, n bigint) LANGUAGE plpgsql AS $$
DECLARE deadline timestamptz := clock_timestamp() + interval '60 s';
BEGIN
    WHILE (SELECT messages FROM stream_ingest.counts WHERE name = subscription) < n LOOP
        IF clock_timestamp() > deadline THEN
            RAISE NOTICE 'waited in vain: %', (SELECT row(state, reason, last_error) FROM stream_ingest.status s WHERE s.name = subscription);
            EXIT;
        END IF;
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
CREATE VIEW dead AS SELECT name, message_offset, sqlstate, error, column_name FROM stream_ingest.dead_letters ORDER BY 1, 2;

-- insert, by both write paths
CREATE TABLE inserted (id bigint, v text);
SELECT stream_ingest.create_subscription('inserted', 'si_kafka', 'si_keys_64', 'inserted', mapping => '{"id": "$key"}',
    options => '{"key_format": "int64"}');
CALL wait_for('inserted', 8);
SELECT * FROM inserted ORDER BY id, v;
CREATE TABLE filtered (id bigint, v text);
SELECT stream_ingest.create_subscription('filtered', 'si_kafka', 'si_keys_64', 'filtered', mapping => '{"id": "$key"}',
    options => '{"key_format": "int64", "filter": "id > 0"}');
CALL wait_for('filtered', 8);
SELECT * FROM filtered ORDER BY id, v;
-- other types than the key's own
CREATE TABLE other_types (i int, t text, n numeric, j jsonb, d date DEFAULT '2000-01-01', v text);
SELECT stream_ingest.create_subscription('other_types', 'si_kafka', 'si_keys_64', 'other_types',
    mapping => '{"i": "$key", "t": "$key", "n": "$key", "j": "$key"}', options => '{"key_format": "int64"}');
CALL wait_for('other_types', 8);
SELECT * FROM other_types ORDER BY i, v;

-- upsert: tombstones delete by the key
CREATE TABLE upserted (id bigint PRIMARY KEY, v text);
SELECT stream_ingest.create_subscription('upserted', 'si_kafka', 'si_keys_64', 'upserted', insert_mode => 'upsert',
    mapping => '{"id": "$key"}', options => '{"key_format": "int64"}');
CALL wait_for('upserted', 8);
SELECT * FROM upserted ORDER BY id;
-- the field of the value is the key, the tombstone has it as the whole key
CREATE TABLE by_uuid (id uuid PRIMARY KEY, v int);
SELECT stream_ingest.create_subscription('by_uuid', 'si_kafka', 'si_keys_uuid', 'by_uuid', insert_mode => 'upsert',
    mapping => '{"id": "$key"}', options => '{"key_format": "uuid"}');
CALL wait_for('by_uuid', 4);
SELECT * FROM by_uuid ORDER BY id;
CREATE TABLE by_text (id text PRIMARY KEY, v int);
SELECT stream_ingest.create_subscription('by_text', 'si_kafka', 'si_keys_text', 'by_text', insert_mode => 'upsert',
    mapping => '{"id": "$key"}', options => '{"key_format": "text"}');
CALL wait_for('by_text', 7);
SELECT * FROM by_text ORDER BY id;
CREATE TABLE by_bytes (id bytea PRIMARY KEY, v int);
SELECT stream_ingest.create_subscription('by_bytes', 'si_kafka', 'si_keys_text', 'by_bytes', insert_mode => 'upsert',
    mapping => '{"id": "$key"}', options => '{"key_format": "bytes"}');
CALL wait_for('by_bytes', 7);
SELECT * FROM by_bytes ORDER BY id;
-- a key of two columns
CREATE TABLE by_two (p int, id bigint, v text, PRIMARY KEY (p, id));
SELECT stream_ingest.create_subscription('by_two', 'si_kafka', 'si_keys_64', 'by_two', insert_mode => 'upsert',
    mapping => '{"id": "$key", "p": "$partition"}', options => '{"key_format": "int64"}');
CALL wait_for('by_two', 8);
SELECT * FROM by_two ORDER BY id;

-- apply: _key are the bytes, "$key" the number
CREATE TABLE applied (id bigint, k bytea, deleted bool, v text);
SELECT stream_ingest.create_subscription('applied', 'si_kafka', 'si_keys_64', fields => 'id bigint, v text',
    mapping => '{"id": "$key"}', options => '{"key_format": "int64", "tombstones": "delete", "run_as_owner": true}',
    apply => 'INSERT INTO si_keys.applied SELECT id, _key, _deleted, v FROM batch ORDER BY _offset');
CALL wait_for('applied', 8);
SELECT * FROM applied ORDER BY k, v;

SELECT * FROM dead;
-- (what is superseded in a batch depends on how many there are)
SELECT name, messages, applied + ignored AS taken, dead_letters FROM stream_ingest.counts ORDER BY name;
-- a retry reads them as before
SELECT stream_ingest.retry_dead_letters('upserted');
SELECT count(*) FROM dead WHERE name = 'upserted';

--
-- indexes that are checked later than a row is written: ON CONFLICT takes all that are on the
-- key's columns, and of these none that is deferrable
--
CREATE TABLE twins (id bigint NOT NULL, v text, UNIQUE (id), CONSTRAINT twins_late UNIQUE (id) DEFERRABLE);
SELECT stream_ingest.create_subscription('twins', 'si_kafka', 'si_keys_64', 'twins', insert_mode => 'upsert', key_columns => '{id}',
    mapping => '{"id": "$key"}', options => '{"key_format": "int64"}');
SELECT stream_ingest.create_subscription('twins', 'si_kafka', 'si_keys_64', 'twins', insert_mode => 'ignore', key_columns => '{id}',
    mapping => '{"id": "$key"}', options => '{"key_format": "int64"}');
CREATE VIEW twins_view AS SELECT v, id FROM twins;
SELECT stream_ingest.create_subscription('twins', 'si_kafka', 'si_keys_64', 'twins_view', insert_mode => 'upsert', key_columns => '{id}',
    mapping => '{"id": "$key"}', options => '{"key_format": "int64"}');
-- without a key it asks them all
SELECT stream_ingest.create_subscription('twins', 'si_kafka', 'si_keys_64', 'twins', insert_mode => 'ignore',
    mapping => '{"id": "$key"}', options => '{"key_format": "int64"}');
CREATE TABLE spread (id bigint, v text) PARTITION BY LIST (v);
CREATE TABLE spread_all PARTITION OF spread DEFAULT;
CREATE TABLE spread_late PARTITION OF spread FOR VALUES IN ('late');
-- one that a partition alone has, only for rows of that
ALTER TABLE spread_late ADD EXCLUDE (id WITH =) DEFERRABLE;
SELECT stream_ingest.create_subscription('spread', 'si_kafka', 'si_keys_64', 'spread', insert_mode => 'ignore',
    mapping => '{"id": "$key"}', options => '{"key_format": "int64"}');
CALL wait_for('spread', 8);
SELECT count(*) FROM spread;
SELECT stream_ingest.drop_subscription('spread');
ALTER TABLE spread ADD UNIQUE (id, v) DEFERRABLE;
SELECT stream_ingest.create_subscription('spread', 'si_kafka', 'si_keys_64', 'spread', insert_mode => 'ignore',
    mapping => '{"id": "$key"}', options => '{"key_format": "int64"}');
-- deletes by key alone have no ON CONFLICT, nor does another key's ask this one
CREATE TABLE deleted (id bigint, v text, UNIQUE (id), CONSTRAINT deleted_late UNIQUE (id) DEFERRABLE INITIALLY DEFERRED);
SELECT stream_ingest.create_subscription('deleted', 'si_kafka', 'si_keys_64', 'deleted', key_columns => '{id}',
    mapping => '{"id": "$key"}', options => '{"key_format": "int64", "tombstones": "delete"}');
CALL wait_for('deleted', 8);
SELECT id FROM deleted ORDER BY id;
CREATE TABLE others (id bigint PRIMARY KEY, v text, UNIQUE (v) DEFERRABLE);
SELECT stream_ingest.create_subscription('others', 'si_kafka', 'si_keys_64', 'others', insert_mode => 'ignore', key_columns => '{id}',
    mapping => '{"id": "$key"}', options => '{"key_format": "int64"}');
CALL wait_for('others', 8);
SELECT * FROM others ORDER BY id;
-- one that is added later stops the subscription and refuses no message
ALTER TABLE twins DROP CONSTRAINT twins_late;
SELECT stream_ingest.create_subscription('twins', 'si_kafka', 'si_keys_64', 'twins', insert_mode => 'upsert', key_columns => '{id}',
    mapping => '{"id": "$key"}', options => '{"key_format": "int64"}');
CALL wait_for('twins', 8);
ALTER TABLE twins ADD CONSTRAINT twins_late UNIQUE (id) DEFERRABLE;
\setenv KEYS '0000000000000007:{"v": "seven"}\n'
\! printf "$KEYS" | "$STREAM_INGEST_TESTS/produce" -t si_keys_64 -p 0 -K : -y -Z
\i test/await.sql
CALL await('twins', 'stopped%');
SELECT state, reason, last_error_sqlstate FROM stream_ingest.status WHERE name = 'twins';
ALTER TABLE twins DROP CONSTRAINT twins_late;
CALL wait_for('twins', 9);
SELECT * FROM twins ORDER BY id;
SELECT count(*) FROM dead WHERE name = 'twins' AND sqlstate = '55000';
SELECT stream_ingest.drop_subscription(name, true) FROM stream_ingest.subscription WHERE name IN ('twins', 'deleted', 'others') ORDER BY name;

-- mistakes
SELECT stream_ingest.create_subscription('bad', 'si_kafka', 'si_keys_64', 'inserted', mapping => '{"id": "$key.id"}',
    options => '{"key_format": "int64"}');
SELECT stream_ingest.create_subscription('bad', 'si_kafka', 'si_keys_64', 'inserted', options => '{"key_format": "int128"}');

SELECT stream_ingest.drop_subscription(name, true) FROM stream_ingest.subscription ORDER BY name;
SET client_min_messages = warning;
DROP SCHEMA si_keys CASCADE;
DROP SERVER si_kafka;
DROP EXTENSION stream_ingest;
