CREATE EXTENSION stream_ingest;

--
-- The option "records": several records in one message.  In every mode, by both
-- write paths, on librdkafka's embedded broker.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset null '~'
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA si_records;
SET search_path = si_records;

-- waits until the subscriptions have dealt with so many messages each
CREATE PROCEDURE wait_for(expected int, VARIADIC names name[]) LANGUAGE plpgsql AS $$
DECLARE deadline timestamptz := clock_timestamp() + interval '60 s';
BEGIN
    WHILE (SELECT count(*) FROM stream_ingest.counts WHERE name = ANY (names) AND messages >= expected) < cardinality(names) LOOP
        IF clock_timestamp() > deadline THEN
            RAISE NOTICE 'waited in vain: %', (SELECT string_agg(row(name, state, reason, last_error)::text, ' ') FROM stream_ingest.status);
            EXIT;
        END IF;
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
CREATE VIEW dead AS SELECT name, message_offset AS o, sqlstate, error, detail, column_name AS c, constraint_name AS k
    FROM stream_ingest.dead_letters ORDER BY name, message_offset;
CREATE VIEW all_counts AS
    SELECT name, messages, applied, inserted, updated, deleted, superseded, ignored, dead_letters,
        messages = applied + ignored + dead_letters AS adds_up
    FROM stream_ingest.counts ORDER BY name;
-- each value is a message of its own, in order
CREATE FUNCTION produce(topic text, VARIADIC messages text[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(stream_ingest.produce('si_kafka', topic, m, partition => 0)) FROM unnest(messages) WITH ORDINALITY AS t (m, i)
$$;

--
-- what is a record, by decode
--
CREATE TABLE cases (i serial, records text, value text);
INSERT INTO cases (records, value) VALUES
    ('$', '[{"a": 1}, {"a": 2}]'), ('$', '[]'), ('$', ' [ ] '), ('$', '[1, "two", null, [3], {}]'),
    ('$', '{"a": 1}'), ('$', '"text"'), ('$', 'null'), ('$', ''), ('$', '  '),
    ('$', '[{"a": 1},]'), ('$', '[,{"a": 1}]'), ('$', '[{"a": 1} {"a": 2}]'), ('$', '[{"a": 1}'), ('$', '[{"a": 1}, {"a":'),
    ('$', '[{"a": 1}] x'), ('$', '[{"a": 1}][{"a": 2}]'), ('$', '[[{"a": 1}], {"a": 2}]'),
    ('$', E'\uFEFF[{"a": 1}]'), ('$', E'\r\n[\r\n{"a": 1}\r\n,\r\n{"a": 2}\r\n]\r\n'), ('$', '[{"a": "\u0000"}]'),
    ('items', '{"items": [{"a": 1}], "more": 1}'), ('items', '{"items": []}'), ('items', '{"item": []}'), ('items', '[]'),
    ('items', '{"items": {"a": 1}}'), ('items', '{"items": null}'), ('items', '{"items": "[{}]"}'), ('items', '{"items": "{"}'),
    ('items', '{"items": [{"a": 1}], "items": [{"a": 2}, {"a": 3}]}'), ('items', '{"items": [{"a": 1}]'), ('items', '{"items": [{"a": 1}], "x": tru}'),
    ('items', '{"it\u0065ms": [{"a": 1}]}'), ('items', '{"items": [{"a": 1}]} {}'), ('items', '42'),
    ('a.b', '{"a": {"b": [{"a": 1}]}}'), ('a.b', '{"a": {"b": [1]}, "a": {"c": [2]}}'), ('a.b', '{"a": [1]}'), ('a.b', '{"a": "{\"b\": []}"}'),
    ('["a.b", 1, "c"]', '{"a.b": [0, {"c": [{"a": 1}]}]}'), ('a[1].c', '{"a": [0, {"c": [{"a": 1}]}]}'), ('[1]', '[0, [{"a": 1}]]'), ('[2]', '[0, 1]'),
    ('lines', E'{"a": 1}\n{"a": 2}\n'), ('lines', E'{"a": 1}\r\n\r\n \n{"a": 2}'), ('lines', '{"a": 1}{"a": 2}'), ('lines', E'{"a":\n1}'),
    ('lines', ''), ('lines', E'\n \r\n'), ('lines', E'\uFEFF{"a": 1}\n{"a": 2}'), ('lines', E'{"a": 1}\n{"a": 2'), ('lines', E'{"a": 1},\n{"a": 2}'),
    ('lines', E'1\n2 3 "4""5" true'), ('lines', '12true'), ('lines', '01'), ('lines', E'[{"a": 1}]\n[]'), ('lines', E'{"a": 1}\nnonsense'),
    ('lines', E'{"a": 1}\x0c{"a": 2}');
SELECT i, records, to_json(value) AS value, d.operation, d.fields, d.error
FROM cases, stream_ingest.decode('json', convert_to(value, 'UTF8'), options => jsonb_build_object('records', records)) WITH ORDINALITY AS d (operation, fields, error, n)
ORDER BY i, n;
-- those with no records
SELECT i, records, to_json(value) AS value FROM cases WHERE NOT EXISTS (SELECT FROM stream_ingest.decode('json', convert_to(value, 'UTF8'), options => jsonb_build_object('records', records))) ORDER BY i;
-- bytes that are no UTF-8, depth, a null value, a frame
SELECT * FROM stream_ingest.decode('json', '\x5b2261ff225d', options => '{"records": "$"}');
SELECT * FROM stream_ingest.decode('json', convert_to(repeat('[', 1001) || repeat(']', 1001), 'UTF8'), options => '{"records": "$"}');
SELECT * FROM stream_ingest.decode('json', NULL, '{"a": 1}', options => '{"records": "$"}');
SELECT * FROM stream_ingest.decode('json', '\x00000000075b7b2261223a317d5d', options => '{"records": "$", "wire_format": "confluent"}');
SELECT * FROM stream_ingest.decode('json', '\x00000000075b7b2261223a317d5d', options => '{"records": "$"}');
SELECT * FROM stream_ingest.decode('json', '\x0000000007', options => '{"records": "lines", "wire_format": "confluent"}');

--
-- insert, directly and by a statement; $record; all or none
--
SELECT produce('rec_insert',
    '[{"id": 1, "v": "a"}, {"id": 2, "v": "b"}]',
    '[]',
    '[{"id": 3, "v": "c"}, {"id": "three", "v": "c"}, {"id": 5}]',
    '[{"id": 6, "v": "d"}, {"id": -1, "v": "check"}]',
    '[{"id": 7, "v": "e"}, 8]',
    '{"id": 8}',
    NULL,
    '[{"id": 9, "v": "f"}, {"id": 1, "v": "again"}]',
    '[{"id": 10, "v": null}, {"v": "no id"}]',
    '[{"id": 11, "v": "g"}, {"id": 12},',
    '[{"id": 13, "v": "h"}]');
CREATE TABLE inserted (id int NOT NULL CHECK (id > 0), v text DEFAULT 'default', o bigint, r smallint, UNIQUE (id));
CREATE TABLE by_statement (LIKE inserted INCLUDING ALL);
CREATE TABLE no_index (id int NOT NULL CHECK (id > 0), v text, r numeric);
CREATE TABLE slow (id int NOT NULL, v text, r text, whole jsonb, CHECK (id > 0));
SELECT stream_ingest.create_subscription('inserted', 'si_kafka', 'rec_insert', 'inserted',
        mapping => '{"o": "$offset", "r": "$record"}', options => '{"records": "$"}'),
    stream_ingest.create_subscription('by_statement', 'si_kafka', 'rec_insert', 'by_statement',
        mapping => '{"o": "$offset", "r": "$record"}', options => '{"records": "$", "filter": "id IS DISTINCT FROM 2"}'),
    stream_ingest.create_subscription('no_index', 'si_kafka', 'rec_insert', 'no_index',
        mapping => '{"r": "$record"}', options => '{"records": "$"}'),
    stream_ingest.create_subscription('slow', 'si_kafka', 'rec_insert', 'slow',
        mapping => '{"r": "$record", "whole": "$value"}', options => '{"records": "$", "batch_size": 1, "tombstones": "error"}') \g /dev/null
CALL wait_for(11, 'inserted', 'by_statement', 'no_index', 'slow');
SELECT * FROM inserted ORDER BY o, r;
SELECT * FROM by_statement ORDER BY o, r;
SELECT * FROM no_index ORDER BY id;
SELECT * FROM slow ORDER BY id;
SELECT * FROM dead;
SELECT * FROM all_counts;

-- a row that is there no longer lets its message through, as a whole
DELETE FROM inserted WHERE id = 1;
ALTER TABLE inserted DROP CONSTRAINT inserted_id_check;
SELECT stream_ingest.retry_dead_letters('inserted');
SELECT * FROM inserted ORDER BY o, r;
SELECT o, detail FROM dead WHERE name = 'inserted';
SELECT * FROM all_counts WHERE name = 'inserted';
SELECT stream_ingest.drop_subscription(name, true) FROM stream_ingest.subscription \g /dev/null

--
-- upsert: the last record of a key wins, and tombstones delete
--
SELECT count(stream_ingest.produce('si_kafka', 'rec_upsert', v, key => k, partition => 0)) FROM unnest(ARRAY[
    '{"n": 1, "items": [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}, {"id": 1, "v": "c"}, {"id": 1, "w": "partial"}]}',
    '{"n": 2, "items": [{"id": 3, "v": "d"}, {"id": 2, "v": 4}, {"id": 1, "v": "bad", "w": {"not": "a date"}}, {"id": "x"}]}',
    '{"n": 3, "items": [{"id": 4, "v": "e"}, {"id": 5, "v": "f"}]}',
    NULL,
    '{"n": 4, "items": [{"id": 6, "v": "g"}]}',
    '{"n": 5}'],
    ARRAY['k1', 'k2', 'k3', '5', 'k4', 'k5']) AS t (v, k);
CREATE TABLE upserted (id int PRIMARY KEY, v text, w text, r int);
CREATE TABLE one_by_one (LIKE upserted INCLUDING ALL);
CREATE TABLE two_indexes (LIKE upserted INCLUDING ALL, UNIQUE (v));
CREATE TABLE newest (id int PRIMARY KEY, v text, w text, r int);
SELECT stream_ingest.create_subscription('upserted', 'si_kafka', 'rec_upsert', 'upserted', insert_mode => 'upsert',
        mapping => '{"r": "$record"}', options => '{"records": "items"}'),
    stream_ingest.create_subscription('one_by_one', 'si_kafka', 'rec_upsert', 'one_by_one', insert_mode => 'upsert',
        mapping => '{"r": "$record"}', options => '{"records": "items", "batch_size": 1}'),
    stream_ingest.create_subscription('two_indexes', 'si_kafka', 'rec_upsert', 'two_indexes', insert_mode => 'upsert', key_columns => '{id}',
        mapping => '{"r": "$record"}', options => '{"records": "items", "filter": "id <> 2"}'),
    stream_ingest.create_subscription('newest', 'si_kafka', 'rec_upsert', 'newest', insert_mode => 'upsert',
        mapping => '{"r": "$record"}', options => '{"records": "items", "version_column": "r"}'),
    stream_ingest.create_subscription('ignoring', 'si_kafka', 'rec_upsert', 'slow', insert_mode => 'insert',
        mapping => '{"r": "$record", "whole": "$value"}', options => '{"records": ["items"], "on_error": "ignore"}') \g /dev/null
CALL wait_for(6, 'upserted', 'one_by_one', 'two_indexes', 'newest', 'ignoring');
SELECT * FROM upserted ORDER BY id;
(TABLE upserted EXCEPT TABLE one_by_one) UNION ALL (TABLE one_by_one EXCEPT TABLE upserted);
SELECT * FROM two_indexes ORDER BY id;
SELECT * FROM newest ORDER BY id;
SELECT id, r, whole FROM slow WHERE whole::text LIKE '%id%' ORDER BY id, r;
SELECT * FROM dead;
-- (what is superseded in a batch depends on how many there are)
SELECT name, messages, applied, ignored, dead_letters, adds_up, inserted > 0 AS inserted FROM all_counts;
SELECT stream_ingest.drop_subscription(name, true) FROM stream_ingest.subscription \g /dev/null

--
-- ignore
--
CREATE TABLE ignored (id int PRIMARY KEY, v text, r int);
SELECT stream_ingest.create_subscription('ignored', 'si_kafka', 'rec_insert', 'ignored', insert_mode => 'ignore',
        mapping => '{"r": "$record"}', options => '{"records": "$", "stop_at": "latest"}') \g /dev/null
CALL wait_for(11, 'ignored');
SELECT * FROM ignored ORDER BY id;
SELECT * FROM dead;
SELECT * FROM all_counts;
SELECT stream_ingest.drop_subscription(name, true) FROM stream_ingest.subscription \g /dev/null

--
-- apply: rows of whole messages only, tombstones among them
--
CREATE TABLE applied (id int, v text, o bigint, r int, deleted bool);
SELECT stream_ingest.create_subscription('applied', 'si_kafka', 'rec_insert', fields => 'id int, v text, r int',
        mapping => '{"r": "$record"}', options => '{"records": "$", "tombstones": "delete", "run_as_owner": true}',
        apply => 'INSERT INTO si_records.applied SELECT id, v, _offset, r, _deleted FROM batch') \g /dev/null
CREATE TABLE whole (o bigint, r int, v jsonb);
SELECT stream_ingest.create_subscription('whole', 'si_kafka', 'rec_insert', 'whole',
        mapping => '{"o": "$offset", "r": "$record", "v": "$value"}', options => '{"records": "$"}') \g /dev/null
CALL wait_for(11, 'applied', 'whole');
SELECT * FROM applied ORDER BY o, r;
-- "$value" is the record, which need not be an object then
SELECT * FROM whole ORDER BY o, r;
SELECT * FROM dead;
SELECT * FROM all_counts;
SELECT stream_ingest.drop_subscription(name, true) FROM stream_ingest.subscription \g /dev/null

--
-- lines; $rest, unknown and missing fields, JSON in strings, other spellings, extended JSON, keys
--
SELECT count(stream_ingest.produce('si_kafka', 'rec_lines', v, key => '{"tenant": 7}', partition => 0)) FROM unnest(ARRAY[
    E'{"userId": 1, "payload": "{\\"n\\": 1}", "at": {"$date": 0}, "x": 1}\n{"user_id": 2, "payload": "{\\"n\\": 2}", "at": {"$date": {"$numberLong": "5"}}}\n',
    E'{"userId": 3, "payload": "{\\"n\\": 3}"}\n{"userId": 4, "payload": "{broken"}\n',
    E'{"userId": 5, "extra": {"deep": [1]}, "payload": "{}"}']) AS v;
CREATE TABLE lines (user_id int, tenant int, n int, at timestamptz, rest jsonb, r int);
SELECT stream_ingest.create_subscription('lines', 'si_kafka', 'rec_lines', 'lines',
        mapping => '{"tenant": "$key.tenant", "n": "payload::json.n", "rest": "$rest", "r": "$record"}',
        options => '{"records": "lines", "match_names": "snake_case", "extended_json": true}') \g /dev/null
CREATE TABLE strict (user_id int, payload text);
SELECT stream_ingest.create_subscription('strict', 'si_kafka', 'rec_lines', 'strict',
        options => '{"records": "lines", "match_names": "snake_case", "unknown_fields": "error"}'),
    stream_ingest.create_subscription('complete', 'si_kafka', 'rec_lines', 'strict', mapping => '{"user_id": "userId"}',
        options => '{"records": "lines", "missing_fields": "error"}') \g /dev/null
CALL wait_for(3, 'lines', 'strict', 'complete');
SELECT * FROM lines ORDER BY user_id;
SELECT * FROM strict ORDER BY user_id;
SELECT * FROM dead;

-- the error of a worker that stops names the record
SELECT stream_ingest.drop_subscription(name, true) FROM stream_ingest.subscription \g /dev/null
DELETE FROM strict;
SELECT stream_ingest.create_subscription('stopping', 'si_kafka', 'rec_lines', 'strict', mapping => '{"user_id": "userId"}',
        options => '{"records": "lines", "on_error": "stop", "missing_fields": "error"}') \g /dev/null
DO $$
DECLARE deadline timestamptz := clock_timestamp() + interval '60 s';
BEGIN
    WHILE (SELECT state FROM stream_ingest.status) <> 'stopped' AND clock_timestamp() < deadline LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
SELECT state, split_part(last_error, ';', 1) AS error FROM stream_ingest.status;
SELECT stream_ingest.drop_subscription(name, true) FROM stream_ingest.subscription \g /dev/null

--
-- preview: the rows of a message are an array
--
CREATE TABLE previewed (id int PRIMARY KEY, v text, r int);
INSERT INTO previewed VALUES (1, 'there', 0);
SELECT stream_ingest.create_subscription('previewed', 'si_kafka', 'rec_insert', 'previewed', insert_mode => 'ignore',
        mapping => '{"r": "$record"}', options => '{"records": "$"}', enabled => false) \g /dev/null
SELECT * FROM stream_ingest.preview('previewed', 100);
SELECT stream_ingest.create_subscription('deleting', 'si_kafka', 'rec_upsert', 'upserted', insert_mode => 'upsert',
        mapping => '{"r": "$record"}', options => '{"records": "items"}', enabled => false) \g /dev/null
SELECT * FROM stream_ingest.preview('deleting', 100);
SELECT stream_ingest.drop_subscription(name, true) FROM stream_ingest.subscription \g /dev/null

--
-- many records: batches end behind batch_size rows, and messages stay whole
--
SELECT produce('rec_many', VARIADIC (SELECT array_agg((SELECT '[' || string_agg(format('{"id": %s, "m": %s}', CASE WHEN m = 7 AND r = 90 THEN '"bad"' ELSE (m * 1000 + r)::text END, m), ',') || ']'
    FROM generate_series(1, 100) AS r)) FROM generate_series(1, 20) AS m));
CREATE TABLE many (id int, m int, r int, tx xid8 DEFAULT pg_current_xact_id());
CREATE TABLE many_upserted (id int PRIMARY KEY, m int, r int, tx xid8 DEFAULT pg_current_xact_id());
SELECT stream_ingest.create_subscription('many', 'si_kafka', 'rec_many', 'many', mapping => '{"r": "$record", "tx": null}', options => '{"records": "$", "batch_size": 250}'),
    stream_ingest.create_subscription('many_upserted', 'si_kafka', 'rec_many', 'many_upserted', insert_mode => 'upsert', mapping => '{"r": "$record", "tx": null}', options => '{"records": "$", "batch_size": 250}') \g /dev/null
CALL wait_for(20, 'many', 'many_upserted');
SELECT count(*), count(DISTINCT m), bool_and(id = m * 1000 + r) FROM many;
SELECT max(n) FROM (SELECT count(*) AS n FROM many GROUP BY tx) AS t;
SELECT max(n) FROM (SELECT count(DISTINCT tx) AS n FROM many GROUP BY m) AS t;
SELECT count(*), count(DISTINCT m), bool_and(id = m * 1000 + r) FROM many_upserted;
SELECT * FROM dead;
SELECT * FROM all_counts;
SELECT stream_ingest.drop_subscription(name, true) FROM stream_ingest.subscription \g /dev/null

--
-- deferred constraints and triggers: what fails at the end takes all of its message
--
CREATE TABLE parents (id int PRIMARY KEY);
INSERT INTO parents VALUES (1), (2), (3);
CREATE TABLE children (id int REFERENCES parents DEFERRABLE INITIALLY DEFERRED, r int);
SELECT produce('rec_orphans', '[{"id": 1}, {"id": 2}]', '[{"id": 3}, {"id": 4}, {"id": 1}]', '[{"id": 3}]');
SELECT stream_ingest.create_subscription('children', 'si_kafka', 'rec_orphans', 'children', mapping => '{"r": "$record"}', options => '{"records": "$"}') \g /dev/null
CALL wait_for(3, 'children');
SELECT * FROM children ORDER BY id, r;
SELECT name, o, sqlstate, k FROM dead;
INSERT INTO parents VALUES (4);
SELECT stream_ingest.retry_dead_letters('children');
SELECT * FROM children ORDER BY id, r;
SELECT stream_ingest.drop_subscription(name, true) FROM stream_ingest.subscription \g /dev/null

--
-- mistakes
--
CREATE FUNCTION try_options(options jsonb, format text DEFAULT 'json', mapping jsonb DEFAULT NULL, insert_mode text DEFAULT 'insert') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    m text; d text; h text;
BEGIN
    PERFORM stream_ingest.create_subscription('bad', 'si_kafka', 'rec_insert', 'upserted', format => format, mapping => mapping, insert_mode => insert_mode, options => options, enabled => false);
    m := (SELECT settings ->> 'records' FROM stream_ingest.subscriptions WHERE name = 'bad');
    PERFORM stream_ingest.drop_subscription('bad', true);
    RETURN m;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, m, nullif(d, ''), nullif(h, ''));
END $$;
SELECT o, try_options(jsonb_build_object('records', o)) FROM unnest(ARRAY[
    '"$"', '"lines"', '"items"', '"a.b[0]"', '["a.b", 0, "c"]', 'null', '""', '"$.items"', '"$value"', '"a..b"', '"a["', '"payload::json.items"', '[]', '[true]', '{}', '1', '"[\"a\"]"']::jsonb[]) AS o;
SELECT format, try_options('{"records": "$"}', format) FROM unnest(ARRAY['csv', 'text', 'raw', 'avro', 'protobuf']) AS format;
SELECT try_options('{"records": "$", "encoding": "LATIN1"}');
SELECT try_options('{"records": "$"}', mapping => '{"id": "$record"}', insert_mode => 'upsert');
SELECT try_options('{"records": "$", "tombstones": "ignore"}', mapping => '{"id": "$record"}', insert_mode => 'upsert');
SELECT try_options('{"records": "$"}', mapping => '{"r": "$record.n"}');
SELECT try_options('{"records": "$"}', mapping => '{"r": "$records"}');
CREATE TABLE of_dates (d date, v text);
SELECT stream_ingest.create_subscription('bad', 'si_kafka', 'rec_insert', 'of_dates', mapping => '{"d": "$record"}');
-- a retry, too, has no more rows at a time than batch_size and the last message bring
CREATE TABLE retried (id int CHECK (id > 0));
CREATE TABLE statements (rows bigint);
SELECT produce('rec_retried', '[{"id": -1}, {"id": 1}, {"id": 2}]', '[]', '[{"id": -2}]', '[{"id": -3}, {"id": 3}]', '[{"id": "x"}]', '[{"id": -4}]');
SELECT stream_ingest.create_subscription('retried', 'si_kafka', 'rec_retried', fields => 'id int', options => '{"records": "$", "batch_size": 3, "run_as_owner": true}',
    apply => 'INSERT INTO si_records.retried SELECT id FROM batch; INSERT INTO si_records.statements SELECT count(*) FROM batch') \g /dev/null
CALL wait_for(6, 'retried');
ALTER TABLE retried DROP CONSTRAINT retried_id_check;
TRUNCATE statements;
SELECT stream_ingest.retry_dead_letters('retried');
SELECT rows FROM statements;
SELECT * FROM retried ORDER BY id;
SELECT o, sqlstate FROM dead WHERE name = 'retried';
SELECT * FROM all_counts WHERE name = 'retried';

-- a statement may call batch_row() more often than there are rows
SELECT produce('rec_often', '[{"id": 1}, {"id": 2}]');
SELECT stream_ingest.create_subscription('often', 'si_kafka', 'rec_often', fields => 'id int', options => '{"records": "$", "run_as_owner": true}',
    apply => 'INSERT INTO si_records.retried SELECT 1 / (count(*) - count(*))::int FROM batch, pg_catalog.generate_series(1, 5000000) WHERE stream_ingest.batch_row()') \g /dev/null
CALL wait_for(1, 'often');
SELECT o, sqlstate, error FROM dead WHERE name = 'often';

-- without the option, a message is record 1
CREATE TABLE plain (v text, r int);
SELECT produce('rec_plain', '{"v": "a"}', '{"v": "b"}');
SELECT stream_ingest.create_subscription('plain', 'si_kafka', 'rec_plain', 'plain', mapping => '{"r": "$record"}') \g /dev/null
CALL wait_for(2, 'plain');
SELECT * FROM plain ORDER BY v;

SELECT stream_ingest.drop_subscription(name, true) FROM stream_ingest.subscription \g /dev/null
DROP SCHEMA si_records CASCADE;
DROP SERVER si_kafka;
DROP EXTENSION stream_ingest;
