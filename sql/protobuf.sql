CREATE EXTENSION stream_ingest;

--
-- Protobuf with a schema in the options: every case by decode, and by a
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
CREATE SCHEMA si_protobuf;
SET search_path = si_protobuf;

\set proto 'syntax = "proto3"; package t;\nimport "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto"; import "google/protobuf/duration.proto";\nmessage First { string x = 1; message In { sint32 v = 1; } }\nmessage M { int32 i = 1; optional int32 oi = 2; sint64 z = 3; fixed64 fx = 4; bool b = 5; string s = 6; bytes y = 7; double d = 8; enum E { A = 0; B = 2; } E e = 9; repeated int32 r = 10; map<string, int32> m = 11; First.In in = 12;\n google.protobuf.Timestamp at = 13; google.protobuf.StringValue w = 14; google.protobuf.Duration du = 15; uint64 u = 16; oneof o { string os = 17; int32 on = 18; } repeated First f = 19; }'
CREATE TYPE deep AS (v int);
CREATE TABLE cases (n int PRIMARY KEY, what text, schema text, message text, columns text, hex text[], mapping jsonb, options jsonb DEFAULT '{}', tz text DEFAULT 'UTC');
-- a message with these fields
CREATE FUNCTION with_fields(fields text) RETURNS text LANGUAGE sql AS $$
    SELECT 'syntax = "proto3"; message X { ' || fields || ' }';
$$;
INSERT INTO cases (n, what, schema, message, columns, hex, mapping) VALUES
(52, 'everything set, and nothing', :'proto', 't.M',
    'i int, oi int, z bigint, fx numeric, b bool, s text, y bytea, d float8, e text, r int[], m jsonb, "in" jsonb, at timestamptz, w text, du interval, u numeric, os text, "on" int, f jsonb, c deep',
    ARRAY['08ffffffffffffffffff011000180521000000000000008028013202c3a43a0200ff419a9999999999b93f4802520b01feffffffffffffffff015a050a016b10056202080d6a1108ffffffffffffffffff011080cab5ee0172007a08085a1080cab5ee018001ffffffffffffffffff019001049a01030a0171', ''], '{"c": "in"}'),
(53, 'the same by paths, and as a whole', :'proto', 't.M', 'i int DEFAULT 7, v int DEFAULT 7, k int DEFAULT 7, l int DEFAULT 7, r0 int DEFAULT 7, r5 int DEFAULT 7, x text DEFAULT ''none'', nanos int DEFAULT 7, whole jsonb, b bytea, nix int DEFAULT 7',
    ARRAY['08ffffffffffffffffff011000180521000000000000008028013202c3a43a0200ff419a9999999999b93f4802520b01feffffffffffffffff015a050a016b10056202080d6a1108ffffffffffffffffff011080cab5ee0172007a08085a1080cab5ee018001ffffffffffffffffff019001049a01030a0171', ''],
    '{"v": "in.v", "k": "m.k", "l": "m.l", "r0": "r[0]", "r5": "r[5]", "x": "f[0].x", "nanos": "at.nanos", "whole": "$value", "b": "$value", "nix": "nix.nix"}'),
(55, 'parts of one message field are merged', :'proto', 't.M', '"in" jsonb, v int', ARRAY['6202080d6200', '6200', '6202080d62020801'], '{"v": "in.v"}'),
(56, 'unknown fields of every wire type, and a group', :'proto', 't.M', 'i int', ARRAY['c03e05c13e0102030405060708c23e0161c53e01020304c33e0801c43e0803'], NULL),
(58, 'another wire type for a known field', :'proto', 't.M', 'i int', ARRAY['0a0161', '0d01020304', '3001'], NULL),
(59, 'not UTF-8, wanted and not, and U+0000', :'proto', 't.M', 's text', ARRAY['3202c328', '9a01040a02c328', '320100'], NULL),
(60, 'of a scalar and of a oneof the last counts', :'proto', 't.M', 'i int, os text, "on" int, o jsonb', ARRAY['08010802', '8a0101619001058a010162', '8a010161900105', '900105'], '{"o": "$value"}'),
(61, 'lists packed and not, and maps with keys twice', :'proto', 't.M', 'r int[], r1 int, m jsonb, k int', ARRAY['5001520202035004', '520052010c', '5a050a016b10055a050a016b1006', '5a021005', '5a030a016b'], '{"r1": "r[1]", "k": "m.k"}'),
(62, 'cut messages, and what is no message', :'proto', 't.M', 'i int', ARRAY['08', '08ff', '32', '320561', '00', '07', '0c', '0b', 'cb3e', 'cb3ed43e', '08ffffffffffffffffffff01', '21010203'], NULL),
(63, 'enums without a name, and out of range', :'proto', 't.M', 'e text, i smallint', ARRAY['4807', '48ffffffffffffffffff01', '08808004'], NULL),
(65, 'the schema as base64 of a FileDescriptorProto', 'CgtjYXNlcy5wcm90bxIBdBofZ29vZ2xlL3Byb3RvYnVmL3RpbWVzdGFtcC5wcm90bxoeZ29vZ2xlL3Byb3RvYnVmL3dyYXBwZXJzLnByb3RvGh5nb29nbGUvcHJvdG9idWYvZHVyYXRpb24ucHJvdG8iKQoFRmlyc3QSDAoBeBgBIAEoCVIBeBoSCgJJbhIMCgF2GAEgASgRUgF2IvoDCgFNEgwKAWkYASABKAVSAWkSEwoCb2kYAiABKAVIAVICb2mIAQESDAoBehgDIAEoElIBehIOCgJmeBgEIAEoBlICZngSDAoBYhgFIAEoCFIBYhIMCgFzGAYgASgJUgFzEgwKAXkYByABKAxSAXkSDAoBZBgIIAEoAVIBZBIUCgFlGAkgASgOMgYudC5NLkVSAWUSDAoBchgKIAMoBVIBchIZCgFtGAsgAygLMgsudC5NLk1FbnRyeVIBbRIbCgJpbhgMIAEoCzILLnQuRmlyc3QuSW5SAmluEioKAmF0GA0gASgLMhouZ29vZ2xlLnByb3RvYnVmLlRpbWVzdGFtcFICYXQSKgoBdxgOIAEoCzIcLmdvb2dsZS5wcm90b2J1Zi5TdHJpbmdWYWx1ZVIBdxIpCgJkdRgPIAEoCzIZLmdvb2dsZS5wcm90b2J1Zi5EdXJhdGlvblICZHUSDAoBdRgQIAEoBFIBdRIQCgJvcxgRIAEoCUgAUgJvcxIQCgJvbhgSIAEoBUgAUgJvbhIWCgFmGBMgAygLMggudC5GaXJzdFIBZho0CgZNRW50cnkSEAoDa2V5GAEgASgJUgNrZXkSFAoFdmFsdWUYAiABKAVSBXZhbHVlOgI4ASIRCgFFEgUKAUEQABIFCgFCEAJCAwoBb0IFCgNfb2liBnByb3RvMw==', 't.First', 'x text', ARRAY['0a0161'], NULL),
(66, 'the schema as base64 of a FileDescriptorSet', 'CqEFCgtjYXNlcy5wcm90bxIBdBofZ29vZ2xlL3Byb3RvYnVmL3RpbWVzdGFtcC5wcm90bxoeZ29vZ2xlL3Byb3RvYnVmL3dyYXBwZXJzLnByb3RvGh5nb29nbGUvcHJvdG9idWYvZHVyYXRpb24ucHJvdG8iKQoFRmlyc3QSDAoBeBgBIAEoCVIBeBoSCgJJbhIMCgF2GAEgASgRUgF2IvoDCgFNEgwKAWkYASABKAVSAWkSEwoCb2kYAiABKAVIAVICb2mIAQESDAoBehgDIAEoElIBehIOCgJmeBgEIAEoBlICZngSDAoBYhgFIAEoCFIBYhIMCgFzGAYgASgJUgFzEgwKAXkYByABKAxSAXkSDAoBZBgIIAEoAVIBZBIUCgFlGAkgASgOMgYudC5NLkVSAWUSDAoBchgKIAMoBVIBchIZCgFtGAsgAygLMgsudC5NLk1FbnRyeVIBbRIbCgJpbhgMIAEoCzILLnQuRmlyc3QuSW5SAmluEioKAmF0GA0gASgLMhouZ29vZ2xlLnByb3RvYnVmLlRpbWVzdGFtcFICYXQSKgoBdxgOIAEoCzIcLmdvb2dsZS5wcm90b2J1Zi5TdHJpbmdWYWx1ZVIBdxIpCgJkdRgPIAEoCzIZLmdvb2dsZS5wcm90b2J1Zi5EdXJhdGlvblICZHUSDAoBdRgQIAEoBFIBdRIQCgJvcxgRIAEoCUgAUgJvcxIQCgJvbhgSIAEoBUgAUgJvbhIWCgFmGBMgAygLMggudC5GaXJzdFIBZho0CgZNRW50cnkSEAoDa2V5GAEgASgJUgNrZXkSFAoFdmFsdWUYAiABKAVSBXZhbHVlOgI4ASIRCgFFEgUKAUEQABIFCgFCEAJCAwoBb0IFCgNfb2liBnByb3RvMw', 't.M', 'i int, m jsonb', ARRAY['08055a050a016b1005'], NULL),
(70, 'well-known types', with_fields('google.protobuf.Timestamp a = 1; google.protobuf.Duration b = 2; google.type.Date c = 3; confluent.type.Decimal d = 4; google.protobuf.Int64Value e = 5; google.protobuf.BytesValue f = 6;'), NULL,
    'a timestamptz, b interval, c date, d numeric, e bigint, f bytea, whole jsonb',
    ARRAY['0a1108ffffffffffffffffff0110ff93ebdc031208085a1080cab5ee011a0708e80f1002181d22080a02ff10100a18032a0032040a0200ff', '0a00120022002a003200', '', '0a0b08d39293ae0610959aef3a0a0208052a0b08fbffffffffffffffff01', '220e0a0a7fffffffffffffffffff100a', '121608ffffffffffffffffff0110ffffffffffffffffff0132020a00', '0a0b10ffffffffffffffffff01120d08011080b6ca91feffffffff01'], '{"whole": "$value"}'),
(71, 'a date that is none', with_fields('google.type.Date c = 1;'), NULL, 'c date, t text', ARRAY['0a0708e80f1002181e', '0a0708e70f1002181d', '0a0308e80f', '0a00', '0a06080110011801', '0a07088f4e100c181f', '0a0f08fbffffffffffffffff0110011801', '0a0a08ffffffff07100c181f', '0a0708ec0e1002181d', '0a0708d00f1002181d', '0a0708b10f100c181f'], '{"t": "c"}'),
(72, 'moments of the ends', with_fields('google.protobuf.Timestamp a = 1; google.protobuf.Duration b = 2;'), NULL, 'a timestamptz, b interval',
    ARRAY['0a0b088092b8c398feffffff01', '0a0d08ff82d1ffaf0710ff93ebdc03', '0a0a08ffffffffffffffff7f', '0a0b0880808080808080808001', '0a0e08f6b5c1deb78c021098c0f7f102', '0a0e08f6b5c1deb78c021080c8f7f102', '120d0880bcaece970910ff93ebdc03', '12160880c4d1b1e8f6ffffff011081ec94a3fcffffffff01', '121008ffffffffffffffff7f10ffffffff07', '12021001'], NULL),
(73, 'a scale, and decimals large and small', with_fields('confluent.type.Decimal d = 1;'), NULL, 'd numeric', ARRAY['0a080a0204d2100a1802', '0a100a0101100a18ffffffffffffffffff01', '0a090a0101100a18808001', '0a04100a1803', '0a1b0a15ff0000000000000000000000000000000000000000100a1819', '0a0e0a088000000000000000100a1812', '0a070a0105100a1814'], NULL),
(74, 'a type that the schema lacks, wanted', 'syntax = "proto3"; import "other.proto"; message X { other.Y y = 1; int32 i = 2; }', NULL, 'y jsonb, i int', ARRAY['0a001005', '1005'], NULL),
(75, 'a type that the schema lacks, not wanted', 'syntax = "proto3"; import "other.proto"; message X { other.Y y = 1; int32 i = 2; }', NULL, 'i int', ARRAY['0a001005', '1005'], NULL),
(76, 'proto2: presence, groups, and a default that is passed over', 'message X { optional int32 a = 1 [default = 5]; required string b = 2; repeated group Gr = 3 { optional int32 c = 1; } enum E { X = 1; Y = -1; } optional E e = 6; extensions 100 to max; } extend X { optional int32 z = 100; }', NULL,
    'a int, b text, gr jsonb, e text, c int', ARRAY['', '08011200', '1b0807' || '1c' || '1b1c30ffffffffffffffffff01a00605', '1b08071b', '1b0807' || '24'], '{"c": "gr[0].c"}'),
(77, 'an edition with its features', 'edition = "2023"; option features.field_presence = IMPLICIT; message X { int32 a = 1; int32 b = 2 [features.field_presence = EXPLICIT]; message In { int32 v = 1; } In c = 3 [features = { message_encoding: DELIMITED }]; }', NULL,
    'a int, b int, c jsonb', ARRAY['', '08011002', '1b08051c', '1a020805'], NULL),
(78, 'fields of large numbers, and names twice in their scopes', 'syntax = "proto3"; package a.b; message X { message a { int32 v = 1; } a n = 536870911; b.Y y = 5000; .a.b.Y z = 999; } message Y { string s = 1; }', 'a.b.X',
    'n jsonb, y jsonb, z jsonb', ARRAY['faffffff0f020805' || 'c2b802030a0161' || 'ba3e030a0162'], NULL),
(79, 'fields that no column takes', :'proto', 't.M', 'i int, rest jsonb', ARRAY['0801320161520101c03e05', '0801'], '{"rest": "$rest"}');
INSERT INTO cases (n, what, schema, message, columns, hex, mapping, options, tz) VALUES
(57, 'unknown fields are errors', :'proto', 't.M', 'i int', ARRAY['c03e05', '0801', '320161'], NULL, '{"unknown_fields": "error"}', 'UTC'),
(80, 'missing fields are errors', :'proto', 't.M', 'i int, oi int, v int', ARRAY['', '0801'], '{"v": "in.v"}', '{"missing_fields": "error"}', 'UTC'),
(81, 'a moment in a column without a zone', with_fields('google.protobuf.Timestamp a = 1;'), NULL, 'a timestamp, d date, t text', ARRAY['0a0408a4c32d', ''], '{"d": "a", "t": "a"}', '{}', 'Asia/Tokyo');

--
-- by decode
--
SELECT n, what, m - 1 AS message, fields, error FROM cases, unnest(hex) WITH ORDINALITY AS h (value, m),
    stream_ingest.decode('protobuf', decode(value, 'hex'), options => jsonb_strip_nulls(jsonb_build_object('schema', schema, 'message', message))) ORDER BY n, m;
-- messages within one another, to the limit and beyond
CREATE FUNCTION nested(levels int) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    value bytea := '';
BEGIN
    FOR i IN 2 .. levels LOOP
        value := '\x0a'::bytea || CASE WHEN length(value) < 128 THEN set_byte('\x00', 0, length(value))
            ELSE set_byte('\x00', 0, length(value) & 127 | 128) || set_byte('\x00', 0, length(value) >> 7) END || value;
    END LOOP;
    RETURN value;
END $$;
SELECT levels, fields::text = repeat('{"x": ', levels - 1) || '{}' || repeat('}', levels - 1) AS decoded, error FROM unnest(ARRAY[1, 100, 200, 201]) AS levels,
    stream_ingest.decode('protobuf', nested(levels), options => '{"schema": "message X { optional X x = 1; optional int32 i = 2; }"}');
-- tombstones, with keys in JSON
SELECT * FROM stream_ingest.decode('protobuf', NULL, '{"id": 1}', '{"schema": "message X {}"}');

--
-- through subscriptions
--
\! test/mock_broker -c create protobuf 128
\copy (SELECT n || ' ' || v FROM cases, unnest(hex) WITH ORDINALITY AS h (v, m) ORDER BY n, m) TO PROGRAM 'while read n v; do echo "$v" | test/produce -t protobuf -p $n -x >/dev/null; done'
CREATE PROCEDURE run(number int) LANGUAGE plpgsql AS $$
DECLARE
    c cases := (SELECT c FROM cases c WHERE n = number);
    deadline timestamptz := clock_timestamp() + interval '30 s';
    r text;
BEGIN
    EXECUTE format('CREATE TABLE target (%s)', c.columns);
    EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), c.tz);
    PERFORM stream_ingest.create_subscription('protobuf', 'si_kafka', 'protobuf', 'target', format => 'protobuf', mapping => c.mapping,
        options => jsonb_strip_nulls(jsonb_build_object('schema', c.schema, 'message', c.message)) || jsonb_build_object('partitions', c.n::text, 'breaker', 0) || c.options);
    COMMIT;
    WHILE (SELECT messages FROM stream_ingest.counts WHERE name = 'protobuf') < cardinality(c.hex) LOOP
        IF clock_timestamp() > deadline THEN
            RAISE WARNING 'waited in vain: %', (SELECT row(state, reason, last_error) FROM stream_ingest.status WHERE name = 'protobuf');
            EXIT;
        END IF;
        PERFORM pg_sleep(0.005);
        COMMIT;
    END LOOP;
    RAISE WARNING '%: %', c.n, c.what;
    FOR r IN EXECUTE 'SELECT _row::text FROM target _row' LOOP
        RAISE WARNING '    %', r;
    END LOOP;
    FOR r IN SELECT concat_ws(' ', message_offset, sqlstate, error, detail, column_name) FROM stream_ingest.dead_letters WHERE name = 'protobuf' ORDER BY message_offset LOOP
        RAISE WARNING '    dead: %', r;
    END LOOP;
    PERFORM stream_ingest.drop_subscription('protobuf');
    DROP TABLE target;
    COMMIT;
END $$;
\set VERBOSITY terse
SELECT format('CALL run(%s)', n) FROM cases ORDER BY n \gexec

--
-- every mode, with keys in JSON
--
\! test/mock_broker -c create protobuf_modes 1
\! printf '%s\n' '{"id":1};0801120161' '{"id":2};0802120162' '{"id":1};08011201631803' '{"id":2};' '{"id":4};0a' | test/produce -t protobuf_modes -p 0 -x -Z -K ';' >/dev/null
\set record 'syntax = "proto3"; message R { int32 id = 1; optional string v = 2; int64 n = 3; }'
CREATE TABLE appended (id int, v text, n numeric, o bigint);
CREATE TABLE current (id int PRIMARY KEY, v text DEFAULT 'none', n numeric);
CREATE TABLE wholes (value jsonb, deleted bool);
CREATE ROLE protobuf_owner LOGIN;
GRANT USAGE ON FOREIGN SERVER si_kafka TO protobuf_owner;
GRANT USAGE ON SCHEMA si_protobuf TO protobuf_owner;
GRANT ALL ON wholes TO protobuf_owner;
SELECT stream_ingest.create_subscription('appended', 'si_kafka', 'protobuf_modes', 'appended', format => 'protobuf', mapping => '{"o": "$offset"}',
        options => jsonb_build_object('schema', :'record')),
    stream_ingest.create_subscription('current', 'si_kafka', 'protobuf_modes', 'current', format => 'protobuf', insert_mode => 'upsert',
        options => jsonb_build_object('batch_size', 1, 'schema', :'record')) \g /dev/null
SET ROLE protobuf_owner;
SELECT stream_ingest.create_subscription('wholes', 'si_kafka', 'protobuf_modes', format => 'protobuf',
        apply => 'INSERT INTO si_protobuf.wholes SELECT value, _deleted FROM batch', options => jsonb_build_object('schema', :'record')) \g /dev/null
RESET ROLE;
DO $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        EXIT WHEN (SELECT count(*) = 3 AND bool_and(messages = 5) FROM stream_ingest.counts);
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
SELECT * FROM appended ORDER BY o;
SELECT * FROM current ORDER BY id;
SELECT * FROM wholes ORDER BY value::text;
SELECT name, messages, applied, ignored, dead_letters FROM stream_ingest.counts ORDER BY name;
SELECT DISTINCT name, message_offset, sqlstate, error FROM stream_ingest.dead_letters ORDER BY name;
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null
DROP OWNED BY protobuf_owner;
DROP ROLE protobuf_owner;

--
-- schemas that are none
--
CREATE FUNCTION refused(schema text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM stream_ingest.decode('protobuf', '\x', options => jsonb_build_object('schema', schema));
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', SQLSTATE, SQLERRM, nullif(detail, ''));
END $$;
SELECT left(s, 70) || ' -> ' || refused(s) FROM unnest(ARRAY[
    'x', 'x;', '{', ';', 'syntax = "proto4";', 'syntax = proto3;', 'message', 'message {}', 'message X', 'message X {', 'message X { int32 a; }', 'message X { int32 a = 0; }',
    'message X { int32 a = 536870912; }', 'message X { int32 a = -1; }', 'message X { int32 a = x; }', 'message X { int32 = 1; }', 'message X { int32 a = 1 }', 'message X { int32 a = 1 [x; }',
    'message X { int32 a = 1; int32 b = 1; }', 'message X { int32 a = 1; int32 a = 2; }', 'message X {} message X {}', 'message X {} enum X { A = 1; }', 'enum E { A = 0; }', 'message X { enum E { } }',
    'message X { enum E { A = 2147483648; } }', 'message X { enum E { A } }', 'message X { map<int32 a = 1; }', 'message X { map<Y, int32> a = 1; }', 'message X { oneof o { int32 a = 1; }', 'message X { } }',
    E'message X {\n  int32 a = 1;\n  /* not closed', E'message X {\n\n  string s = 1 [default = "a', 'message X { int32 a = 09; }', 'message X { int32 a = 0x; }', 'message X { int32 ä = 1; }', 'package a.; message X {}',
    'service S { rpc M (X) returns (Y) {} ', 'message X {} message Y {}', 'AAAA', 'CgR4LmFi', repeat('message X { ', 101) || repeat('} ', 101),
    (SELECT string_agg('message X' || i || ' {}', ' ') FROM generate_series(1, 20001) i)]) AS s;
-- what is passed over
SELECT refused(s) FROM unnest(ARRAY[
    'syntax = "proto2"; package a; import public "x.proto"; option (my.opt) = { a: "}" b { c: 1 } }; message X { reserved 1, 5 to max; reserved "a"; extensions 100 to 199 [declaration = { number: 100 }]; option (o).x = -1.5e3; ; optional int32 a = 0x0A [(x) = "]", default = .5]; } service S { rpc M (stream X) returns (.a.X) { option x = { get: "/" }; } } extend .google.protobuf.FileOptions { optional group G = 5 { optional int32 g = 1; } }',
    E'// a comment\nsyntax = ''proto3''; /* another */ message X { message message { int32 message = 1; } message option = 1; repeated string reserved = 2; map<string, .X.message> map = 3; oneof oneof { int32 enum = 4; } }',
    'edition = "2024"; export message X { local enum E { A = 0; } E e = 1; }',
    E'\ufeffmessage X {}']) AS s;

--
-- options
--
CREATE TABLE t (a int);
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'protobuf', 't', format => 'protobuf');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'protobuf', 't', format => 'protobuf', options => '{"schema": "message X { int32 a = 1 }"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'protobuf', 't', format => 'protobuf', options => '{"schema": "message X {} message Y {}"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'protobuf', 't', format => 'protobuf', options => '{"schema": "message X {} message Y {}", "message": "Z"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'protobuf', 't', format => 'json', options => '{"message": "X"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'protobuf', 't', format => 'avro', options => '{"schema": "int", "message": "X"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'protobuf', 't', format => 'protobuf', options => '{"schema": {"type": "int"}}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'protobuf', 't', format => 'protobuf', enabled => false, options => '{"schema": "message X { int32 a = 1; } message Y {}", "message": ".X"}') \g /dev/null
SELECT settings -> 'schema', settings -> 'message' FROM stream_ingest.subscriptions WHERE name = 'x';
SELECT stream_ingest.alter_subscription('x', options => '{"message": "Z"}');
SELECT stream_ingest.drop_subscription('x') \g /dev/null
SELECT stream_ingest.infer_table('si_kafka', 'protobuf', 't2', format => 'protobuf');

ALTER DATABASE contrib_regression RESET timezone;
DROP SCHEMA si_protobuf CASCADE;
DROP EXTENSION stream_ingest CASCADE;
