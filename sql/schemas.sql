CREATE EXTENSION stream_ingest;

--
-- Wire formats, and schemas by their ids: by decode, and by a subscription on
-- librdkafka's embedded broker.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset tuples_only on
\pset null '~'
SET client_min_messages = warning;
CREATE SCHEMA si_schemas;
SET search_path = si_schemas;
\set v1 '{"type":"record","name":"o","fields":[{"name":"id","type":"int"},{"name":"name","type":"string"}]}'
\set v2 '{"type":"record","name":"o","fields":[{"name":"id","type":"int"},{"name":"mail","type":["null","string"]},{"name":"name","type":"string"}]}'
SELECT jsonb_build_object('schemas', jsonb_build_object('1', :'v1'::jsonb, '2', :'v2', '12345678-1234-5678-1234-567812345678', :'v1'::jsonb)) AS s \gset

CREATE FUNCTION frame(wire text, value bytea, options jsonb, headers jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(fields::text, error) FROM stream_ingest.decode('avro', value, options => options || jsonb_build_object('wire_format', wire), headers => headers);
$$;

--
-- frames
--
SELECT frame('confluent', '\x000000000204000262', :'s');
SELECT frame('confluent', '\x0000000001040262', :'s');
-- none, cut, another, unknown, and too short and too long behind the frame
SELECT frame('confluent', v, :'s') FROM unnest(ARRAY['\x', '\x00', '\x000000', '\x00000000', '\x0204000262', '\x7b7d', '\x000000006302', '\x00ffffffff02', '\x0000000001', '\x00000000010402626262', '\x0000000001040262']::bytea[]) AS v;
-- by default, where there is no schema for all messages
SELECT fields, error FROM stream_ingest.decode('avro', '\x000000000204000262', options => :'s');
-- one schema for all messages, behind a frame whose id does not matter
SELECT frame('confluent', '\x0000000007060262', jsonb_build_object('schema', :'v1'::jsonb));
-- a GUID in a header, an id, and the frame of a serializer that was not switched
SELECT frame('confluent-header', '\x0a0265', :'s', '{"__value_schema_id": "\\x0112345678123456781234567812345678"}');
SELECT frame('confluent-header', '\x0a0265', :'s', '{"__value_schema_id": "\\x0000000001", "other": 5}');
SELECT frame('confluent-header', '\x00000000010a0265', :'s', '{"__key_schema_id": "\\x0000000002"}');
SELECT frame('confluent-header', '\x0a0265', :'s', h) FROM unnest(ARRAY['{}', '{"__value_schema_id": null}', '{"__value_schema_id": ""}', '{"__value_schema_id": "\\x01"}', '{"__value_schema_id": "\\x0212345678123456781234567812345678"}', '{"__value_schema_id": "\\x01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}', '{"__value_schema_id": "\\x00000001"}']::jsonb[]) AS h;
-- Apicurio's 8 bytes, and 4
SELECT frame('apicurio', v, :'s') FROM unnest(ARRAY['\x0000000000000000010602' || '63', '\x00000000010602' || '63', '\x00000000000000000906', '\x000000000000000001', '\x0000000000000000', '\x00000000', '\x', '\x010000000000000001']) AS h, LATERAL (SELECT h::bytea) AS x (v);
SELECT frame('apicurio-header', '\x0c0266', :'s', h) FROM unnest(ARRAY['{"apicurio.value.globalId": "\\x0000000000000001", "apicurio.value.encoding": "BINARY"}', '{"apicurio.value.contentId": "\\x0000000000000001"}', '{"apicurio.key.globalId": "\\x0000000000000001"}', '{"apicurio.value.globalId": "\\x00000001"}', '{"apicurio.value.globalId": "\\x0000000000000005"}']::jsonb[]) AS h;
-- Glue's
SELECT frame('glue', v::bytea, :'s') FROM unnest(ARRAY['\x0300123456781234567812345678123456780e0267', '\x0305123456781234567812345678123456780e0267', '\x0301123456781234567812345678123456780e0267', '\x0300123456781234567812345678123456', '\x03', '\x', '\x0000000001']) AS v;
-- JSON behind a frame, and without the option
SELECT fields, error FROM stream_ingest.decode('json', '\x00000000077b226964223a20382c20226e616d65223a202268227d', options => '{"wire_format": "confluent"}');
SELECT fields, error FROM stream_ingest.decode('json', '\x00000000077b226964223a20382c20226e616d65223a202268227d');
SELECT fields, error FROM stream_ingest.decode('json', '{"id": 8}', options => '{"wire_format": "confluent"}');
SELECT fields, error FROM stream_ingest.decode('json', '{"id": 8}', options => '{"wire_format": "none"}');
-- tombstones have no frame
SELECT * FROM stream_ingest.decode('avro', NULL, '{"id": 1}', :'s');
-- more schemas than are kept compiled
SELECT count(*), count(fields), min(fields::text), max(fields::text) FROM (
    SELECT (stream_ingest.decode('avro', '\x00' || decode(lpad(to_hex(n), 8, '0'), 'hex') || '\x02', options => '{"schemas": {"1": "int", "2": "long", "3": "string"}}')).* FROM generate_series(1, 3) AS n) AS d;

-- keys, with schemas of their own
\set k '{"type":"record","name":"k","fields":[{"name":"id","type":"int"}]}'
SELECT jsonb_build_object('key_format', 'avro', 'schemas', jsonb_build_object('1', :'v1'::jsonb, '3', :'k'::jsonb, '4', 'int')) AS keyed \gset
SELECT operation, fields, error FROM unnest(ARRAY['\x000000000312', '\x000000000412', '\x0000000003', '\x0000000009', '\x00', '{"id": 9}']::bytea[]) AS k, stream_ingest.decode('avro', NULL, k, :'keyed');
SELECT stream_ingest.decode('avro', NULL, '\x', '{"key_format": "avro", "schema": "int"}');
SELECT stream_ingest.decode('json', NULL, '\x', '{"key_format": "avro"}');

--
-- Protobuf: a frame also says which message of the schema it is
--
\set proto 'syntax = "proto3"; package o; message Other { int32 i = 1; map<string, int32> m = 2; message Deep { string s = 1; message Deeper { sint32 v = 1; } } } message Order { int32 id = 1; string name = 2; }'
-- the same as a descriptor, which counts the entries of the map before Deep
\set descriptor 'CgtvcmRlci5wcm90bxIBbyKAAQoFT3RoZXISCQoBaRgBIAEoBRIaCgFtGAIgAygLMg8uby5PdGhlci5NRW50cnkaKAoGTUVudHJ5EgsKA2tleRgBIAEoCRINCgV2YWx1ZRgCIAEoBToCOAEaJgoERGVlcBIJCgFzGAEgASgJGhMKBkRlZXBlchIJCgF2GAEgASgRIiEKBU9yZGVyEgoKAmlkGAEgASgFEgwKBG5hbWUYAiABKAliBnByb3RvMw=='
\set groups 'syntax = "proto2"; message A { optional group G = 1 { optional int32 x = 1; } message B { optional int32 i = 1; } }'
SELECT jsonb_build_object('schemas', jsonb_build_object('1', :'proto'::text, '2', :'descriptor'::text, '3', :'groups'::text, '12345678-1234-5678-1234-567812345678', :'proto'::text)) AS p \gset
CREATE FUNCTION proto(wire text, value bytea, options jsonb, headers jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(fields::text, error) FROM stream_ingest.decode('protobuf', value, options => options || jsonb_build_object('wire_format', wire), headers => headers);
$$;
-- [0] in short and in full, [1], [0, 0] and [0, 0, 0]
SELECT proto('confluent', v, :'p') FROM unnest(ARRAY['\x0000000001000807', '\x000000000102000807', '\x00000000010202080112' || '0161', '\x0000000001040000' || '0a0178', '\x0000000001060000000805']) AS h, LATERAL (SELECT h::bytea) AS x (v);
-- a descriptor counts the entries of maps, and text neither those nor groups
SELECT proto('confluent', v, :'p') FROM unnest(ARRAY['\x0000000002040002' || '0a0178', '\x0000000002060002000805', '\x0000000002040000' || '0a016b1005', '\x0000000003040000' || '0805']) AS h, LATERAL (SELECT h::bytea) AS x (v);
-- no such message: beyond the last, within one that has none, below 0
SELECT proto('confluent', v, :'p') FROM unnest(ARRAY['\x00000000010204', '\x00000000010214', '\x0000000001040200', '\x0000000001040002', '\x00000000010201', '\x000000000102feffffff0f']::bytea[]) AS v;
-- indexes that are cut, too many, too long, or less than none
SELECT proto('confluent', v, :'p') FROM unnest(ARRAY['\x0000000001', '\x000000000102', '\x0000000001040080', '\x000000000180', '\x000000000180808080808001', '\x0000000001ffffffff7f', '\x0000000001feffffff0f', '\x000000000101', '\x0000000001ca0100']::bytea[]) AS v;
-- and the id before them
SELECT proto('confluent', v, :'p') FROM unnest(ARRAY['\x', '\x000000', '\x0807', '\x0000000063000807']::bytea[]) AS v;
-- in a header, behind the id
SELECT proto('confluent-header', '\x0807', :'p', h) FROM unnest(ARRAY['{"__value_schema_id": "\\x011234567812345678123456781234567800"}', '{"__value_schema_id": "\\x01123456781234567812345678123456780202"}', '{"__value_schema_id": "\\x000000000100"}', '{"__value_schema_id": "\\x0000000001"}', '{"__value_schema_id": "\\x00000000010414"}', '{"__value_schema_id": "\\x00000000010202ffff"}']::jsonb[]) AS h;
SELECT proto('confluent-header', '\x0000000001000807', :'p', '{}');
-- Apicurio's: by name, without its package or with it
SELECT proto('apicurio', v, :'p') FROM unnest(ARRAY['\x000000000000000001070a054f74686572' || '0807', '\x0000000001070a054f72646572' || '0802', '\x000000000000000001090a076f2e4f74686572' || '0807', '\x0000000000000000010e0a0c6f2e4f746865722e44656570' || '0a0178', '\x0000000000000000010b0a096f6f2e4f726465720a', '\x000000000000000001050a036465720a']) AS h, LATERAL (SELECT h::bytea) AS x (v);
SELECT proto('apicurio', v, :'p') FROM unnest(ARRAY['\x000000000000000001', '\x00000000000000000100', '\x000000000000000001070a054f746865', '\x000000000000000001070a064f74686572', '\x0000000000000000010712054f74686572', '\x000000000000000001020a00', '\x000000000000000001ffffffff0f0a', '\x000000000000000001070a044f74686572']::bytea[]) AS v;
SELECT proto('apicurio-header', '\x0807', :'p', '{"apicurio.value.globalId": "\\x0000000000000001"}'::jsonb || h) FROM unnest(ARRAY['{"apicurio.protobuf.type": "Other"}', '{"apicurio.protobuf.type": "o.Order"}', '{"apicurio.protobuf.type": "None"}', '{"apicurio.protobuf.type": ""}', '{"apicurio.protobuf.type.key": "Other"}']::jsonb[]) AS h;
SELECT proto('apicurio-header', '\x070a054f746865720807', :'p', '{"apicurio.value.globalId": "\\x0000000000000001"}');
-- Glue's number is passed over: the message is the only one, or that of the option
SELECT proto('glue', '\x030012345678123456781234567812345678010807', jsonb_build_object('schemas', jsonb_build_object('12345678-1234-5678-1234-567812345678', 'message X { optional int32 i = 1; }')));
SELECT proto('glue', '\x030012345678123456781234567812345678010807', jsonb_build_object('message', 'o.Other', 'schemas', jsonb_build_object('12345678-1234-5678-1234-567812345678', :'proto'::text)));
SELECT proto('glue', '\x030012345678123456781234567812345678', jsonb_build_object('message', 'o.Other', 'schemas', jsonb_build_object('12345678-1234-5678-1234-567812345678', :'proto'::text)));
-- the option "message" goes before what a frame says
SELECT proto('confluent', '\x000000000102020801', jsonb_build_object('message', 'o.Other', 'schemas', jsonb_build_object('1', :'proto'::text)));
SELECT proto('confluent-header', '\x0801', jsonb_build_object('message', 'o.Other', 'schemas', jsonb_build_object('1', :'proto'::text)), '{"__value_schema_id": "\\x0000000001"}');
-- one schema for all messages, whose id does not matter, but which message it is
SELECT proto('confluent', v, jsonb_build_object('schema', :'proto'::text)) FROM unnest(ARRAY['\x00000000070202080112' || '0161', '\x0000000009000807']) AS h, LATERAL (SELECT h::bytea) AS x (v);
-- by default, and what the options must hold
SELECT fields, error FROM stream_ingest.decode('protobuf', '\x0000000001000807', options => :'p');
SELECT stream_ingest.decode('protobuf', '\x', options => '{"wire_format": "none"}');
SELECT stream_ingest.decode('protobuf', '\x', options => '{"wire_format": "none", "schemas": {"1": "message X {}"}}');
SELECT stream_ingest.decode('protobuf', '\x', options => '{"schemas": {"1": "message X {}", "2": "message {}"}}');
SELECT stream_ingest.decode('protobuf', '\x', options => '{"schemas": {"1": "enum E { A = 0; }"}}');
SELECT stream_ingest.decode('protobuf', '\x', options => '{"message": "Y", "schemas": {"1": "message X {}"}}');
SELECT proto('glue', '\x', :'p');
SELECT proto('none', '\x', jsonb_build_object('schema', :'proto'::text));
-- keys, with schemas of their own; the option "message" is not about them
SELECT operation, fields, error FROM unnest(ARRAY['\x0000000001000807', '\x00000000010202080112' || '0161', '\x0000000001040000' || '0a0178', '\x0000000001020a', '\x000000000100080a0a', '\x000000000100ff', '\x0000000063000807', '\x00', '{"i": 9}']) AS h, LATERAL (SELECT h::bytea) AS x (k), stream_ingest.decode('protobuf', NULL, k, :'p'::jsonb || '{"key_format": "protobuf"}');
SELECT operation, fields, error FROM stream_ingest.decode('protobuf', '\x0000000001000805', '\x000000000102020801120161', jsonb_build_object('key_format', 'protobuf', 'message', 'o.Other', 'schemas', jsonb_build_object('1', :'proto'::text)));
SELECT stream_ingest.decode('protobuf', NULL, '\x', :'p'::jsonb || '{"key_format": "avro"}');
SELECT stream_ingest.decode('protobuf', NULL, '\x', jsonb_build_object('key_format', 'protobuf', 'schema', 'message X {}'));
SELECT stream_ingest.decode('avro', NULL, '\x', '{"key_format": "protobuf", "schemas": {"1": "int"}}');

--
-- options
--
SELECT stream_ingest.decode('avro', '\x');
SELECT stream_ingest.decode('avro', '\x', options => '{"wire_format": "none"}');
SELECT stream_ingest.decode('avro', '\x', options => '{"wire_format": "none", "schemas": {"1": "int"}}');
SELECT stream_ingest.decode('avro', '\x', options => '{"wire_format": "Karapace", "schema": "int"}');
SELECT stream_ingest.decode('avro', '\x', options => '{"schemas": {"1": "nix"}}');
SELECT stream_ingest.decode('avro', '\x', options => '{"schemas": {}}');
SELECT stream_ingest.decode('avro', '\x', options => '{"schemas": ["int"]}');
SELECT stream_ingest.decode('avro', '\x', options => '{"schemas": {"01": "int"}}');
SELECT stream_ingest.decode('avro', '\x', options => '{"schemas": {"1": 5}}');
SELECT stream_ingest.decode('avro', '\x', options => '{"schemas": {"12345678-1234-5678-1234-56781234567": "int"}}');
SELECT stream_ingest.decode('avro', '\x', options => '{"schemas": {"ABCDEF78-1234-5678-1234-567812345678": "int", "abcdef78-1234-5678-1234-567812345678": "int"}}');
SELECT stream_ingest.decode('csv', '\x', options => '{"wire_format": "confluent"}');
SELECT stream_ingest.decode('json', '\x', options => '{"schemas": {"1": "int"}}');
SELECT stream_ingest.decode('json', '\x', options => '{"wire_format": "confluent", "encoding": "LATIN1"}');
SELECT stream_ingest.decode('json', '\x', headers => '[]');
SELECT stream_ingest.decode('json', '{}', headers => '{"a": "\\x1"}');

--
-- options of servers and user mappings
--
ALTER SERVER si_kafka OPTIONS (ADD schema_registry_api 'glue');
ALTER SERVER si_kafka OPTIONS (ADD schema_registry_timeout '61 s');
ALTER SERVER si_kafka OPTIONS (ADD schema_registry_timeout 'soon');
ALTER SERVER si_kafka OPTIONS (ADD schema_registry_proxy 'http://u:p@proxy');
ALTER SERVER si_kafka OPTIONS (ADD schema_registry_ssl_ca_pem 'ca.pem');
ALTER SERVER si_kafka OPTIONS (ADD schema_registry_password 'secret');
CREATE USER MAPPING FOR PUBLIC SERVER si_kafka OPTIONS (schema_registry_username 'u');
CREATE USER MAPPING FOR PUBLIC SERVER si_kafka OPTIONS (schema_registry_username 'u', schema_registry_password 'p', schema_registry_token 't');
CREATE USER MAPPING FOR PUBLIC SERVER si_kafka OPTIONS (schema_registry_url 'http://a');
CREATE ROLE schemas_plain;
GRANT USAGE ON FOREIGN DATA WRAPPER stream_ingest TO schemas_plain;
SET ROLE schemas_plain;
CREATE SERVER si_plain FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers 'b', schema_registry_ssl_ca_location '/etc/passwd');
SELECT stream_ingest.decode('avro', '\x0000000001', server => 'si_kafka');
RESET ROLE;
DROP OWNED BY schemas_plain;
DROP ROLE schemas_plain;
SELECT stream_ingest.decode('avro', '\x0000000001', server => 'si_kafka');
SELECT stream_ingest.decode('avro', '\x0000000001', server => 'si_none');

--
-- through a subscription: a new field, and an id that has no schema
--
\! test/mock_broker -c create schemas 2
\! printf '%s\n' 0000000001020261 000000000204000262 00000000020602046d4002 00000000630202 000000 | test/produce -t schemas -p 0 -x >/dev/null
\! printf '%s\n' 0a0265 | test/produce -t schemas -p 1 -x -H __value_schema_id=$(printf '\001aaaaaaaaaaaaaaaa') >/dev/null
CREATE TABLE target (id int, name text, mail text DEFAULT 'none');
CREATE TABLE by_header (id int, name text);
SELECT stream_ingest.create_subscription('schemas', 'si_kafka', 'schemas', 'target', format => 'avro',
        options => jsonb_build_object('partitions', '0') || :'s'),
    stream_ingest.create_subscription('by_header', 'si_kafka', 'schemas', 'by_header', format => 'avro',
        options => jsonb_build_object('partitions', '1', 'wire_format', 'confluent-header', 'schemas', jsonb_build_object('61616161-6161-6161-6161-616161616161', :'v1'::jsonb))) \g /dev/null
DO $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        EXIT WHEN (SELECT sum(messages) = 6 FROM stream_ingest.counts);
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
SELECT * FROM target ORDER BY id;
SELECT * FROM by_header;
SELECT name, message_offset, sqlstate, error FROM stream_ingest.dead_letters ORDER BY name, message_offset;
SELECT settings -> 'wire_format', settings -> 'schemas' FROM stream_ingest.subscriptions WHERE name = 'by_header';
-- with the schema, the dead letter is no bad message any more
SELECT stream_ingest.alter_subscription('schemas', options => jsonb_build_object('schemas', jsonb_build_object('99', 'nix'))) \g /dev/null
SELECT stream_ingest.alter_subscription('schemas', options => jsonb_build_object('schemas', jsonb_build_object('99', '{"type":"record","name":"o","fields":[{"name":"id","type":"int"},{"name":"n","type":"int"}]}'::jsonb))) \g /dev/null
SELECT stream_ingest.retry_dead_letters('schemas');
SELECT * FROM target ORDER BY id, name;
-- Avro keys: records, and a number
\! test/mock_broker -c create schemas_keyed 1
\! printf '%s\n' '000000000312;0000000001120261' '000000000314;0000000001140262' '000000000416;0000000001160263' '000000000312;' '000000000416;' '000000000999;' | test/produce -t schemas_keyed -p 0 -x -y -Z -K ';' >/dev/null
CREATE TABLE keyed (id int PRIMARY KEY, name text);
CREATE TABLE key_fields (id int, kid int, o bigint);
SELECT stream_ingest.create_subscription('keyed', 'si_kafka', 'schemas_keyed', 'keyed', format => 'avro', insert_mode => 'upsert', options => :'keyed'),
    stream_ingest.create_subscription('key_fields', 'si_kafka', 'schemas_keyed', 'key_fields', format => 'avro', mapping => '{"kid": "$key.id", "o": "$offset"}', options => :'keyed') \g /dev/null
DO $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        EXIT WHEN (SELECT count(*) = 2 FROM stream_ingest.counts WHERE name IN ('keyed', 'key_fields') AND messages = 6);
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
SELECT * FROM keyed ORDER BY id;
SELECT * FROM key_fields ORDER BY o;
SELECT name, message_offset, sqlstate, error FROM stream_ingest.dead_letters WHERE name IN ('keyed', 'key_fields') ORDER BY name, message_offset;
-- Protobuf keys, which delete rows
\! test/mock_broker -c create schemas_proto 1
\! printf '%s\n' '0000000001000809;000000000102020809120161' '000000000100080a;000000000102020809120161' '000000000100080a;00000000010202080a120162' '0000000001000809;' '000000000101;' '0000000001040000;' | test/produce -t schemas_proto -p 0 -x -y -Z -K ';' >/dev/null
CREATE TABLE proto_keyed (i int PRIMARY KEY, name text, o bigint);
SELECT stream_ingest.create_subscription('proto_keyed', 'si_kafka', 'schemas_proto', 'proto_keyed', format => 'protobuf', insert_mode => 'upsert',
        mapping => '{"i": "$key.i", "o": "$offset"}', options => :'p'::jsonb || '{"key_format": "protobuf"}') \g /dev/null
DO $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        EXIT WHEN (SELECT count(*) = 1 FROM stream_ingest.counts WHERE name = 'proto_keyed' AND messages = 6);
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
SELECT * FROM proto_keyed ORDER BY i;
SELECT message_offset, sqlstate, error FROM stream_ingest.dead_letters WHERE name = 'proto_keyed' ORDER BY message_offset;
SELECT stream_ingest.create_subscription('none', 'si_kafka', 'schemas', 'target', format => 'avro');
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null
DROP SCHEMA si_schemas CASCADE;
DROP EXTENSION stream_ingest CASCADE;
