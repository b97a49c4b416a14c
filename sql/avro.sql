CREATE EXTENSION stream_ingest;

--
-- Avro with a schema in the options: every case by decode, and by a
-- subscription on librdkafka's embedded broker.  A case is a schema, the
-- bytes of its messages, and a table with columns for them.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset tuples_only on
\pset null '~'
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';
SET bytea_output = 'hex';
CREATE SCHEMA si_avro;
SET search_path = si_avro;

CREATE TYPE address AS (city text);
CREATE TYPE customer AS (name text, addr address);
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE TABLE cases (n int PRIMARY KEY, what text, schema jsonb, columns text, hex text[], mapping jsonb, options jsonb DEFAULT '{}', tz text DEFAULT 'UTC');

-- a record with the one field "a"
CREATE FUNCTION one(type jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('type', 'record', 'name', 'r', 'fields', jsonb_build_array(jsonb_build_object('name', 'a', 'type', type)));
$$;
CREATE FUNCTION logical(kind text, logical text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('type', kind, 'logicalType', logical) || more;
$$;
INSERT INTO cases (n, what, schema, columns, hex, mapping) VALUES
(1, 'primitives', '{"type":"record","name":"p","fields":[{"name":"n","type":"null"},{"name":"b","type":"boolean"},{"name":"i","type":"int"},{"name":"l","type":"long"},{"name":"f","type":"float"},{"name":"d","type":"double"},{"name":"y","type":"bytes"},{"name":"s","type":"string"}]}',
    'n text, b boolean, i integer, l bigint, f real, d double precision, y bytea, s text', ARRAY['01ffffffff0ffeffffffffffffffff010000c03f555555555555d5bf0400ff0ac3a4c39f0a'], NULL),
(2, 'nullable, null first, and null second', '{"type":"record","name":"u","fields":[{"name":"a","type":["null","int"]},{"name":"b","type":["int","null"]},{"name":"c","type":["null","string"]}]}',
    'a int, b int, c text', ARRAY['00000e020278', '020a0200'], NULL),
(4, 'decimals as bytes', '{"type":"record","name":"m","fields":[{"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},{"name":"b","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},{"name":"c","type":{"type":"bytes","logicalType":"decimal","precision":40,"scale":10}}]}',
    'a numeric, b numeric, c numeric', ARRAY['06ed2979020022fc5f36df8a3f240c475343a06973fb2aeb', '00027f08ffffffff', '10800000000000000000100000000000000000', '0a00000000050aff80000000020a'], NULL),
(5, 'decimal as fixed(16), beyond 64 bits', '{"type":"record","name":"m","fields":[{"name":"a","type":{"type":"fixed","name":"f16","size":16,"logicalType":"decimal","precision":38,"scale":0}}]}',
    'a numeric', ARRAY['80000000000000000000000000000000', '7fffffffffffffffffffffffffffffff', '00000000000000000000000000000000', 'ffffffffffffffffffffffffffffffff'], NULL),
(7, 'dates', '{"type":"record","name":"d","fields":[{"name":"a","type":{"type":"int","logicalType":"date"}},{"name":"b","type":{"type":"int","logicalType":"date"}}]}',
    'a date, b date', ARRAY['01c082e602'], NULL),
(8, 'a date that no date can hold', '{"type":"record","name":"d","fields":[{"name":"a","type":{"type":"int","logicalType":"date"}}]}',
    'a date', ARRAY['feffffff0f'], NULL),
(9, 'the same into an integer', '{"type":"record","name":"d","fields":[{"name":"a","type":{"type":"int","logicalType":"date"}}]}',
    'a int', ARRAY['feffffff0f'], NULL),
(10, 'timestamps, one before 1970', '{"type":"record","name":"t","fields":[{"name":"a","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"b","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"c","type":{"type":"long","logicalType":"local-timestamp-micros"}},{"name":"d","type":{"type":"long","logicalType":"timestamp-millis"}}]}',
    'a timestamptz, b timestamptz, c timestamp, d timestamptz', ARRAY['e6b2938bb1630180f4c48fbfb78806ffdfe6a2e2a01c'], NULL),
(11, 'nanoseconds', '{"type":"record","name":"t","fields":[{"name":"a","type":{"type":"long","logicalType":"timestamp-nanos"}}]}',
    'a timestamptz', ARRAY['01', 'd00f', 'cf0f'], NULL),
(13, 'UUIDs', '{"type":"record","name":"u","fields":[{"name":"a","type":{"type":"string","logicalType":"uuid"}},{"name":"b","type":{"type":"fixed","name":"u16","size":16,"logicalType":"uuid"}}]}',
    'a uuid, b uuid', ARRAY['4863353264636332342d386638622d346266302d396434622d306238653165356232663339c52dcc248f8b4bf09d4b0b8e1e5b2f39'], NULL),
(14, 'duration', '{"type":"record","name":"u","fields":[{"name":"a","type":{"type":"fixed","name":"dur","size":12,"logicalType":"duration"}}]}',
    'a interval', ARRAY['0100000002000000bc0b0000'], NULL),
(16, 'array into an array column', '{"type":"record","name":"a","fields":[{"name":"a","type":{"type":"array","items":"int"}},{"name":"b","type":{"type":"array","items":["null","string"]}}]}',
    'a int[], b text[]', ARRAY['0602030600040202780000', '0000'], NULL),
(17, 'array in two blocks, one with its size', '{"type":"record","name":"a","fields":[{"name":"a","type":{"type":"array","items":"int"}}]}',
    'a int[]', ARRAY['03040204020600', '03060204020600'], NULL),
(18, 'a path into the same', '{"type":"record","name":"a","fields":[{"name":"a","type":{"type":"array","items":"int"}}]}',
    'first int, third int, fourth int, whole jsonb', ARRAY['03040204020600'], '{"first": "a[0]", "third": "a[2]", "fourth": "a[3]", "whole": "a"}'),
(19, 'nested record by path, and whole', '{"type":"record","name":"o","fields":[{"name":"id","type":"int"},{"name":"cust","type":{"type":"record","name":"c","fields":[{"name":"name","type":"string"},{"name":"addr","type":["null",{"type":"record","name":"ad","fields":[{"name":"city","type":"string"}]}]}]}}]}',
    'id int, city text, cust jsonb, composite customer', ARRAY['02024e0206556c6d', '02024e00'], '{"city": "cust.addr.city", "cust": "cust", "composite": "cust"}'),
(20, 'a schema that contains itself', '{"type":"record","name":"ll","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","ll"]}]}',
    'v int, next jsonb', ARRAY['020204020600', repeat('0202', 300) || '0200'], NULL),
(21, 'the same, and only the first value wanted', '{"type":"record","name":"ll","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","ll"]}]}',
    'v int, third int', ARRAY['020204020600', '0200', repeat('0202', 300) || '0200'], '{"third": "next.next.v"}'),
(22, 'a default that belongs to a logical type in a union', '{"type":"record","name":"d","fields":[{"name":"a","type":[{"type":"int","logicalType":"date","connect.version":1,"connect.default":0,"connect.name":"org.apache.kafka.connect.data.Date"},"null"],"default":0}]}',
    'a date', ARRAY['00c2b302', '02'], NULL),
(23, 'not UTF-8, and a NUL', one('"string"'), 'a text', ARRAY['04c328', '0200', '02'], NULL),
(24, 'the same into json, and where nobody takes it', one('"string"'), 'a jsonb, j json, n bigint', ARRAY['0200', '0261'], '{"j": "a", "n": "$offset"}'),
(25, 'bytes in a document', '{"type":"record","name":"b","fields":[{"name":"a","type":{"type":"record","name":"i","fields":[{"name":"y","type":"bytes"}]}}]}',
    'a jsonb, y jsonb, b bytea', ARRAY['0401fe', '00'], '{"y": "a.y", "b": "a.y"}'),
(26, 'a long into an int column', one('"long"'), 'a int', ARRAY['80f882ad16', '02'], NULL),
(27, 'a long elsewhere', one('"long"'), 'a numeric, b bigint, c text, d real, e numeric(4,1), f varchar(3), j json, p positive, q bool', ARRAY['02', '80f882ad16'], '{"b": "a", "c": "a", "d": "a", "e": "a", "f": "a", "j": "a", "p": "a", "q": "a"}'),
(28, 'a top-level string', '"string"', 'v text, b bytea, j jsonb', ARRAY['0a68656c6c6f'], '{"v": "$value", "b": "$value", "j": "$value"}'),
(29, 'bytes behind the record, and too few', one('"int"'), 'a int', ARRAY['0202', '', '80', '02'], NULL),
(30, 'a top-level string for fields', '"string"', 'v text', ARRAY['0a68656c6c6f'], NULL),
(31, 'block count of -2^63', one('{"type":"array","items":"int"}'), 'a int[]', ARRAY['ffffffffffffffffff0102', '7fffffffffffffffff01', 'fcffffffffffffffff01'], NULL),
(32, 'length -1', one('"bytes"'), 'a bytea', ARRAY['01', 'feffffffffffffffff01', '02', 'ffffffffffffffffffff01', 'ffffffffffffffffff03'], NULL),
(34, 'union branches 5 and -1 of 2', one('["null","int"]'), 'a int', ARRAY['0a', '01', '04', '00'], NULL),
(37, 'an int beyond 32 bits', one('"int"'), 'a int', ARRAY['feffffffffffffffff01', '8080808010', 'ffffffff1f', 'ffffffff0f'], NULL),
(38, 'a billion nulls', one('{"type":"array","items":"null"}'), 'n bigint', ARRAY['80a8d6b90700'], '{"n": "$offset"}'),
(39, 'a billion nulls, wanted', one('{"type":"array","items":"null"}'), 'a jsonb', ARRAY['80a8d6b90700', '0400'], NULL),
(40, 'a boolean of 2, and an enum', '{"type":"record","name":"r","fields":[{"name":"a","type":"boolean"},{"name":"e","type":{"type":"enum","name":"e","symbols":["X","Y","Z"]}}]}',
    'a bool, e text', ARRAY['0104', '0204', '0006', '0001', '0000'], NULL),
(41, 'maps', one('{"type":"map","values":["null","long"]}'), 'a jsonb, k int, l int', ARRAY['04026b0202026c0000', '04026b0202026b020400', '0108026b020200', '00', '0202ff0000', '02026b0204026c00026b0000'], '{"k": "a.k", "l": "a.l"}'),
(42, 'times of day', '{"type":"record","name":"t","fields":[{"name":"a","type":{"type":"int","logicalType":"time-millis"}},{"name":"b","type":{"type":"long","logicalType":"time-micros"}},{"name":"c","type":{"type":"long","connect.name":"io.debezium.time.NanoTime"}}]}',
    'a time, b time, c time(0), t text', ARRAY['f6c5aa22feffbadd8305fefff79492a527', '00009e1f', '80f0b2528080bbdd83058080f89492a527', '010000', '0a8280bbdd830500'], '{"t": "a"}'),
(43, 'values as documents', '{"type":"record","name":"v","fields":[{"name":"d","type":{"type":"int","logicalType":"date"}},{"name":"t","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"l","type":{"type":"long","logicalType":"local-timestamp-millis"}},{"name":"r","type":"double"},{"name":"m","type":{"type":"bytes","logicalType":"decimal","precision":5,"scale":3}}]}',
    'd jsonb, t jsonb, l json, r jsonb, m jsonb, whole jsonb', ARRAY['0202d00f000000000000f87f0201', 'e7ec5701ffafacebb8a41c000000000000f03f04ff01'], '{"whole": "$value"}'),
(44, 'fields that no column takes', '{"type":"record","name":"v","fields":[{"name":"a","type":"int"},{"name":"b \"\\","type":"string"},{"name":"c","type":{"type":"array","items":"int"}}]}',
    'a int, rest jsonb', ARRAY['020278020600'], '{"rest": "$rest"}'),
(45, 'a record within a union at the top', '["null",{"type":"record","name":"x","namespace":"n.s","fields":[{"name":"a","type":"int"}]},{"type":"record","name":"y","namespace":"n.s","fields":[{"name":"b","type":"x"},{"name":"a","type":"string"}]}]',
    'a text, b jsonb DEFAULT ''{}'', b_a int', ARRAY['020e', '04140278', '00'], '{"b_a": "b.a"}'),
(46, 'infinities', one('"double"'), 'a float8, b float4, n text, j jsonb', ARRAY['000000000000f07f', '000000000000f0ff', '010000000000f87f', '9a9999999999b93f', 'a0c8eb85f3cce17f'], '{"b": "a", "n": "a", "j": "a"}'),
(47, 'logical types that do not fit', '{"type":"record","name":"v","fields":[{"name":"a","type":{"type":"string","logicalType":"date"}},{"name":"b","type":{"type":"bytes","logicalType":"decimal","precision":2,"scale":3}},{"name":"c","type":{"type":"long","logicalType":"fortnight"}}]}',
    'a text, b bytea, c int', ARRAY['0278020102'], NULL),
(48, 'a zero that takes no bytes', '{"type":"record","name":"e","fields":[]}', 'n bigint', ARRAY['', '00'], '{"n": "$offset"}');
INSERT INTO cases (n, what, schema, columns, hex, mapping, options, tz) VALUES
(12, 'a moment and a local time in each other''s column', '{"type":"record","name":"t","fields":[{"name":"a","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"c","type":{"type":"long","logicalType":"local-timestamp-micros"}}]}',
    'a timestamp, c timestamptz, d date, t text, u timestamptz(0), j jsonb', ARRAY['e6b2938bb16380f4c48fbfb78806'], '{"d": "a", "t": "a", "u": "a", "j": "a"}', '{}', 'Asia/Tokyo'),
(49, 'a bare number in a date column', one('"long"'), 'a timestamptz', ARRAY['e2b294de05', '02'], NULL, '{"epoch_unit": "seconds"}', 'UTC'),
(50, 'the same without a unit', one('"long"'), 'a date', ARRAY['e2b294de05'], NULL, '{}', 'UTC'),
(51, 'unknown fields', '{"type":"record","name":"v","fields":[{"name":"a","type":"int"},{"name":"b","type":"int"}]}', 'a int', ARRAY['0202'], NULL, '{"unknown_fields": "error"}', 'UTC'),
(52, 'missing fields', one('"int"'), 'a int, b int DEFAULT 7', ARRAY['02'], NULL, '{}', 'UTC'),
(36, 'strings that nobody takes', one('"string"'), 'n bigint', ARRAY['0200', '04c328', '04'], '{"n": "$offset"}', '{}', 'UTC'),
(53, 'missing fields are errors', one('"int"'), 'a int, b int DEFAULT 7', ARRAY['02'], NULL, '{"missing_fields": "error"}', 'UTC');

--
-- by decode
--
SELECT n, what, m - 1 AS message, fields, error FROM cases, unnest(hex) WITH ORDINALITY AS h (value, m),
    stream_ingest.decode('avro', decode(value, 'hex'), options => jsonb_build_object('schema', schema)) ORDER BY n, m;
-- a schema may be a text, and the name of a primitive type stands for itself
SELECT fields, error FROM unnest(ARRAY['long', '"long"', '["null", "long"]', '{"type": "long"}']) AS s, stream_ingest.decode('avro', '\x02', options => jsonb_build_object('schema', s));
-- tombstones, with keys in JSON
SELECT * FROM stream_ingest.decode('avro', NULL, '{"id": 1}', '{"schema": "long"}');

--
-- through subscriptions
--
\! test/mock_broker -c create avro 64
\copy (SELECT n || ' ' || v FROM cases, unnest(hex) WITH ORDINALITY AS h (v, m) ORDER BY n, m) TO PROGRAM 'while read n v; do echo "$v" | test/produce -t avro -p $n -x >/dev/null; done'
CREATE PROCEDURE run(number int) LANGUAGE plpgsql AS $$
DECLARE
    c cases := (SELECT c FROM cases c WHERE n = number);
    deadline timestamptz := clock_timestamp() + interval '30 s';
    r text;
BEGIN
    EXECUTE format('CREATE TABLE target (%s)', c.columns);
    EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), c.tz);
    PERFORM stream_ingest.create_subscription('avro', 'si_kafka', 'avro', 'target', format => 'avro', mapping => c.mapping,
        options => jsonb_build_object('schema', c.schema, 'partitions', c.n::text, 'breaker', 0) || c.options);
    COMMIT;
    WHILE (SELECT messages FROM stream_ingest.counts WHERE name = 'avro') < cardinality(c.hex) LOOP
        IF clock_timestamp() > deadline THEN
            RAISE WARNING 'waited in vain: %', (SELECT row(state, reason, last_error) FROM stream_ingest.status WHERE name = 'avro');
            EXIT;
        END IF;
        PERFORM pg_sleep(0.005);
        COMMIT;
    END LOOP;
    RAISE WARNING '%: %', c.n, c.what;
    FOR r IN EXECUTE 'SELECT _row::text FROM target _row' LOOP
        RAISE WARNING '    %', r;
    END LOOP;
    FOR r IN SELECT concat_ws(' ', message_offset, sqlstate, error, detail, column_name) FROM stream_ingest.dead_letters WHERE name = 'avro' ORDER BY message_offset LOOP
        RAISE WARNING '    dead: %', r;
    END LOOP;
    PERFORM stream_ingest.drop_subscription('avro');
    DROP TABLE target;
    COMMIT;
END $$;
\set VERBOSITY terse
SELECT format('CALL run(%s)', n) FROM cases ORDER BY n \gexec

--
-- every mode, with keys in JSON
--
\! test/mock_broker -c create avro_modes 1
\set record '{"type":"record","name":"r","fields":[{"name":"id","type":"int"},{"name":"v","type":["null","string"]},{"name":"n","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}]}'
\! printf '%s\n' '{"id":1};0202026104007b' '{"id":2};040202620204' '{"id":1};020202630206' '{"id":2};' '{"id":3};060002fe' '{"id":4};0802' | test/produce -t avro_modes -p 0 -x -Z -K ';' >/dev/null
CREATE TABLE appended (id int, v text, n numeric(9,2), o bigint);
CREATE TABLE kept (id int PRIMARY KEY, v text, n numeric);
CREATE TABLE current (id int PRIMARY KEY, v text DEFAULT 'none', n numeric);
CREATE TABLE totals (id int, n numeric, whole jsonb);
CREATE TABLE wholes (value jsonb, deleted bool);
SELECT stream_ingest.create_subscription('appended', 'si_kafka', 'avro_modes', 'appended', format => 'avro', mapping => '{"o": "$offset"}',
        options => jsonb_build_object('schema', :'record'::jsonb)),
    stream_ingest.create_subscription('kept', 'si_kafka', 'avro_modes', 'kept', format => 'avro', insert_mode => 'ignore',
        options => jsonb_build_object('schema', :'record'::jsonb)),
    stream_ingest.create_subscription('current', 'si_kafka', 'avro_modes', 'current', format => 'avro', insert_mode => 'upsert',
        options => jsonb_build_object('schema', :'record'::jsonb)) \g /dev/null
CREATE ROLE avro_owner LOGIN;
GRANT USAGE ON FOREIGN SERVER si_kafka TO avro_owner;
GRANT USAGE ON SCHEMA si_avro TO avro_owner;
GRANT ALL ON totals, wholes TO avro_owner;
SET ROLE avro_owner;
SELECT stream_ingest.create_subscription('totals', 'si_kafka', 'avro_modes', format => 'avro', fields => 'id int, n numeric, whole jsonb', mapping => '{"whole": "$value"}',
        apply => 'INSERT INTO si_avro.totals SELECT id, sum(n), jsonb_agg(whole ORDER BY _offset) FROM batch WHERE NOT _deleted GROUP BY id',
        options => jsonb_build_object('schema', :'record'::jsonb, 'batch_interval', '300 ms')),
    stream_ingest.create_subscription('wholes', 'si_kafka', 'avro_modes', format => 'avro',
        apply => 'INSERT INTO si_avro.wholes SELECT value, _deleted FROM batch', options => jsonb_build_object('schema', :'record'::jsonb)) \g /dev/null
RESET ROLE;
DO $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        EXIT WHEN (SELECT count(*) = 5 AND bool_and(messages = 6) FROM stream_ingest.counts);
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
SELECT * FROM appended ORDER BY o;
SELECT * FROM kept ORDER BY id;
SELECT * FROM current ORDER BY id;
SELECT * FROM totals ORDER BY id;
SELECT * FROM wholes ORDER BY value::text;
SELECT name, messages, applied, ignored, dead_letters FROM stream_ingest.counts ORDER BY name;
SELECT DISTINCT name, message_offset, sqlstate, error FROM stream_ingest.dead_letters ORDER BY name;
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null
DROP OWNED BY avro_owner;
DROP ROLE avro_owner;

--
-- schemas that are none
--
CREATE FUNCTION refused(schema text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM stream_ingest.decode('avro', '\x', options => jsonb_build_object('schema', schema));
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', SQLSTATE, SQLERRM, nullif(detail, ''));
END $$;
SELECT left(s, 70) || ' -> ' || refused(s) FROM unnest(ARRAY[
    'no such type', 'x', '{', '{"type": "record"', '1', 'null', 'true', '[]', '{}', '{"type": 5}', '"str"', '["null", ["int"]]', '["null", "nix"]',
    '{"type": "record", "name": "r"}', '{"type": "record", "fields": []}', '{"type": "record", "name": "", "fields": []}', '{"type": "record", "name": "r", "fields": [1]}',
    '{"type": "record", "name": "r", "fields": [{"name": "a"}]}', '{"type": "record", "name": "r", "fields": [{"type": "int"}]}',
    '{"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": {"type": "array", "items": ["null", {"type": "map", "values": "nix"}]}}]}',
    '{"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]}',
    '{"type": "record", "name": "int", "fields": []}', '{"type": "record", "name": "r", "namespace": "n", "fields": [{"name": "a", "type": {"type": "fixed", "name": "n.r", "size": 1}}]}',
    '{"type": "array"}', '{"type": "map", "items": "int"}', '{"type": "enum", "name": "e"}', '{"type": "enum", "name": "e", "symbols": [1]}',
    '{"type": "fixed", "name": "f"}', '{"type": "fixed", "name": "f", "size": -1}', '{"type": "fixed", "name": "f", "size": 1e3}',
    '{"type": "bytes", "logicalType": "decimal", "precision": 20000, "scale": 20000}', '{"type": "int", "type": "long"}',
    repeat('{"type":', 101) || '"int"' || repeat('}', 101), repeat('{"type":"array","items":', 99) || '"int"' || repeat('}', 99),
    '["int"' || repeat(',{"type":"array","items":"int"}', 20000) || ']']) AS s;
-- names of namespaces, before and after
SELECT refused(s) FROM unnest(ARRAY[
    '{"type": "record", "name": "a.b.r", "fields": [{"name": "x", "type": {"type": "fixed", "name": "f", "size": 1}}, {"name": "y", "type": "a.b.f"}, {"name": "z", "type": "f"}, {"name": "s", "type": ["null", "r", "a.b.r"]}]}',
    '{"type": "record", "name": "r", "namespace": "a", "fields": [{"name": "x", "type": {"type": "fixed", "name": "f", "namespace": "b", "size": 1}}, {"name": "y", "type": "f"}]}',
    '{"type": "record", "name": "r", "namespace": "a", "fields": [{"name": "x", "type": {"type": "fixed", "name": "f", "namespace": "b", "size": 1}}, {"name": "y", "type": "b.f"}]}',
    '{"type": "error", "name": "r", "aliases": ["q"], "doc": "d", "fields": [{"name": "x", "type": "q", "order": "ignore"}]}']) AS s;

--
-- options
--
CREATE TABLE t (a int);
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'avro', 't', format => 'avro');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'avro', 't', format => 'avro', options => '{"schema": {"type": "record", "name": "r", "fields": [{"name": "a", "type": "nix"}]}}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'avro', 't', format => 'json', options => '{"schema": "int"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'avro', 't', format => 'avro', options => '{"schema": 5}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'avro', 't', format => 'avro', options => '{"schema": ""}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'avro', 't', format => 'avro', options => '{"schema": "int", "encoding": "LATIN1"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'avro', 't', format => 'avro', enabled => false, options => '{"schema": {"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}]}}') \g /dev/null
SELECT settings -> 'schema' FROM stream_ingest.subscriptions WHERE name = 'x';
SELECT stream_ingest.alter_subscription('x', options => '{"schema": "nix"}');
SELECT stream_ingest.alter_subscription('x', options => '{"schema": null}');
SELECT stream_ingest.drop_subscription('x') \g /dev/null
SELECT stream_ingest.infer_table('si_kafka', 'avro', 't2', format => 'avro');

ALTER DATABASE contrib_regression RESET timezone;
DROP SCHEMA si_avro CASCADE;
DROP EXTENSION stream_ingest CASCADE;
