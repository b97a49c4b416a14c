CREATE EXTENSION stream_ingest;

--
-- Change events in Protobuf, as Kafka Connect's converter writes them: by decode, and
-- by subscriptions on librdkafka's embedded broker.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset tuples_only on
\pset null '~'
SET client_min_messages = warning;
SET timezone = 'Asia/Tokyo';
SET datestyle = 'ISO, MDY';
SET bytea_output = 'hex';
CREATE SCHEMA si_proto_envelopes;
SET search_path = si_proto_envelopes;

-- fields: a number, and bytes
CREATE FUNCTION varint(n bigint) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    result bytea := '';
    rest numeric := CASE WHEN n < 0 THEN 18446744073709551616 + n ELSE n END;
BEGIN
    WHILE rest > 127 LOOP
        result := result || set_byte('\x00', 0, (rest % 128)::int | 128);
        rest := div(rest, 128);
    END LOOP;
    RETURN result || set_byte('\x00', 0, rest::int);
END $$;
CREATE FUNCTION f(number int, n bigint) RETURNS bytea LANGUAGE sql AS 'SELECT varint(number * 8) || varint(n)';
CREATE FUNCTION f(number int, b bytea) RETURNS bytea LANGUAGE sql AS 'SELECT varint(number * 8 + 2) || varint(length(b)) || b';
CREATE FUNCTION f(number int, t text) RETURNS bytea LANGUAGE sql AS $$SELECT f(number, convert_to(t, 'UTF8'))$$;
-- an event: a row that is not there is null
CREATE FUNCTION event(op text, before bytea, after bytea, lsn bigint DEFAULT 10) RETURNS bytea LANGUAGE sql AS $$
    SELECT coalesce(f(1, before), '') || coalesce(f(2, after), '') || f(3, f(1, 'c') || f(2, lsn)) || f(4, op) || f(5, 1700000000000);
$$;
CREATE FUNCTION person(id int, name text DEFAULT NULL, bio text DEFAULT NULL) RETURNS bytea LANGUAGE sql AS $$
    SELECT f(1, id) || coalesce(f(2, name), '') || coalesce(f(3, bio), '');
$$;

\set proto 'syntax = "proto3"; package pg.public.c; import "confluent/meta.proto"; import "confluent/type/decimal.proto"; import "google/protobuf/timestamp.proto"; import "google/type/date.proto"; import "google/type/timeofday.proto";\nmessage Envelope { optional Value before = 1; optional Value after = 2; Source source = 3; string op = 4; optional int64 ts_ms = 5; optional block transaction = 6;\n  message Value { int32 id = 1; optional string name = 2; optional string bio = 3; optional confluent.type.Decimal price = 4 [(confluent.field_meta) = { params: [ { key: "precision", value: "10" }, { key: "scale", value: "2" } ] }]; optional google.type.Date day = 5; optional google.type.TimeOfDay t = 6; optional google.protobuf.Timestamp at = 7; optional VariableScaleDecimal n = 8; optional bytes y = 9; repeated string tags = 10; optional Point p = 11; int32 small = 12 [(confluent.field_meta) = { params: [ { key: "connect.type", value: "int16" } ] }];\n    message VariableScaleDecimal { int32 scale = 1; bytes value = 2; } message Point { optional double x = 1; } }\n  message Source { string table = 1; optional int64 lsn = 2; } message block { string id = 1; } }'
SELECT jsonb_build_object('envelope', 'debezium', 'schema', replace(:'proto', '\n', E'\n')) AS options \gset

CREATE TABLE cases (n serial PRIMARY KEY, what text, value bytea);
INSERT INTO cases (what, value) VALUES
('created', event('c', NULL, person(1, 'Anne'))),
('of a snapshot, every type', event('r', NULL, person(2, 'Bob', 'x') || f(4, f(1, '\x04d2'::bytea) || f(2, 10) || f(3, 2)) || f(5, f(1, 2024) || f(2, 2) || f(3, 8)) || f(6, f(1, 12) || f(2, 30) || f(3, 11) || f(4, 123456789))
    || f(7, f(1, 1707395411) || f(2, 123000000)) || f(8, f(1, 3) || f(2, '\x04d2'::bytea)) || f(9, '\x00ff'::bytea) || f(10, 'a') || f(10, 'b') || f(11, ''::bytea) || f(12, 7))),
('updated', event('u', person(1, 'Anne'), person(1, 'Anna'))),
('deleted', event('d', person(1, 'Anne'), NULL)),
('deleted, without the old row', event('d', NULL, NULL)),
('an empty row', event('c', NULL, '')),
('rows in parts, which are merged', f(2, f(1, 5)) || event('c', NULL, f(2, 'Eve'))),
('of an operation that comes twice the last counts', event('d', NULL, person(1)) || f(4, 'c')),
('no new row', event('c', person(1), NULL)),
('no operation', f(2, person(1))),
('another operation', event('x', NULL, person(1))),
('a truncate', event('t', NULL, NULL)),
('a logical message', event('m', NULL, NULL)),
('a heartbeat, or nothing', ''),
('cut', '\x120508'),
('another wire type in the row', event('c', NULL, '\x0d01020304')),
('a name that is not UTF-8', event('c', NULL, f(1, 1) || f(2, '\xc328'::bytea))),
('a decimal with a scale that none has', event('c', NULL, f(1, 1) || f(8, f(1, 16384) || f(2, '\x01'::bytea)))),
('a decimal with an exponent', event('c', NULL, f(1, 1) || f(8, f(1, -3) || f(2, '\xfb2e'::bytea))));
SELECT n, what, operation, fields, error FROM cases, stream_ingest.decode('protobuf', value, options => :'options') ORDER BY n;
-- without an envelope it is a message like any other
SELECT fields FROM cases, stream_ingest.decode('protobuf', value, options => jsonb_build_object('schema', :'options'::jsonb -> 'schema')) WHERE n IN (3, 4) ORDER BY n;
-- without presence there is a zero instead of a null
SELECT fields FROM stream_ingest.decode('protobuf', event('c', NULL, ''), options => jsonb_set(:'options', '{schema}', '"syntax = \"proto3\"; message E { V before = 1; V after = 2; message V { int32 id = 1; string name = 2; bool b = 3; } string op = 4; }"'));
-- wrappers
SELECT operation, fields, error FROM stream_ingest.decode('protobuf', f(2, f(1, ''::bytea) || f(2, f(1, 'x'))) || f(4, f(1, 'c')), options => jsonb_set(:'options', '{schema}', '"syntax = \"proto3\"; import \"google/protobuf/wrappers.proto\"; message E { V before = 1; V after = 2; message V { google.protobuf.Int32Value a = 1; google.protobuf.StringValue b = 2; google.protobuf.StringValue c = 3; } google.protobuf.StringValue op = 4; }"'));
-- a row that is a map, of a type that the schema lacks, and none
SELECT operation, fields, error FROM unnest(ARRAY['map<string, int32> after = 2;', 'Other after = 2;', '']) AS declared,
    stream_ingest.decode('protobuf', event('c', NULL, f(1, 'k') || f(2, 5)), options => jsonb_set(:'options', '{schema}', to_jsonb('syntax = "proto3"; message E { message V { string a = 1; } string op = 4; ' || declared || ' }')));

--
-- the table of the schema
--
CREATE FUNCTION infer(topic text, options jsonb) RETURNS SETOF text LANGUAGE sql AS $$SELECT stream_ingest.infer_table('si_kafka', topic, 'inferred', format => 'protobuf', options => options)$$;
SELECT jsonb_build_object('envelope', 'debezium', 'schemas', jsonb_build_object('1', :'options'::jsonb -> 'schema', '2', 'syntax = "proto3"; message Key { int32 id = 1; }')) AS by_id \gset
\! test/mock_broker -c create proto_infer 1
\copy (SELECT '00000000020008' || '01;000000000100' || encode(si_proto_envelopes.event('c', NULL, si_proto_envelopes.person(1, 'Anne')), 'hex')) TO PROGRAM 'test/produce -t proto_infer -p 0 -x -y -K ";" >/dev/null'
SELECT infer('proto_infer', :'by_id');
SELECT infer('proto_infer', jsonb_set(:'by_id', '{key_format}', '"bytes"'));
SELECT infer('proto_infer', jsonb_set(:'by_id', '{schemas,1}', '"message X { optional int32 id = 1; optional string after = 2; }"'));

--
-- by subscriptions, with keys that name their schemas
--
\! test/mock_broker -c create proto_changes 1
CREATE TABLE sent (o serial PRIMARY KEY, key bytea, value bytea);
INSERT INTO sent (key, value) VALUES
(f(1, 1), event('r', NULL, person(1, 'Anne', 'x') || f(4, f(1, '\x04d2'::bytea) || f(2, 10) || f(3, 2)) || f(9, '\x0102'::bytea) || f(10, 'a') || f(11, '\x09000000000000f83f'::bytea), 11)),
(f(1, 2), event('c', NULL, person(2, 'Bob') || f(5, f(1, 2024) || f(2, 2) || f(3, 8)) || f(6, f(1, 24)) || f(7, f(1, 1707395411) || f(2, 123000000)) || f(8, f(2, '\x05'::bytea)), 12)),
(f(1, 3), event('c', NULL, person(3, 'Carl'), 13)),
-- large values that an update left unchanged
(f(1, 1), event('u', NULL, person(1, 'Anna', '__debezium_unavailable_value') || f(9, '__debezium_unavailable_value') || f(10, '__debezium_unavailable_value'), 14)),
(f(1, 4), event('u', NULL, person(4, 'Dora', '__debezium_unavailable_value'), 15)),
-- the key changes
(f(1, 3), event('d', person(3, 'Carl'), NULL, 16)), (f(1, 3), NULL), (f(1, 7), event('c', NULL, person(7, 'Carl'), 16)),
-- a delete whose event lacks the old row, and one of which it has the key alone
(f(1, 2), event('d', NULL, NULL, 17)), (f(1, 2), NULL),
(NULL, event('c', NULL, person(5, 'Eve'), 18)), (NULL, event('d', person(5), NULL, 19)),
-- every type, with an old row
(f(1, 9), event('u', person(9, 'Gil'), person(9, 'Gus') || f(4, f(1, '\xfb2e'::bytea) || f(2, 10) || f(3, 2)) || f(5, f(1, 2024) || f(2, 2) || f(3, 8)) || f(6, f(1, 12) || f(4, 1999)) || f(7, f(1, 1707395411) || f(2, 123000000))
    || f(8, f(1, 3) || f(2, '\x05'::bytea)) || f(9, '\x00ff'::bytea) || f(10, 'a') || f(10, 'b') || f(11, '\x09000000000000f83f'::bytea) || f(12, 7), 20)),
-- broken ones
(f(1, 8), event('c', NULL, NULL, 20)), (f(1, 8), '\x'), (f(1, 8), '\x120508'), (f(1, 8), event('c', NULL, f(1, 8) || f(2, '\xff'::bytea), 21)), (f(1, 8), event('t', NULL, NULL, 22)), (f(1, 8), event('m', NULL, NULL, 23)),
(f(1, 8), event('c', NULL, person(8) || f(6, f(1, 25)), 24)), ('\x08', event('d', NULL, NULL, 25)), (NULL, event('d', NULL, NULL, 26));
\copy (SELECT coalesce('000000000200' || encode(key, 'hex'), '') || ';' || coalesce('000000000100' || encode(value, 'hex'), '') FROM si_proto_envelopes.sent ORDER BY o) TO PROGRAM 'test/produce -t proto_changes -p 0 -x -y -Z -K ";" >/dev/null'
CREATE TABLE upserted (id int PRIMARY KEY, name text NOT NULL DEFAULT 'none', bio text DEFAULT 'empty', price numeric(10, 2), day date, t time, at timestamp, n numeric, y bytea, tags text[], p jsonb, x float8, small int2, op text, lsn bigint, nix int DEFAULT 9);
CREATE TABLE inserted (id int, name text, was text, old jsonb, op text, lsn bigint, source text, rest jsonb, o bigint);
CREATE TABLE applied (id int, name text, deleted bool, op text);
CREATE ROLE proto_owner LOGIN;
GRANT USAGE ON FOREIGN SERVER si_kafka TO proto_owner;
GRANT USAGE ON SCHEMA si_proto_envelopes TO proto_owner;
GRANT ALL ON applied TO proto_owner;
CREATE PROCEDURE wait_for(n bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        EXIT WHEN (SELECT bool_and(messages = n) FROM stream_ingest.counts);
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
SELECT stream_ingest.create_subscription('upserted', 'si_kafka', 'proto_changes', 'upserted', format => 'protobuf', insert_mode => 'upsert', mapping => '{"op": "$op", "lsn": "$source.lsn", "x": "p.x"}',
        options => :'by_id'::jsonb || '{"breaker": 0, "batch_size": 1}'),
    stream_ingest.create_subscription('inserted', 'si_kafka', 'proto_changes', 'inserted', format => 'protobuf',
        mapping => '{"was": "$before.name", "old": "$before", "op": "$op", "lsn": "$source.lsn", "source": "$source.table", "rest": "$rest", "o": "$offset"}', options => :'by_id'::jsonb || '{"breaker": 0, "batch_size": 1}') \g /dev/null
SET ROLE proto_owner;
SELECT stream_ingest.create_subscription('applied', 'si_kafka', 'proto_changes', format => 'protobuf', fields => 'id int, name text, op text', mapping => '{"op": "$op"}',
    apply => 'INSERT INTO si_proto_envelopes.applied SELECT id, name, _deleted, op FROM batch', options => :'by_id'::jsonb || '{"breaker": 0, "batch_size": 1}') \g /dev/null
RESET ROLE;
SELECT count(*) AS sent FROM sent \gset
CALL wait_for(:sent);
SELECT * FROM upserted ORDER BY id;
SELECT * FROM inserted ORDER BY o;
SELECT * FROM applied ORDER BY id, deleted, op;
SELECT name, messages, applied, ignored, dead_letters FROM stream_ingest.counts ORDER BY name;
SELECT name, message_offset, sqlstate, error, column_name FROM stream_ingest.dead_letters ORDER BY name, message_offset;
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null

-- the table of the schema takes all that are not broken
SELECT infer('proto_changes', :'by_id') \gexec
SELECT stream_ingest.create_subscription('inferred', 'si_kafka', 'proto_changes', 'inferred', format => 'protobuf', insert_mode => 'upsert', options => :'by_id'::jsonb || '{"breaker": 0}') \g /dev/null
CALL wait_for(:sent);
SELECT * FROM inferred ORDER BY id;
SELECT array_agg(message_offset ORDER BY message_offset) FROM stream_ingest.dead_letters;
SELECT stream_ingest.drop_subscription('inferred') \g /dev/null

--
-- one schema for all, keys in JSON, unknown fields, names as they are spelled elsewhere
--
\! test/mock_broker -c create proto_plain 1
\copy (SELECT coalesce('{"id": ' || get_byte(key, 1) || '}', '') || ';' || coalesce(encode(value, 'hex'), '') FROM si_proto_envelopes.sent WHERE o <= 10 ORDER BY o) TO PROGRAM 'test/produce -t proto_plain -p 0 -x -Z -K ";" >/dev/null'
CREATE TABLE plain ("Id" int PRIMARY KEY, name text, bio text, price numeric, day date, t time, at timestamptz, n numeric, y bytea, tags jsonb, small int);
CREATE TABLE versions (id int PRIMARY KEY, name text, lsn bigint);
SELECT stream_ingest.create_subscription('plain', 'si_kafka', 'proto_plain', 'plain', format => 'protobuf', insert_mode => 'upsert', options => :'options'::jsonb || '{"match_names": "ignore_case", "unknown_fields": "error", "breaker": 0}'),
    stream_ingest.create_subscription('versions', 'si_kafka', 'proto_plain', 'versions', format => 'protobuf', insert_mode => 'upsert', mapping => '{"lsn": "$source.lsn"}', options => :'options'::jsonb || '{"version_column": "lsn"}') \g /dev/null
CALL wait_for(10);
SELECT * FROM plain ORDER BY 1;
SELECT * FROM versions ORDER BY 1;
SELECT name, message_offset, sqlstate, error, detail FROM stream_ingest.dead_letters ORDER BY name, message_offset;
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null

--
-- Debezium's own types, whose names the converter does not keep
--
\! test/mock_broker -c create proto_numbers 1
CREATE TABLE numbers (o serial PRIMARY KEY, value bytea);
INSERT INTO numbers (value) SELECT event('c', NULL, f(1, n) || v) FROM (VALUES (1, f(2, 19761)), (2, f(3, 45011123456)), (3, f(4, 1707395411123456)), (4, f(5, 1707395411123456)), (5, f(6, 90500000)),
    (6, f(7, '{"a": [1, "x"]}')), (7, f(8, '2024-02-08') || f(9, '2024-02-08T12:30:11.5Z')), (8, f(7, '{')), (9, f(2, -1)), (10, f(2, 4000000000)), (11, f(2, 2932896)), (12, f(4, 9223372036825200000) || f(5, -9223372036832400000))) AS r (n, v);
\copy (SELECT encode(value, 'hex') FROM si_proto_envelopes.numbers ORDER BY o) TO PROGRAM 'test/produce -t proto_numbers -p 0 -x >/dev/null'
\set numbers '{"envelope": "debezium", "breaker": 0, "schema": "syntax = \\"proto3\\"; message E { V before = 1; V after = 2; string op = 4; message V { int32 id = 1; optional int64 d = 2; optional int64 t = 3; optional int64 at = 4; optional int64 z = 5; optional int64 i = 6; optional string j = 7; optional string day = 8; optional string zoned = 9; } }"}'
CREATE TABLE as_numbers (id int PRIMARY KEY, d date, t time, at timestamp, z timestamptz, i interval, j jsonb, whole jsonb, day date, zoned timestamptz);
CREATE TABLE as_moments (LIKE as_numbers INCLUDING ALL);
SELECT stream_ingest.create_subscription('as_numbers', 'si_kafka', 'proto_numbers', 'as_numbers', format => 'protobuf', insert_mode => 'upsert', mapping => '{"j": "j::json", "whole": "j"}', options => :'numbers'),
    stream_ingest.create_subscription('as_moments', 'si_kafka', 'proto_numbers', 'as_moments', format => 'protobuf', insert_mode => 'upsert', options => :'numbers'::jsonb || '{"epoch_unit": "microseconds"}') \g /dev/null
CALL wait_for(12);
SELECT * FROM as_numbers ORDER BY id;
SELECT * FROM as_moments ORDER BY id;
SELECT name, message_offset, sqlstate, error FROM stream_ingest.dead_letters ORDER BY name, message_offset;
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null

--
-- rows that say that they are deleted
--
\! test/mock_broker -c create proto_rows 1
\copy (SELECT encode(v, 'hex') FROM (VALUES (si_proto_envelopes.f(1, 1) || si_proto_envelopes.f(2, 'a')), (si_proto_envelopes.f(1, 2) || si_proto_envelopes.f(3, 'false')), (si_proto_envelopes.f(1, 1) || si_proto_envelopes.f(3, 'true')), (si_proto_envelopes.f(1, 3) || si_proto_envelopes.f(4, 1))) AS r (v)) TO PROGRAM 'test/produce -t proto_rows -p 0 -x >/dev/null'
CREATE TABLE rows (id int PRIMARY KEY, v text);
SELECT stream_ingest.create_subscription('rows', 'si_kafka', 'proto_rows', 'rows', format => 'protobuf', insert_mode => 'upsert', options => '{"batch_size": 1, "deleted_field": "__deleted", "schema": "syntax = \"proto3\"; message R { int32 id = 1; string v = 2; string __deleted = 3; bool gone = 4; }"}'),
    stream_ingest.create_subscription('gone', 'si_kafka', 'proto_rows', 'versions', format => 'protobuf', insert_mode => 'upsert', options => '{"batch_size": 1, "deleted_field": "gone", "schema": "syntax = \"proto3\"; message R { int32 id = 1; string v = 2; string __deleted = 3; bool gone = 4; }"}') \g /dev/null
CALL wait_for(4);
SELECT * FROM rows;
SELECT * FROM versions ORDER BY 1;
SELECT name, applied, ignored FROM stream_ingest.counts ORDER BY 1;
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null

--
-- times of day, and messages of the same name that are no decimals
--
CREATE TABLE times (v bytea);
INSERT INTO times VALUES (''), (f(1, 23) || f(2, 59) || f(3, 60)), (f(1, 23) || f(2, 59) || f(3, 60) || f(4, 1000)), (f(1, 24)), (f(1, 24) || f(4, 999)), (f(1, 24) || f(3, 1)), (f(1, -1)), (f(2, 60)), (f(3, 61)), (f(4, 1000000000)), (f(4, 999999999)),
    (f(1, 2147483647) || f(2, 2147483647) || f(3, 2147483647) || f(4, -2147483648)), (f(1, 9) || f(2, 5) || f(3, 1) || f(4, 20000000)), (f(1, 10) || f(2, 5) || f(3, 7) || f(4, -5));
SELECT fields -> 't', fields -> 'd' FROM times, stream_ingest.decode('protobuf', f(1, v) || f(2, f(1, 2) || f(2, '\x7f'::bytea)), options => '{"schema": "syntax = \"proto3\"; import \"google/type/timeofday.proto\"; message X { google.type.TimeOfDay t = 1; VariableScaleDecimal d = 2; message VariableScaleDecimal { int32 scale = 1; bytes value = 2; } }"}');
SELECT fields FROM unnest(ARRAY['int32 scale = 1; bytes value = 2;', 'int32 scale = 1; bytes value = 2; int32 more = 3;', 'int64 scale = 1; bytes value = 2;', 'int32 size = 1; bytes value = 2;', 'int32 scale = 1; repeated bytes value = 2;']) AS declared,
    stream_ingest.decode('protobuf', f(2, f(1, 2) || f(2, '\x7f'::bytea)), options => jsonb_build_object('schema', 'syntax = "proto3"; message X { VariableScaleDecimal d = 2; } message VariableScaleDecimal { ' || declared || ' }', 'message', 'X'));

--
-- what is refused
--
\set VERBOSITY default
CREATE TABLE target (id int PRIMARY KEY, op text);
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'target', format => 'protobuf', options => :'options'::jsonb || '{"envelope": "connect"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'target', format => 'protobuf', options => :'options'::jsonb || '{"envelope": "maxwell"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'target', format => 'protobuf', options => :'options'::jsonb || '{"envelope": "goldengate"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'target', format => 'protobuf', options => :'options'::jsonb || '{"missing_fields": "null"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'target', format => 'protobuf', options => :'options'::jsonb || '{"records": "items"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'target', format => 'protobuf', options => :'options'::jsonb || '{"key_format": "protobuf"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'target', format => 'protobuf', mapping => '{"op": "$op"}', options => :'options'::jsonb - 'envelope');

SET client_min_messages = error;
DROP OWNED BY proto_owner;
DROP ROLE proto_owner;
DROP EXTENSION stream_ingest CASCADE;
DROP SCHEMA si_proto_envelopes CASCADE;
