CREATE EXTENSION stream_ingest;

--
-- Change events: every case by decode, and by a subscription on librdkafka's
-- embedded broker.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset tuples_only on
\pset null '~'
SET client_min_messages = warning;
SET bytea_output = 'hex';
CREATE SCHEMA si_envelopes;
SET search_path = si_envelopes;
\! test/mock_broker -c create changes 64
CREATE TABLE cases (n serial PRIMARY KEY, what text, messages text[], options jsonb DEFAULT '{}', mapping jsonb, rows text, mode text DEFAULT 'upsert',
    columns text DEFAULT 'id int PRIMARY KEY, name text NOT NULL DEFAULT ''none'', bio text DEFAULT ''empty'', price numeric, day date, at timestamptz, seen timestamp, y bytea');
-- an event as Debezium writes it; a message is its key, a bar and its value
CREATE FUNCTION event(op text, key jsonb, before jsonb, after jsonb, lsn bigint DEFAULT 33227720) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(key::text, '') || '|' || jsonb_build_object('before', before, 'after', after, 'op', op, 'ts_ms', 1, 'source',
        jsonb_build_object('version', '2.7.0.Final', 'connector', 'postgresql', 'name', 's', 'ts_ms', 1559033904863, 'snapshot', 'false', 'db', 'd',
            'sequence', '[null,"33227720"]', 'schema', 'public', 'table', 'c', 'txId', 556, 'lsn', lsn, 'xmin', null))::text;
$$;
\set debezium '''{"envelope": "debezium"}'''
INSERT INTO cases (what, messages, options) VALUES
('snapshot, twice', ARRAY[event('r', '{"id": 1}', NULL, '{"id": 1, "name": "Anne", "bio": "x"}'), event('r', '{"id": 1}', NULL, '{"id": 1, "name": "Anne", "bio": "x"}')], :debezium),
('an unchanged large value', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1, "name": "Anne", "bio": "x"}'),
    event('u', '{"id": 1}', NULL, '{"id": 1, "name": "Anna", "bio": "__debezium_unavailable_value"}'),
    event('u', '{"id": 2}', NULL, '{"id": 2, "name": "Bob", "bio": "__debezium_unavailable_value"}')], :debezium),
('a delete and its tombstone', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1, "name": "Anne"}'), event('c', '{"id": 2}', NULL, '{"id": 2, "name": "Bob"}'),
    event('d', '{"id": 1}', '{"id": 1, "name": null, "bio": null}', NULL), '{"id": 1}|'], :debezium),
('a delete without the old row', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1, "name": "Anne"}'), event('d', '{"id": 1}', NULL, NULL), event('d', NULL, NULL, NULL)], :debezium),
('a delete of what is not there', ARRAY[event('d', '{"id": 1}', '{"id": 1}', NULL)], :debezium),
('the key changes', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1, "name": "Anna", "bio": "x"}'), event('d', '{"id": 1}', '{"id": 1}', NULL), '{"id": 1}|',
    event('c', '{"id": 7}', NULL, '{"id": 7, "name": "Anna", "bio": "x"}')], :debezium),
('truncate', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1}'), event('t', NULL, NULL, NULL)], :debezium),
('truncate, ignored', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1}'), event('t', NULL, NULL, NULL)], '{"envelope": "debezium", "truncate": "ignore"}'),
('a logical message', ARRAY['|{"op": "m", "ts_ms": 1, "source": {}, "message": {"prefix": "p", "content": "eA=="}}'], :debezium),
('no change event', ARRAY['|{"ts_ms": 1715784700000}', '|{"op": "x"}', '|{"op": 1}', '|5', '|[]', '|{', '|{"schema": {}, "payload": {"ts_ms": 1}}', '|{"op": "c", "after": null}'], :debezium),
('with a schema around it', ARRAY['{"schema": {"type": "struct"}, "payload": {"id": 1}}|{"schema": {"type": "struct", "fields": []}, "payload": {"before": null, "after": {"id": 1, "name": "Anne"}, "op": "c"}}',
    '{"schema": {"type": "struct"}, "payload": {"id": 2}}|{"schema": {"type": "struct", "fields": []}, "payload": {"before": null, "after": {"id": 2, "name": "Bob"}, "op": "c"}}',
    event('c', '{"id": 3}', NULL, '{"id": 3, "name": "Carl"}'), event('c', '{"id": 4}', NULL, '{"id": 4, "name": "Dora"}'),
    '{"schema": {"type": "struct"}, "payload": {"id": 1}}|{"schema": {"type": "struct", "fields": []}, "payload": {"before": {"id": 1}, "after": null, "op": "d"}}',
    '{"schema": {"type": "struct"}, "payload": {"id": 1}}|', '{"schema": {"type": "struct"}, "payload": {"id": 2}}|',
    '{"schema": {"type": "int32"}, "payload": 3}|{"schema": null, "payload": {"before": null, "after": null, "op": "d"}}', '{"schema": {"type": "int32"}, "payload": 4}|'], :debezium),
('days and base64', ARRAY[event('c', '{"id": 4}', NULL, '{"id": 4, "day": 19761, "price": "BNI="}'), event('c', '{"id": 5}', NULL, '{"id": 5, "day": 19761, "y": "AQID/w=="}'),
    event('c', '{"id": 6}', NULL, '{"id": 6, "seen": 1707395411123456}'), event('c', '{"id": 7}', NULL, '{"id": 7, "y": "AQI"}'), event('c', '{"id": 8}', NULL, '{"id": 8, "y": "A-ID"}'),
    event('c', '{"id": 9}', NULL, '{"id": 9, "day": 99999999999}'), event('c', '{"id": 10}', NULL, '{"id": 10, "day": -1, "y": ""}'), event('c', '{"id": 11}', NULL, '{"id": 11, "y": "AQ==", "day": "2024-02-08"}'),
    event('c', '{"id": 12}', NULL, '{"id": 12, "y": "AR=="}')], :debezium),
('numbers of a known unit', ARRAY[event('c', '{"id": 6}', NULL, '{"id": 6, "day": 19761, "seen": 1707395411123456}')], '{"envelope": "debezium", "epoch_unit": "microseconds"}'),
('bytes in hex', ARRAY['|{"id": 1, "y": "00fF"}', '|{"id": 2, "y": "0"}', '|{"id": 3, "y": "\\x00"}'], '{"binary_text": "hex"}'),
('bytes in base64url', ARRAY['|{"id": 1, "y": "-_8"}', '|{"id": 2, "y": "-_8="}', '|{"id": 3, "y": "+_8"}', '|{"id": 4, "y": "-"}'], '{"binary_text": "base64url"}'),
('a field that says deleted', ARRAY['|{"id": 1, "name": "Anne", "__deleted": "false"}', '|{"id": 2, "name": "Bob", "__deleted": false}', '|{"id": 3, "name": "Carl"}', '|{"id": 4, "__deleted": "t"}',
    '|{"id": 1, "name": "Anne", "__deleted": "true"}', '|{"id": 2, "__deleted": true}', '{"id": 3}|{"__deleted": true}'], '{"deleted_field": "__deleted"}'),
('such a field further in', ARRAY['|{"id": 1, "meta": {"gone": false}}', '|{"id": 2, "meta": {}}', '|{"id": 2, "meta": {"gone": true}}'], '{"deleted_field": "meta.gone"}'),
('as Kafka Connect wraps it', ARRAY['|{"schema": {"type": "struct"}, "payload": {"id": 6, "name": "F"}}', '|{"schema": null, "payload": {"id": 7}}', '|{"payload": {"id": 8}}',
    '{"schema": {"type": "struct"}, "payload": {"id": 6}}|{"schema": null, "payload": null}', '{"schema": null, "payload": 7}|', '|{"id": 9}', '|{"schema": null, "payload": 5}'], '{"envelope": "connect"}');
INSERT INTO cases (what, messages, options, mapping, columns) VALUES
('parts of the event', ARRAY[event('u', '{"id": 1}', '{"id": 1, "name": "Anne"}', '{"id": 1, "name": "Anna"}'), event('c', '{"id": 2}', NULL, '{"id": 2, "name": "Bob"}'),
    event('d', '{"id": 2}', '{"id": 2, "name": "Bob"}', NULL, 33227721)], :debezium,
    '{"op": "$op", "lsn": "$source.lsn", "was": "$before.name", "old": "$before", "source": "$source.table", "rest": "$rest", "whole": "$value"}',
    'id int PRIMARY KEY, op text, lsn bigint, was text, old jsonb, source text, rest jsonb, whole json'),
('a version', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1, "name": "new"}', 20), event('u', '{"id": 1}', NULL, '{"id": 1, "name": "late"}', 10)],
    '{"envelope": "debezium", "version_column": "lsn"}', '{"lsn": "$source.lsn"}', 'id int PRIMARY KEY, name text, lsn bigint'),
('forms of the placeholder', ARRAY[event('c', '{"id": 1}', NULL, jsonb '{"id": 1, "j": {"a": 1}, "l": ["x"], "n": [1], "u": "c52dcc24-8f8b-4bf0-9d4b-0b8e1e5b2f39", "m": {"k": "v"}}'),
    event('u', '{"id": 1}', NULL, jsonb '{"id": 1, "j": "__debezium_unavailable_value", "l": ["__debezium_unavailable_value"], "m": {"__debezium_unavailable_value": "__debezium_unavailable_value"}}'
        || jsonb_build_object('n', (SELECT jsonb_agg(get_byte(b, i) ORDER BY i) FROM (SELECT bytea '__debezium_unavailable_value') AS v (b), generate_series(0, length(b) - 1) AS i),
            'u', (SELECT (left(h, 12) || '3' || substr(h, 14, 3) || to_hex(('x' || substr(h, 17, 1))::bit(4)::int & 3 | 8) || substr(h, 18))::uuid FROM md5('__debezium_unavailable_value') AS h)))],
    :debezium, NULL, 'id int PRIMARY KEY, j jsonb, l text[], n int[], u uuid, m jsonb'),
('bytes that are not there', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1, "y": "AQID"}'),
    event('u', '{"id": 1}', NULL, jsonb_build_object('id', 1, 'y', translate(encode('__debezium_unavailable_value', 'base64'), E'\n', '')))], :debezium, NULL, 'id int PRIMARY KEY, y bytea'),
('another placeholder', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1, "v": "a"}'), event('u', '{"id": 1}', NULL, '{"id": 1, "v": "?"}')],
    '{"envelope": "debezium", "unavailable_value": "?"}', NULL, 'id int PRIMARY KEY, v text'),
('a document', ARRAY[event('c', '{"id": 5}', NULL, '{"id": 5, "p": {"x": 1.0, "y": 2.0, "wkb": "AQEAAAAAAAAAAADwPwAAAAAAAABA", "srid": null}}')],
    :debezium, '{"wkb": "p.wkb"}', 'id int PRIMARY KEY, p jsonb, wkb bytea'),
('members given twice', ARRAY['|{"op": "c", "after": {"id": 1, "a": 1}, "after": {"id": 2, "b": 2}}'], :debezium, '{"rest": "$rest"}', 'id int PRIMARY KEY, a int, rest jsonb'),
('fields that no column takes', ARRAY[event('c', NULL, NULL, '{"id": 1, "z": 2}'), event('c', NULL, '{"z": 2}', '{"id": 2}')],
    '{"envelope": "debezium", "unknown_fields": "error"}', NULL, 'id int PRIMARY KEY');
INSERT INTO cases (what, messages, options, mode, columns) VALUES
('inserted, what deletes is ignored', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1}'), event('d', '{"id": 1}', '{"id": 1}', NULL), '{"id": 1}|'], :debezium, 'insert', 'id int PRIMARY KEY'),
('kept, what deletes deletes', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1}'), event('c', '{"id": 2}', NULL, '{"id": 2}'), event('d', '{"id": 1}', '{"id": 1}', NULL), '{"id": 1}|'],
    '{"envelope": "debezium", "tombstones": "delete"}', 'ignore', 'id int PRIMARY KEY'),
('tombstones are errors, deletes are none', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1}'), event('d', '{"id": 1}', '{"id": 1}', NULL), '{"id": 1}|'],
    '{"envelope": "debezium", "tombstones": "error"}', 'upsert', 'id int PRIMARY KEY');

-- the same with the schema around it, as Debezium's JSON converter writes it; types: of the row's columns
CREATE FUNCTION wrapped(types text, op text, key jsonb, before jsonb, after jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(jsonb_build_object('schema', jsonb_build_object('type', 'struct', 'fields', "row".types), 'payload', key)::text, '') || '|' || jsonb_build_object(
        'schema', jsonb_build_object('type', 'struct', 'name', 's.public.c.Envelope', 'fields', jsonb_build_array(
            jsonb_build_object('type', 'struct', 'optional', true, 'field', 'before', 'fields', "row".types),
            jsonb_build_object('type', 'struct', 'optional', true, 'field', 'after', 'fields', "row".types), jsonb '{"type": "string", "field": "op"}')),
        'payload', jsonb_build_object('before', before, 'after', after, 'op', op))::text
    FROM (SELECT jsonb_agg(jsonb_build_object('field', t[1], 'type', t[2], 'optional', true) ||
            CASE WHEN t[3] IS NULL THEN '{}' ELSE jsonb_build_object('name', CASE t[3] WHEN 'Decimal' THEN 'org.apache.kafka.connect.data.Decimal' ELSE t[3] END, 'version', 1,
                'parameters', jsonb_build_object('scale', t[4])) END) FROM regexp_split_to_table(types, ', *') AS u, LATERAL string_to_array(u, ' ') AS t) AS "row" (types);
$$;
\set numeric '''id int32, price bytes Decimal 2'''
INSERT INTO cases (what, messages, options, columns) VALUES
('decimals by their schema', ARRAY[wrapped(:numeric, 'c', '{"id": 1}', NULL, '{"id": 1, "price": "BNI="}'), wrapped(:numeric, 'c', '{"id": 2}', NULL, '{"id": 2, "price": "1234"}'),
    wrapped(:numeric, 'c', '{"id": 3}', NULL, '{"id": 3, "price": "00000000"}'), wrapped(:numeric, 'c', '{"id": 4}', NULL, '{"id": 4, "price": ""}'), wrapped(:numeric, 'c', '{"id": 5}', NULL, '{"id": 5, "price": null}'),
    wrapped(:numeric, 'c', '{"id": 6}', NULL, '{"id": 6, "price": 12.34}'), wrapped(:numeric, 'c', '{"id": 7}', NULL, '{"id": 7, "price": "12.34"}'), wrapped(:numeric, 'c', '{"id": 8}', NULL, '{"id": 8}'),
    wrapped('id int32, price bytes Decimal -3', 'c', '{"id": 9}', NULL, '{"id": 9, "price": "BNI="}'), wrapped('id int32, price bytes Decimal 30', 'c', '{"id": 10}', NULL, '{"id": 10, "price": "gAAAAAAAAAAAAAAAAAAAAA=="}'),
    wrapped('id int32, price bytes Decimal', 'c', '{"id": 11}', NULL, '{"id": 11, "price": "BNI="}'), wrapped('id int32, price string', 'c', '{"id": 12}', NULL, '{"id": 12, "price": "1234"}'),
    wrapped('id int32, price struct io.debezium.data.VariableScaleDecimal', 'c', '{"id": 13}', NULL, '{"id": 13, "price": {"scale": 3, "value": "BNI="}}'),
    wrapped('id int32, price struct io.debezium.data.VariableScaleDecimal', 'c', '{"id": 14}', NULL, '{"id": 14, "price": {"value": "BNI="}}'),
    wrapped(:numeric, 'u', '{"id": 1}', NULL, jsonb_build_object('id', 1, 'price', translate(encode('__debezium_unavailable_value', 'base64'), E'\n', '')))],
    :debezium, 'id int PRIMARY KEY, price numeric'),
('scales that change', (SELECT array_agg(wrapped('id int32, price bytes Decimal ' || i % 10, 'c', NULL, NULL, jsonb_build_object('id', i, 'price', 'BNI='))) FROM generate_series(0, 24) AS i),
    :debezium, 'id int PRIMARY KEY, price numeric'),
('dates and times by their schema', ARRAY[wrapped('id int32, d int32 io.debezium.time.Date, t int32 io.debezium.time.Time, at int64 io.debezium.time.Timestamp, z string io.debezium.time.ZonedTimestamp, i int64 io.debezium.time.MicroDuration',
        'c', '{"id": 1}', NULL, '{"id": 1, "d": 19761, "t": 45011123, "at": 1707395411123, "z": "2024-02-08T12:30:11.123456Z", "i": 90500000}'),
    wrapped('id int32, d int32 org.apache.kafka.connect.data.Date, t int64 io.debezium.time.MicroTime, at int64 io.debezium.time.MicroTimestamp, z int64 org.apache.kafka.connect.data.Timestamp, i int64 io.debezium.time.NanoDuration',
        'c', '{"id": 2}', NULL, '{"id": 2, "d": -1, "t": 45011123456, "at": 1707395411123456, "z": 1707395411123, "i": -1}'),
    wrapped('id int32, d int32 io.debezium.time.Date, t int64 io.debezium.time.NanoTime, at int64 io.debezium.time.NanoTimestamp', 'c', '{"id": 3}', NULL, '{"id": 3, "d": 2932896, "t": 45011123456789, "at": -1}'),
    wrapped('id int32, t int32 org.apache.kafka.connect.data.Time, at int64 org.apache.kafka.connect.data.Timestamp, z int64 io.debezium.time.Timestamp', 'c', '{"id": 4}', NULL, '{"id": 4, "t": 45011123, "at": 1707395411123, "z": 1707395411123}'),
    wrapped('id int32, d int32 io.debezium.time.Date', 'c', '{"id": 5}', NULL, '{"id": 5, "d": 1.5}'), wrapped('id int32, at int64 io.debezium.time.Timestamp', 'c', '{"id": 6}', NULL, '{"id": 6, "at": 9223372036854775807}'),
    wrapped('id int32, d int32', 'c', '{"id": 7}', NULL, '{"id": 7, "d": 2024}'), wrapped('id int32, i int64', 'c', '{"id": 8}', NULL, '{"id": 8, "i": 90500000}'), event('c', '{"id": 9}', NULL, '{"id": 9, "i": 90500000}'),
    wrapped('id int32, i string io.debezium.time.Interval', 'c', '{"id": 10}', NULL, '{"id": 10, "i": "P1Y2M3DT4H5M6.78S"}'), wrapped('id int32, at int64', 'c', '{"id": 11}', NULL, '{"id": 11, "at": 1707395411123}')],
    :debezium, 'id int PRIMARY KEY, d date, t time, at timestamp, z timestamptz, i interval'),
('days into a number, and bytes', ARRAY[wrapped('id int32, n int32 io.debezium.time.Date', 'c', NULL, NULL, '{"id": 1, "n": 5}'), wrapped('id int32, y bytes', 'c', NULL, NULL, '{"id": 2, "y": "AQID/w=="}'),
    wrapped('id int32, y bytes', 'c', NULL, NULL, '{"id": 3, "y": "AQI"}'), wrapped('id int32, s bytes', 'c', NULL, NULL, '{"id": 4, "s": "eHl6"}'), wrapped('id int32, n bytes', 'c', NULL, NULL, '{"id": 5, "n": "1234"}')],
    :debezium, 'id int PRIMARY KEY, n numeric, s text, y bytea'),
('documents by their schema', ARRAY['|' || replace('{"schema": {"type": "struct", "fields": [{"type": "struct", "field": "after", "fields": [{"type": "int32", "field": "id"}, {"type": "array", "field": "l", "items": DECIMAL},
        {"type": "array", "field": "y", "items": {"type": "bytes"}}, {"type": "struct", "field": "j", "fields": [DECIMAL, {"type": "map", "field": "m", "keys": {"type": "string"}, "values": {"type": "int32", "name": "io.debezium.time.Date"}},
        {"type": "bytes", "field": "y"}]}]}]}, "payload": {"after": {"id": 1, "l": ["BNI=", null, "1234"], "y": ["AQI=", "AQM="], "j": {"p\"q": "1234", "m": {"a": 19761, "b": null}, "other": [1, {"x": "y\u0041"}], "y": "AQI="}}, "op": "c"}}',
        'DECIMAL', '{"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}, "field": "p\"q"}')::jsonb::text,
    wrapped('id int32, p struct io.debezium.data.geometry.Point', 'c', NULL, NULL, '{"id": 5, "p": {"x": 1.0, "y": 2.0, "wkb": "AQEAAAAAAAAAAADwPwAAAAAAAABA", "srid": null}}')],
    :debezium, 'id int PRIMARY KEY, l numeric[], y bytea[], j jsonb, p jsonb'),
('strings that are documents', (SELECT array_agg(wrapped('id int32, j string io.debezium.data.Json, s string io.debezium.data.Json, l string io.debezium.data.Json, t string', 'c', NULL, NULL,
    jsonb_build_object('id', i, 'j', v, 's', v, 't', v) || CASE WHEN v LIKE '[%' THEN jsonb_build_object('l', v) ELSE '{}' END) ORDER BY i) FROM unnest('{"{\"a\": \"x\"}", "[1, 2]", "\"text\"", "5", "null", "[1", "[1],\"v\":[2]"}'::text[]) WITH ORDINALITY AS v (v, i)),
    :debezium, 'id int PRIMARY KEY, j jsonb, s text, l int[], t jsonb'),
('keys by their schema', ARRAY[wrapped('k int32 io.debezium.time.Date, v string', 'c', '{"k": 19761}', NULL, '{"k": 19761, "v": "a"}'), wrapped('k int32 io.debezium.time.Date, v string', 'c', '{"k": 19762}', NULL, '{"k": 19762, "v": "b"}'),
    wrapped('k int32 io.debezium.time.Date, v string', 'c', '{"k": 19763}', NULL, '{"k": 19763, "v": "c"}'), wrapped('k int32 io.debezium.time.Date, v string', 'd', '{"k": 19761}', NULL, NULL),
    '{"schema": {"type": "int32", "name": "io.debezium.time.Date"}, "payload": 19762}|'], :debezium, 'k date PRIMARY KEY, v text'),
('schemas that are none', ARRAY['|{"schema": {"type": "struct", "fields": [{"field": 5}, 7, {"field": "after", "type": "struct", "fields": {}}]}, "payload": {"after": {"id": 1, "price": "5"}, "op": "c"}}', '|{"schema": [], "payload": {"after": {"id": 2}, "op": "c"}}',
    '|{"schema": ' || repeat('{"type": "array", "items": ', 101) || '{}' || repeat('}', 101) || ', "payload": {"after": {"id": 3}, "op": "c"}}'], :debezium, 'id int PRIMARY KEY, price numeric'),
('as Kafka Connect wraps it, by the schema', ARRAY['|{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"int64","optional":true,"name":"org.apache.kafka.connect.data.Timestamp","version":1,"field":"at"}],"optional":false},"payload":{"id":6,"at":1707395411123}}',
    '{"schema": null, "payload": {"id": 7}}|{"schema":null,"payload":{"id":7}}', '{"schema": null, "payload": {"id": 7}}|{"schema":null,"payload":null}'], '{"envelope": "connect"}', 'id int PRIMARY KEY, at timestamptz');
INSERT INTO cases (what, messages, options, columns) VALUES
('messages of other topics', ARRAY['|{"status": "BEGIN", "id": "571:53195829", "event_count": null, "data_collections": null, "ts_ms": 1}', '{"serverName": "s"}|{"ts_ms": 1}',
    '|{"source": {"connector": "mysql"}, "ts_ms": 1, "databaseName": "d", "schemaName": null, "ddl": "DROP TABLE c", "tableChanges": []}', '|{"schema": {"type": "struct", "fields": []}, "payload": {"ts_ms": 1}}'],
    :debezium, 'id int PRIMARY KEY'),
('unwrapped, with a schema', ARRAY['|{"schema": {"type": "struct", "fields": [{"type": "int32", "field": "id"}, {"type": "int32", "field": "d", "name": "io.debezium.time.Date"}]}, "payload": {"id": 1, "d": 19761, "__deleted": "false"}}',
    '|{"schema": null, "payload": {"id": 2, "__deleted": "false"}}', '|{"schema": null, "payload": {"id": 2, "__deleted": "true"}}'],
    '{"envelope": "connect", "deleted_field": "__deleted"}', 'id int PRIMARY KEY, d date');
INSERT INTO cases (what, messages, options, mapping, columns) VALUES
('names and strings with JSON', ARRAY[wrapped('id int32, unitPrice bytes Decimal 2, meta string io.debezium.data.Json', 'c', '{"ID": 1}', NULL, '{"ID": 1, "unitPrice": "1234", "meta": "{\"name\": \"x\"}", "Other": 1}'),
    wrapped('id int32, unitPrice bytes Decimal 2', 'u', '{"ID": 1}', NULL, '{"ID": 1, "unitPrice": "BNI=", "meta": "__debezium_unavailable_value"}'),
    event('c', '{"ID": 2}', NULL, '{"Id": 2, "UnitPrice": "1.5", "meta": "{\"name\": \"y\"}"}'), event('c', '{"ID": 3}', NULL, '{"Id": 3}'), event('d', '{"ID": 3}', NULL, NULL)],
    '{"envelope": "debezium", "match_names": "snake_case"}', '{"name": "meta::json.name", "rest": "$rest"}', 'id int PRIMARY KEY, unit_price numeric, name text, rest jsonb'),
('extended JSON', ARRAY[event('c', NULL, NULL, '{"id": {"$numberLong": "5"}, "at": {"$date": 1707395411123}}')], '{"envelope": "debezium", "extended_json": true}', NULL, 'id int PRIMARY KEY, at timestamptz');
INSERT INTO cases (what, messages, options, columns) VALUES
('the ends of time', ARRAY[wrapped('id int32, at int64 io.debezium.time.MicroTimestamp, z int64 org.apache.kafka.connect.data.Timestamp', 'c', '{"id": 1}', NULL, '{"id": 1, "at": 9223372036825200000, "z": -9223372036832400000}'),
    wrapped('id int32, at int64 io.debezium.time.Timestamp, j int64 io.debezium.time.MicroTimestamp', 'c', '{"id": 2}', NULL, '{"id": 2, "at": -9223372036832400000, "j": 9223372036825200000}'),
    wrapped('id int32, at int64 io.debezium.time.NanoTimestamp', 'c', '{"id": 3}', NULL, '{"id": 3, "at": 9223372036825200000}'), event('c', '{"id": 4}', NULL, '{"id": 4, "at": 9223372036825200000, "z": -9223372036832400000}')],
    '{"envelope": "debezium", "epoch_unit": "microseconds"}', 'id int PRIMARY KEY, at timestamp, z timestamptz, j jsonb'),
('a duration into a document', ARRAY[wrapped('id int32, j int64 io.debezium.time.MicroDuration', 'c', '{"id": 1}', NULL, '{"id": 1, "j": 90500000}')], :debezium, 'id int PRIMARY KEY, j jsonb'),
('fields that no column takes, wrapped', ARRAY['|{"schema": null, "payload": {"id": 1, "z": 2}}', '|{"schema": null, "z": 2, "payload": {"id": 2}}'],
    '{"envelope": "connect", "unknown_fields": "error"}', 'id int PRIMARY KEY');

--
-- by decode
--
SELECT n, m, operation, fields, error FROM cases,
    unnest(messages) WITH ORDINALITY AS t (message, m),
    stream_ingest.decode('json', convert_to(nullif(substr(message, strpos(message, '|') + 1), ''), 'UTF8'), convert_to(nullif(split_part(message, '|', 1), ''), 'UTF8'), options) ORDER BY n, m;

--
-- by subscriptions
--
\copy (SELECT n || ' ' || message FROM cases, unnest(messages) WITH ORDINALITY AS t (message, m) ORDER BY n, m) TO PROGRAM 'while read -r n v; do printf "%s\n" "$v" | test/produce -t changes -p "$n" -K "|" -Z >/dev/null; done' WITH (FORMAT csv, DELIMITER E'\x02', QUOTE E'\x01')
CREATE PROCEDURE run(number int) LANGUAGE plpgsql AS $$
DECLARE
    c cases := (SELECT c FROM cases c WHERE n = number);
    deadline timestamptz := clock_timestamp() + interval '30 s';
    r text;
BEGIN
    EXECUTE format('CREATE TABLE target (%s)', c.columns);
    PERFORM stream_ingest.create_subscription('changes', 'si_kafka', 'changes', 'target', mapping => c.mapping, insert_mode => c.mode,
        options => jsonb_build_object('partitions', c.n::text, 'breaker', 0, 'batch_size', 1) || c.options);
    COMMIT;
    WHILE (SELECT messages FROM stream_ingest.counts WHERE name = 'changes') < cardinality(c.messages) LOOP
        IF clock_timestamp() > deadline THEN
            RAISE WARNING 'waited in vain: %', (SELECT row(state, reason, last_error) FROM stream_ingest.status WHERE name = 'changes');
            EXIT;
        END IF;
        PERFORM pg_sleep(0.005);
        COMMIT;
    END LOOP;
    RAISE WARNING '%: %', c.n, c.what;
    FOR r IN EXECUTE 'SELECT _row::text FROM target _row ORDER BY 1' LOOP
        RAISE WARNING '    %', r;
    END LOOP;
    FOR r IN SELECT format('messages %s applied %s ignored %s dead %s', messages, applied, ignored, dead_letters) FROM stream_ingest.counts WHERE name = 'changes' LOOP
        RAISE WARNING '    %', r;
    END LOOP;
    FOR r IN SELECT concat_ws(' ', message_offset, sqlstate, error, detail, column_name) FROM stream_ingest.dead_letters WHERE name = 'changes' ORDER BY message_offset LOOP
        RAISE WARNING '    dead: %', r;
    END LOOP;
    PERFORM stream_ingest.drop_subscription('changes');
    DROP TABLE target;
    COMMIT;
END $$;
\set VERBOSITY terse
SELECT format('CALL run(%s)', n) FROM cases ORDER BY n \gexec

--
-- Avro, apply, preview, and dead letters tried again
--
\set schema '{"type": "record", "name": "Envelope", "fields": [{"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": [{"name": "id", "type": "int"}, {"name": "name", "type": ["null", "string"]}, {"name": "extra", "type": "int"}]}]}, {"name": "after", "type": ["null", "Value"]}, {"name": "op", "type": "string"}]}'
\! test/mock_broker -c create avro_changes 1
\! printf '%s\n' '{"id":1};00020202026100''0263' '{"id":1};0002020238''5f5f646562657a69756d5f756e617661696c61626c655f76616c7565''000275' '{"id":2};00020402026200''0263' '{"id":2};020400''0000''0264' '{"id":2};' '{"id":3};0263' | tr -d "'" | test/produce -t avro_changes -p 0 -x -Z -K ';' >/dev/null
SELECT * FROM stream_ingest.decode('avro', '\x000202020261000263', options => jsonb_build_object('envelope', 'debezium', 'schema', :'schema'::jsonb));
SELECT * FROM stream_ingest.decode('avro', '\x02040000000264', options => jsonb_build_object('envelope', 'debezium', 'schema', :'schema'::jsonb));
-- an end of time in Avro
SELECT fields FROM stream_ingest.decode('avro', '\x80d6e5e3ffffffffff01ffc9d4eaffffffffff01', options => '{"schema": {"type": "record", "name": "R", "fields": [
    {"name": "a", "type": {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}}, {"name": "b", "type": {"type": "long", "connect.name": "io.debezium.time.Timestamp"}}]}}');
-- what Debezium's types are in Avro is what they are in JSON
\set types '{"type": "record", "name": "Envelope", "fields": [{"name": "after", "type": {"type": "record", "name": "Value", "fields": [{"name": "id", "type": "int"}, {"name": "n", "type": {"type": "record", "name": "VariableScaleDecimal", "namespace": "io.debezium.data", "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}], "connect.name": "io.debezium.data.VariableScaleDecimal"}}, {"name": "j", "type": {"type": "string", "connect.name": "io.debezium.data.Json"}}, {"name": "i", "type": {"type": "long", "connect.name": "io.debezium.time.MicroDuration"}}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis", "connect.name": "org.apache.kafka.connect.data.Timestamp"}}, {"name": "d", "type": "int"}]}}, {"name": "op", "type": "string"}]}'
\! test/mock_broker -c create typed_changes 1
\! printf '%s\n' 02060404d2107b2261223a20317d80dcbe56e6b2938bb163000263 04030404d2023580dcbe56e6b2938bb163000263 06feff030404d2045b5d0000000263 | test/produce -t typed_changes -p 0 -x >/dev/null
CREATE TABLE typed_target (id int PRIMARY KEY, n numeric, j jsonb, t text, a text, i interval, at timestamp, d int);
SELECT stream_ingest.create_subscription('typed', 'si_kafka', 'typed_changes', 'typed_target', format => 'avro', insert_mode => 'upsert', mapping => '{"t": "j", "a": "j::json.a"}',
    options => jsonb_build_object('envelope', 'debezium', 'schema', :'types'::jsonb)) \g /dev/null
SELECT stream_ingest.wait_until_caught_up('typed', '30 s');
SELECT * FROM typed_target ORDER BY id;
SELECT message_offset, sqlstate, error FROM stream_ingest.dead_letters WHERE name = 'typed' ORDER BY 1;
SELECT messages, applied, dead_letters FROM stream_ingest.counts;
SELECT stream_ingest.drop_subscription('typed') \g /dev/null
SELECT error FROM stream_ingest.decode('avro', '\x06feff030404d2045b5d0000000263', options => jsonb_build_object('envelope', 'debezium', 'schema', :'types'::jsonb));
SELECT fields FROM stream_ingest.decode('avro', '\x02060404d2107b2261223a20317d80dcbe56e6b2938bb163000263', options => jsonb_build_object('envelope', 'debezium', 'schema', :'types'::jsonb));
CREATE TABLE avro_target (id int PRIMARY KEY, name text, op text, rest jsonb);
CREATE TABLE applied (id int, name text, deleted bool, op text);
CREATE ROLE envelope_owner LOGIN;
GRANT USAGE ON FOREIGN SERVER si_kafka TO envelope_owner;
GRANT USAGE ON SCHEMA si_envelopes TO envelope_owner;
GRANT ALL ON applied TO envelope_owner;
SELECT stream_ingest.create_subscription('avro_changes', 'si_kafka', 'avro_changes', 'avro_target', format => 'avro', insert_mode => 'upsert', mapping => '{"op": "$op", "rest": "$rest"}',
    options => jsonb_build_object('envelope', 'debezium', 'batch_size', 1, 'schema', :'schema'::jsonb)) \g /dev/null
SET ROLE envelope_owner;
SELECT stream_ingest.create_subscription('applied', 'si_kafka', 'avro_changes', format => 'avro', fields => 'id int, name text, op text', mapping => '{"op": "$op"}',
    apply => 'INSERT INTO si_envelopes.applied SELECT id, name, _deleted, op FROM batch', options => jsonb_build_object('envelope', 'debezium', 'batch_size', 1, 'schema', :'schema'::jsonb)) \g /dev/null
RESET ROLE;
CREATE PROCEDURE wait_for(bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        EXIT WHEN (SELECT bool_and(messages = $1) FROM stream_ingest.counts);
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
CALL wait_for(6);
SELECT * FROM avro_target ORDER BY id;
SELECT * FROM applied ORDER BY id, deleted, op;
SELECT name, messages, applied, ignored, dead_letters FROM stream_ingest.counts ORDER BY name;
SELECT name, message_offset, sqlstate, error FROM stream_ingest.dead_letters ORDER BY name;
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null

\! test/mock_broker -c create changes_again 1
\! printf '%s\n' '{"id": 1}|{"op": "c", "after": {"id": 1, "v": "x"}}' '{"id": 1}|{"op": "d", "before": {"id": 1}, "after": null}' '{"id": 2}|{"op": "t"}' '{"id": 3}|{"op": "c", "after": {"id": 3, "v": "3"}}' | test/produce -t changes_again -p 0 -K '|' -Z >/dev/null
\! printf '%s\n' '{"op": "d", "before": null, "after": null}' | test/produce -t changes_again -p 0 >/dev/null
CREATE TABLE again (id int PRIMARY KEY, v text);
SELECT stream_ingest.create_subscription('again', 'si_kafka', 'changes_again', 'again', insert_mode => 'upsert', enabled => false, options => '{"envelope": "debezium"}') \g /dev/null
SELECT message_offset, row_data, sqlstate, error FROM stream_ingest.preview('again') ORDER BY message_offset;
SELECT stream_ingest.enable('again') \g /dev/null
CALL wait_for(5);
SELECT * FROM again;
SELECT message_offset, sqlstate, error FROM stream_ingest.dead_letters ORDER BY message_offset;
SELECT stream_ingest.alter_subscription('again', options => '{"truncate": "ignore"}') \g /dev/null
SELECT * FROM stream_ingest.retry_dead_letters('again');
SELECT message_offset, sqlstate, error FROM stream_ingest.dead_letters;
SELECT stream_ingest.drop_subscription('again') \g /dev/null

-- a delete compares no version, so a retried one leaves a row that came later
\! test/mock_broker -c create changes_late 1
\! printf '%s\n' '{"op": "c", "after": {"id": 1}, "source": {"lsn": 1}}' '{"op": "d", "before": {"id": 1}, "source": {"lsn": 2}}' '{"op": "c", "after": {"id": 1}, "source": {"lsn": 3}}' | test/produce -t changes_late -p 0 >/dev/null
\! printf '%s\n' '1|' | test/produce -t changes_late -p 0 -K '|' -Z >/dev/null
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'kept'; END $$;
CREATE TABLE late_upsert (id int PRIMARY KEY, lsn bigint);
CREATE TABLE late_ignore (LIKE late_upsert INCLUDING ALL);
CREATE TRIGGER keep BEFORE DELETE ON late_upsert FOR EACH ROW EXECUTE FUNCTION keep();
CREATE TRIGGER keep BEFORE DELETE ON late_ignore FOR EACH ROW EXECUTE FUNCTION keep();
SELECT stream_ingest.create_subscription('late_' || m, 'si_kafka', 'changes_late', ('late_' || m)::regclass, mapping => '{"lsn": "$source.lsn"}', insert_mode => m,
    options => '{"envelope": "debezium", "tombstones": "delete", "batch_size": 1}' || o) FROM (VALUES ('upsert', '{"version_column": "lsn"}'::jsonb), ('ignore', '{}')) AS v (m, o) \g /dev/null
CALL wait_for(4);
SELECT name, message_offset, sqlstate FROM stream_ingest.dead_letters ORDER BY 1, 2;
DROP TRIGGER keep ON late_upsert;
DROP TRIGGER keep ON late_ignore;
SELECT stream_ingest.retry_dead_letters('late_upsert'), stream_ingest.retry_dead_letters('late_ignore');
SELECT * FROM late_upsert, late_ignore;
SELECT name, message_offset, sqlstate, error FROM stream_ingest.dead_letters ORDER BY 1, 2;
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null

--
-- what is refused
--
\set VERBOSITY default
CREATE TABLE t (id int PRIMARY KEY, op text);
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', options => '{"envelope": "debeziun"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', format => 'csv', options => '{"envelope": "debezium"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', format => 'avro', options => '{"envelope": "connect", "schema": "\"int\""}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', options => '{"envelope": "debezium", "missing_fields": "null"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', mapping => '{"op": "$op"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', mapping => '{"op": "$source."}', options => '{"envelope": "debezium"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', options => '{"deleted_field": "a..b"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', format => 'text', options => '{"deleted_field": "a"}');

SET client_min_messages = error;
DROP OWNED BY envelope_owner;
DROP ROLE envelope_owner;
DROP EXTENSION stream_ingest CASCADE;
DROP SCHEMA si_envelopes CASCADE;
