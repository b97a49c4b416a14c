CREATE EXTENSION stream_ingest;

--
-- infer_table and peek of messages that have schemas: the table takes all of them, on
-- librdkafka's embedded broker.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset tuples_only on
\pset null '~'
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';
SET bytea_output = 'hex';
CREATE SCHEMA si_infer;
SET search_path = si_infer;

CREATE FUNCTION infer(topic text, format text, options jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT stream_ingest.infer_table('si_kafka', topic, 't', format, options => options);
$$;
-- waits until so many messages are read; what became of them
CREATE PROCEDURE ingest(topic text, format text, options jsonb, n int, mode text DEFAULT 'insert', mapping jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + interval '30 s';
    r text;
BEGIN
    DROP TABLE IF EXISTS t;
    EXECUTE infer(topic, format, options);
    PERFORM stream_ingest.create_subscription('infer', 'si_kafka', topic, 't', format => format, insert_mode => mode, mapping => mapping, options => options || '{"breaker": 0}');
    COMMIT;
    WHILE (SELECT messages FROM stream_ingest.counts WHERE name = 'infer') < n LOOP
        IF clock_timestamp() > deadline THEN
            RAISE WARNING 'waited in vain: %', (SELECT row(state, reason, last_error) FROM stream_ingest.status WHERE name = 'infer');
            EXIT;
        END IF;
        PERFORM pg_sleep(0.005);
        COMMIT;
    END LOOP;
    FOR r IN SELECT to_jsonb(_row) FROM t AS _row LOOP
        RAISE WARNING '%', r;
    END LOOP;
    FOR r IN SELECT concat_ws(' ', message_offset, sqlstate, error, detail, column_name) FROM stream_ingest.dead_letters WHERE name = 'infer' ORDER BY message_offset LOOP
        RAISE WARNING 'dead: %', r;
    END LOOP;
    PERFORM stream_ingest.drop_subscription('infer');
    COMMIT;
END $$;

--
-- every type of Avro
--
\! test/mock_broker -c create infer_types 1
\! printf '%s\n' '018080808080400000c03f00000000000002400102780401026162630208499602d2027dd4bf028ae1cee8fe0180c7efd7f16680d8c2bf96e8a3064830303030303030302d303030302d303030302d303030302d303030303030303030303035000000000000000000000000000000070100000002000000dc050000000280808080400400000000000004400006020a736576656e0002420402040002040002027100040405dc04f82f000402020004040600000400020202780002026b020002020400020600002c323032362d30312d30355430393a33303a30302e355a1c30393a33303a30302b30323a30301c503159324d3344543448354d3653c08db701107b2261223a20317d04040100' 'feffffff0fffffffffffffffffff010000807fa0c8eb85f3cce17f010278040102616263020afdabf41c01027dd4bf028ae1cee8fe0180c7efd7f16680d8c2bf96e8a3064830303030303030302d303030302d303030302d303030302d303030303030303030303035000000000000000000000000000000070100000002000000dc050000020a000204000000000000f87f0200000000000004400400024100000000000002020400002c323032362d30312d30355430393a33303a30302e355a1c30393a33303a30302b30323a30301c503159324d3344543448354d3653c08db7010e6e6f206a736f6e04040100' | test/produce -t infer_types -p 0 -x >/dev/null
\set a '{"type":"record","name":"a","fields":[{"name":"i","type":"int"},{"name":"l","type":"long"},{"name":"f","type":"float"},{"name":"d","type":"double"},{"name":"b","type":"boolean"},{"name":"s","type":"string"},{"name":"y","type":"bytes"},{"name":"fx","type":{"type":"fixed","name":"fx3","size":3}},{"name":"e","type":{"type":"enum","name":"en","symbols":["A","B"]}},{"name":"dec","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},{"name":"wide","type":{"type":"bytes","logicalType":"decimal","precision":1500,"scale":2}},{"name":"dt","type":{"type":"int","logicalType":"date"}},{"name":"tm","type":{"type":"long","logicalType":"time-micros"}},{"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"lts","type":{"type":"long","logicalType":"local-timestamp-micros"}},{"name":"u","type":{"type":"string","logicalType":"uuid"}},{"name":"u16","type":{"type":"fixed","name":"u16","size":16,"logicalType":"uuid"}},{"name":"dur","type":{"type":"fixed","name":"dur","size":12,"logicalType":"duration"}},{"name":"n","type":"null"},{"name":"oi","type":["null","int"]},{"name":"il","type":["int","long"]},{"name":"fd","type":["null","float","double"]},{"name":"id","type":["int","double"]},{"name":"mix","type":["int","string","null"]},{"name":"es","type":["string","en"]},{"name":"ai","type":{"type":"array","items":"int"}},{"name":"an","type":["null",{"type":"array","items":["null","string"]}]},{"name":"adec","type":{"type":"array","items":{"type":"bytes","logicalType":"decimal","precision":6,"scale":3}}},{"name":"aa","type":{"type":"array","items":{"type":"array","items":"int"}}},{"name":"ax","type":{"type":"array","items":["int","string"]}},{"name":"m","type":{"type":"map","values":"int"}},{"name":"r","type":{"type":"record","name":"in","fields":[{"name":"x","type":"int"},{"name":"self","type":["null","in"]}]}},{"name":"ar","type":{"type":"array","items":"in"}},{"name":"zt","type":{"type":"string","connect.name":"io.debezium.time.ZonedTimestamp"}},{"name":"zti","type":{"type":"string","connect.name":"io.debezium.time.ZonedTime"}},{"name":"iv","type":{"type":"string","connect.name":"io.debezium.time.Interval"}},{"name":"mi","type":{"type":"long","connect.name":"io.debezium.time.MicroDuration"}},{"name":"j","type":{"type":"string","connect.name":"io.debezium.data.Json"}},{"name":"vs","type":{"type":"record","name":"vsd","connect.name":"io.debezium.data.VariableScaleDecimal","fields":[{"name":"scale","type":"int"},{"name":"value","type":"bytes"}]}}]}'
SELECT jsonb_build_object('schema', :'a'::jsonb) AS options \gset
SELECT infer('infer_types', 'avro', :'options');
CALL ingest('infer_types', 'avro', :'options', 2);
-- a schema in the options needs no messages
\! test/mock_broker -c create infer_none 1
SELECT infer('infer_none', 'avro', '{"schema": {"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}]}}');
SELECT infer('infer_none', 'avro', '{"schemas": {"1": "int"}}');

--
-- schemas by their ids, the last one's columns; keys
--
\! test/mock_broker -c create infer_ids 1
\! printf '%s\n' '00000000010202610a' '000000000280808080804000026d' '0000000063' '7b7d' '' '000000000206020263046d33' | test/produce -t infer_ids -p 0 -x -Z >/dev/null
\set r1 '{"type":"record","name":"o","fields":[{"name":"id","type":"int"},{"name":"name","type":"string"},{"name":"gone","type":"int"}]}'
\set r2 '{"type":"record","name":"o","fields":[{"name":"id","type":"long"},{"name":"name","type":["null","string"]},{"name":"mail","type":"string"}]}'
\set k '{"type":"record","name":"k","fields":[{"name":"id","type":"int"}]}'
\set k2 '{"type":"record","name":"k","fields":[{"name":"name","type":"string"}]}'
SELECT jsonb_build_object('schemas', jsonb_build_object('1', :'r1'::jsonb, '2', :'r2'::jsonb)) AS options \gset
SELECT infer('infer_ids', 'avro', :'options');
CALL ingest('infer_ids', 'avro', :'options', 6);
-- the same with one schema alone
SELECT infer('infer_ids', 'avro', jsonb_build_object('schemas', jsonb_build_object('2', :'r2'::jsonb)));
-- and with none
SELECT infer('infer_ids', 'avro', '{"schemas": {"7": "int"}}');
\set VERBOSITY default
SELECT infer('infer_ids', 'avro', '{"schemas": {"7": "int"}}');
SELECT infer('infer_ids', 'avro', '{"schemas": {"2": "int"}, "wire_format": "glue"}');
\set VERBOSITY terse
SELECT infer('infer_ids', 'avro', '{}');
SELECT infer('infer_ids', 'avro', '{"delimiter": ","}');
SELECT infer('infer_ids', 'avro', '{"nonsense": 1}');
-- what is no record
SELECT infer('infer_ids', 'avro', jsonb_build_object('schemas', jsonb_build_object('2', s::jsonb))) FROM unnest(ARRAY['"long"', '["null", {"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}]}]',
    '{"type": "map", "values": "int"}', '{"type": "record", "name": "r", "fields": []}', '[{"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}]}]']) AS s;

\! test/mock_broker -c create infer_keys 1
\! printf '%s\n' '000000001502;000000000206020263046d33' '000000001502;000000000206020263046d33' '000000001504;0000000002080202640265' | test/produce -t infer_keys -p 0 -x -y -K ';' >/dev/null
SELECT jsonb_build_object('key_format', 'avro', 'schemas', jsonb_build_object('2', :'r2'::jsonb, '21', :'k'::jsonb)) AS options \gset
SELECT infer('infer_keys', 'avro', :'options');
CALL ingest('infer_keys', 'avro', :'options', 3, 'upsert');
-- no primary key: a column that may be null, one that is not there, a key that is no record
SELECT infer('infer_keys', 'avro', jsonb_set(:'options', '{schemas,21}', s::jsonb)) FROM unnest(ARRAY[:'k2', '{"type": "record", "name": "k", "fields": [{"name": "other", "type": "int"}]}', '"int"']) AS s;

--
-- names are a stranger's
--
\! test/mock_broker -c create infer_names 1
\! printf '%s\n' '020406080a0c0e1002027814' | test/produce -t infer_names -p 0 -x >/dev/null
\set n '{"type":"record","name":"n","fields":[{"name":"select","type":"int"},{"name":"Two Words","type":"int"},{"name":"q\\"; DROP TABLE a; --\\n","type":"int"},{"name":"ctid","type":"int"},{"name":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","type":"int"},{"name":"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy","type":"int"},{"name":"ü","type":"int"},{"name":"createdAt","type":"int"},{"name":"created_at","type":["null","string"]},{"name":"Ctid","type":"int"}]}'
SELECT jsonb_build_object('schema', :'n'::jsonb) AS options \gset
SELECT infer('infer_names', 'avro', :'options');
CALL ingest('infer_names', 'avro', :'options', 1);
SELECT infer('infer_names', 'avro', :'options'::jsonb || '{"match_names": "snake_case"}');
CALL ingest('infer_names', 'avro', :'options'::jsonb || '{"match_names": "snake_case"}', 1);
SELECT infer('infer_names', 'avro', :'options'::jsonb || '{"match_names": "ignore_case"}');
CALL ingest('infer_names', 'avro', :'options'::jsonb || '{"match_names": "ignore_case"}', 1);
-- as many columns as a table can have
SELECT regexp_count(d, '\mf\d+ integer'), (regexp_matches(d, '-- fields[^\n]*'))[1] FROM infer('infer_none', 'avro', (SELECT jsonb_build_object('schema', jsonb_build_object('type', 'record', 'name', 'r', 'fields', jsonb_agg(jsonb_build_object('name', 'f' || i, 'type', 'int'))))
    FROM generate_series(1, 1700) AS i)) AS d;

--
-- change events: the row's columns, the key's primary key
--
\! test/mock_broker -c create infer_events 1
\! printf '%s\n' '000000001502;0000000014000202040096028080f2818389850602026102630202' '000000001504;000000001400020404ff1f000002720202' '000000001502;0000000014020204009600000002640204' '000000001502;' | test/produce -t infer_events -p 0 -x -y -Z -K ';' >/dev/null
\set e '{"type":"record","name":"Envelope","fields":[{"name":"before","type":["null",{"type":"record","name":"Value","fields":[{"name":"id","type":"int"},{"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":8,"scale":2,"connect.name":"org.apache.kafka.connect.data.Decimal"}},{"name":"at","type":["null",{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}]},{"name":"note","type":["null","string"]}]}]},{"name":"after","type":["null","Value"]},{"name":"op","type":"string"},{"name":"ts_ms","type":["null","long"]}]}'
SELECT jsonb_build_object('envelope', 'debezium', 'schemas', jsonb_build_object('20', :'e'::jsonb, '21', :'k'::jsonb)) AS options \gset
SELECT infer('infer_events', 'avro', :'options');
CALL ingest('infer_events', 'avro', :'options', 4, 'upsert');
SELECT infer('infer_events', 'avro', jsonb_set(:'options', '{schemas,20}', :'k'));

--
-- JSON that Kafka Connect has wrapped in a schema
--
\! test/mock_broker -c create infer_connect 1
\! printf '%s\n' '{"schema":{"type":"struct","optional":false,"fields":[{"type":"int32","optional":false,"field":"id"}]},"payload":{"id":1}}|{"schema":{"type":"struct","optional":false,"name":"r","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"int64","optional":true,"field":"big"},{"type":"int16","optional":true,"field":"small"},{"type":"float","optional":true,"field":"f"},{"type":"double","optional":false,"field":"d"},{"type":"boolean","optional":true,"field":"b"},{"type":"string","optional":false,"field":"s"},{"type":"bytes","optional":true,"field":"y"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"8"},"type":"bytes","optional":false,"field":"dec"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1"},"type":"bytes","optional":true,"field":"num"},{"name":"io.debezium.time.Date","type":"int32","optional":true,"field":"day"},{"name":"org.apache.kafka.connect.data.Timestamp","type":"int64","optional":true,"field":"at"},{"name":"io.debezium.time.MicroTimestamp","type":"int64","optional":true,"field":"local"},{"name":"io.debezium.time.MicroTime","type":"int64","optional":true,"field":"t"},{"name":"io.debezium.time.MicroDuration","type":"int64","optional":true,"field":"dur"},{"name":"io.debezium.time.ZonedTimestamp","type":"string","optional":true,"field":"zt"},{"name":"io.debezium.data.Uuid","type":"string","optional":true,"field":"u"},{"name":"io.debezium.data.Json","type":"string","optional":true,"field":"j"},{"items":{"type":"int32","optional":true},"type":"array","optional":true,"field":"ai"},{"items":{"type":"int32","optional":true,"name":"io.debezium.time.Date"},"type":"array","optional":true,"field":"ad"},{"items":{"type":"bytes","optional":true},"type":"array","optional":true,"field":"ay"},{"items":{"type":"struct","optional":true,"fields":[{"type":"int32","optional":true,"field":"x"}]},"type":"array","optional":true,"field":"as"},{"keys":{"type":"string"},"values":{"type":"int32"},"type":"map","optional":true,"field":"m"},{"name":"io.debezium.data.VariableScaleDecimal","fields":[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}],"type":"struct","optional":true,"field":"vs"}]},"payload":{"id":1,"big":1099511627776,"small":3,"f":1.5,"d":2.5,"b":true,"s":"x","y":"AQI=","dec":"AJY=","num":"Dw==","day":20458,"at":1767605400000,"local":1767605400000001,"t":34200000001,"dur":1500000,"zt":"2026-01-05T09:30:00Z","u":"00000000-0000-0000-0000-000000000005","j":"{\"a\": 1}","ai":[1,null],"ad":[20458],"ay":["AQI="],"m":{"k":1},"vs":{"scale":1,"value":"Dw=="},"as":[{"x":1}]}}' '{"schema":{"type":"struct","optional":false,"fields":[{"type":"int32","optional":false,"field":"id"}]},"payload":{"id":2}}|{"schema":{"type":"struct","optional":false,"name":"r","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"int64","optional":true,"field":"big"},{"type":"int16","optional":true,"field":"small"},{"type":"float","optional":true,"field":"f"},{"type":"double","optional":false,"field":"d"},{"type":"boolean","optional":true,"field":"b"},{"type":"string","optional":false,"field":"s"},{"type":"bytes","optional":true,"field":"y"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"8"},"type":"bytes","optional":false,"field":"dec"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1"},"type":"bytes","optional":true,"field":"num"},{"name":"io.debezium.time.Date","type":"int32","optional":true,"field":"day"},{"name":"org.apache.kafka.connect.data.Timestamp","type":"int64","optional":true,"field":"at"},{"name":"io.debezium.time.MicroTimestamp","type":"int64","optional":true,"field":"local"},{"name":"io.debezium.time.MicroTime","type":"int64","optional":true,"field":"t"},{"name":"io.debezium.time.MicroDuration","type":"int64","optional":true,"field":"dur"},{"name":"io.debezium.time.ZonedTimestamp","type":"string","optional":true,"field":"zt"},{"name":"io.debezium.data.Uuid","type":"string","optional":true,"field":"u"},{"name":"io.debezium.data.Json","type":"string","optional":true,"field":"j"},{"items":{"type":"int32","optional":true},"type":"array","optional":true,"field":"ai"},{"items":{"type":"int32","optional":true,"name":"io.debezium.time.Date"},"type":"array","optional":true,"field":"ad"},{"items":{"type":"bytes","optional":true},"type":"array","optional":true,"field":"ay"},{"items":{"type":"struct","optional":true,"fields":[{"type":"int32","optional":true,"field":"x"}]},"type":"array","optional":true,"field":"as"},{"keys":{"type":"string"},"values":{"type":"int32"},"type":"map","optional":true,"field":"m"},{"name":"io.debezium.data.VariableScaleDecimal","fields":[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}],"type":"struct","optional":true,"field":"vs"}]},"payload":{"id":2,"big":null,"small":null,"f":null,"d":2.5,"b":null,"s":"x","y":null,"dec":"AJY=","num":null,"day":null,"at":null,"local":null,"t":null,"dur":null,"zt":null,"u":null,"j":null,"ai":null,"ad":null,"ay":null,"as":null,"m":null,"vs":null}}' | test/produce -t infer_connect -p 0 -K '|' >/dev/null
SELECT infer('infer_connect', 'json', '{"envelope": "connect"}');
CALL ingest('infer_connect', 'json', '{"envelope": "connect"}', 2, 'upsert');
-- of a negative scale there are more digits than the precision says
\! test/mock_broker -c create infer_scale 1
\! printf '%s\n' '{"schema":{"type":"struct","optional":false,"fields":[{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"-2","connect.decimal.precision":"3"},"field":"d"}]},"payload":{"d":"A+c="}}' | test/produce -t infer_scale -p 0 >/dev/null
SELECT infer('infer_scale', 'json', '{"envelope": "connect"}');
CALL ingest('infer_scale', 'json', '{"envelope": "connect"}', 1);
-- without the option schema and payload are its fields
SELECT infer('infer_connect', 'json', '{}');

--
-- change events in JSON, with a schema and without
--
\! test/mock_broker -c create infer_wrapped 1
\! printf '%s\n' '{"schema":{"type":"struct","optional":false,"fields":[{"type":"int32","optional":false,"field":"id"}]},"payload":{"id":1}}|{"schema":{"type":"struct","fields":[{"type":"struct","optional":true,"name":"r","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"int64","optional":true,"field":"big"},{"type":"int16","optional":true,"field":"small"},{"type":"float","optional":true,"field":"f"},{"type":"double","optional":false,"field":"d"},{"type":"boolean","optional":true,"field":"b"},{"type":"string","optional":false,"field":"s"},{"type":"bytes","optional":true,"field":"y"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"8"},"type":"bytes","optional":false,"field":"dec"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1"},"type":"bytes","optional":true,"field":"num"},{"name":"io.debezium.time.Date","type":"int32","optional":true,"field":"day"},{"name":"org.apache.kafka.connect.data.Timestamp","type":"int64","optional":true,"field":"at"},{"name":"io.debezium.time.MicroTimestamp","type":"int64","optional":true,"field":"local"},{"name":"io.debezium.time.MicroTime","type":"int64","optional":true,"field":"t"},{"name":"io.debezium.time.MicroDuration","type":"int64","optional":true,"field":"dur"},{"name":"io.debezium.time.ZonedTimestamp","type":"string","optional":true,"field":"zt"},{"name":"io.debezium.data.Uuid","type":"string","optional":true,"field":"u"},{"name":"io.debezium.data.Json","type":"string","optional":true,"field":"j"},{"items":{"type":"int32","optional":true},"type":"array","optional":true,"field":"ai"},{"items":{"type":"int32","optional":true,"name":"io.debezium.time.Date"},"type":"array","optional":true,"field":"ad"},{"items":{"type":"bytes","optional":true},"type":"array","optional":true,"field":"ay"},{"items":{"type":"struct","optional":true,"fields":[{"type":"int32","optional":true,"field":"x"}]},"type":"array","optional":true,"field":"as"},{"keys":{"type":"string"},"values":{"type":"int32"},"type":"map","optional":true,"field":"m"},{"name":"io.debezium.data.VariableScaleDecimal","fields":[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}],"type":"struct","optional":true,"field":"vs"}],"field":"before"},{"type":"struct","optional":true,"name":"r","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"int64","optional":true,"field":"big"},{"type":"int16","optional":true,"field":"small"},{"type":"float","optional":true,"field":"f"},{"type":"double","optional":false,"field":"d"},{"type":"boolean","optional":true,"field":"b"},{"type":"string","optional":false,"field":"s"},{"type":"bytes","optional":true,"field":"y"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"8"},"type":"bytes","optional":false,"field":"dec"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1"},"type":"bytes","optional":true,"field":"num"},{"name":"io.debezium.time.Date","type":"int32","optional":true,"field":"day"},{"name":"org.apache.kafka.connect.data.Timestamp","type":"int64","optional":true,"field":"at"},{"name":"io.debezium.time.MicroTimestamp","type":"int64","optional":true,"field":"local"},{"name":"io.debezium.time.MicroTime","type":"int64","optional":true,"field":"t"},{"name":"io.debezium.time.MicroDuration","type":"int64","optional":true,"field":"dur"},{"name":"io.debezium.time.ZonedTimestamp","type":"string","optional":true,"field":"zt"},{"name":"io.debezium.data.Uuid","type":"string","optional":true,"field":"u"},{"name":"io.debezium.data.Json","type":"string","optional":true,"field":"j"},{"items":{"type":"int32","optional":true},"type":"array","optional":true,"field":"ai"},{"items":{"type":"int32","optional":true,"name":"io.debezium.time.Date"},"type":"array","optional":true,"field":"ad"},{"items":{"type":"bytes","optional":true},"type":"array","optional":true,"field":"ay"},{"items":{"type":"struct","optional":true,"fields":[{"type":"int32","optional":true,"field":"x"}]},"type":"array","optional":true,"field":"as"},{"keys":{"type":"string"},"values":{"type":"int32"},"type":"map","optional":true,"field":"m"},{"name":"io.debezium.data.VariableScaleDecimal","fields":[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}],"type":"struct","optional":true,"field":"vs"}],"field":"after"},{"type":"string","optional":false,"field":"op"}]},"payload":{"before":null,"after":{"id":1,"big":1099511627776,"small":3,"f":1.5,"d":2.5,"b":true,"s":"x","y":"AQI=","dec":"AJY=","num":"Dw==","day":20458,"at":1767605400000,"local":1767605400000001,"t":34200000001,"dur":1500000,"zt":"2026-01-05T09:30:00Z","u":"00000000-0000-0000-0000-000000000005","j":"{\"a\": 1}","ai":[1,null],"ad":[20458],"ay":["AQI="],"m":{"k":1},"vs":{"scale":1,"value":"Dw=="},"as":[{"x":1}]},"op":"c"}}' '{"schema":{"type":"struct","optional":false,"fields":[{"type":"int32","optional":false,"field":"id"}]},"payload":{"id":2}}|{"schema":{"type":"struct","fields":[{"type":"struct","optional":true,"name":"r","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"int64","optional":true,"field":"big"},{"type":"int16","optional":true,"field":"small"},{"type":"float","optional":true,"field":"f"},{"type":"double","optional":false,"field":"d"},{"type":"boolean","optional":true,"field":"b"},{"type":"string","optional":false,"field":"s"},{"type":"bytes","optional":true,"field":"y"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"8"},"type":"bytes","optional":false,"field":"dec"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1"},"type":"bytes","optional":true,"field":"num"},{"name":"io.debezium.time.Date","type":"int32","optional":true,"field":"day"},{"name":"org.apache.kafka.connect.data.Timestamp","type":"int64","optional":true,"field":"at"},{"name":"io.debezium.time.MicroTimestamp","type":"int64","optional":true,"field":"local"},{"name":"io.debezium.time.MicroTime","type":"int64","optional":true,"field":"t"},{"name":"io.debezium.time.MicroDuration","type":"int64","optional":true,"field":"dur"},{"name":"io.debezium.time.ZonedTimestamp","type":"string","optional":true,"field":"zt"},{"name":"io.debezium.data.Uuid","type":"string","optional":true,"field":"u"},{"name":"io.debezium.data.Json","type":"string","optional":true,"field":"j"},{"items":{"type":"int32","optional":true},"type":"array","optional":true,"field":"ai"},{"items":{"type":"int32","optional":true,"name":"io.debezium.time.Date"},"type":"array","optional":true,"field":"ad"},{"items":{"type":"bytes","optional":true},"type":"array","optional":true,"field":"ay"},{"items":{"type":"struct","optional":true,"fields":[{"type":"int32","optional":true,"field":"x"}]},"type":"array","optional":true,"field":"as"},{"keys":{"type":"string"},"values":{"type":"int32"},"type":"map","optional":true,"field":"m"},{"name":"io.debezium.data.VariableScaleDecimal","fields":[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}],"type":"struct","optional":true,"field":"vs"}],"field":"before"},{"type":"struct","optional":true,"name":"r","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"int64","optional":true,"field":"big"},{"type":"int16","optional":true,"field":"small"},{"type":"float","optional":true,"field":"f"},{"type":"double","optional":false,"field":"d"},{"type":"boolean","optional":true,"field":"b"},{"type":"string","optional":false,"field":"s"},{"type":"bytes","optional":true,"field":"y"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"8"},"type":"bytes","optional":false,"field":"dec"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1"},"type":"bytes","optional":true,"field":"num"},{"name":"io.debezium.time.Date","type":"int32","optional":true,"field":"day"},{"name":"org.apache.kafka.connect.data.Timestamp","type":"int64","optional":true,"field":"at"},{"name":"io.debezium.time.MicroTimestamp","type":"int64","optional":true,"field":"local"},{"name":"io.debezium.time.MicroTime","type":"int64","optional":true,"field":"t"},{"name":"io.debezium.time.MicroDuration","type":"int64","optional":true,"field":"dur"},{"name":"io.debezium.time.ZonedTimestamp","type":"string","optional":true,"field":"zt"},{"name":"io.debezium.data.Uuid","type":"string","optional":true,"field":"u"},{"name":"io.debezium.data.Json","type":"string","optional":true,"field":"j"},{"items":{"type":"int32","optional":true},"type":"array","optional":true,"field":"ai"},{"items":{"type":"int32","optional":true,"name":"io.debezium.time.Date"},"type":"array","optional":true,"field":"ad"},{"items":{"type":"bytes","optional":true},"type":"array","optional":true,"field":"ay"},{"items":{"type":"struct","optional":true,"fields":[{"type":"int32","optional":true,"field":"x"}]},"type":"array","optional":true,"field":"as"},{"keys":{"type":"string"},"values":{"type":"int32"},"type":"map","optional":true,"field":"m"},{"name":"io.debezium.data.VariableScaleDecimal","fields":[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}],"type":"struct","optional":true,"field":"vs"}],"field":"after"},{"type":"string","optional":false,"field":"op"}]},"payload":{"before":null,"after":{"id":2,"big":null,"small":null,"f":null,"d":2.5,"b":null,"s":"x","y":null,"dec":"AJY=","num":null,"day":null,"at":null,"local":null,"t":null,"dur":null,"zt":null,"u":null,"j":null,"ai":null,"ad":null,"ay":null,"as":null,"m":null,"vs":null},"op":"c"}}' '{"schema":{"type":"struct","optional":false,"fields":[{"type":"int32","optional":false,"field":"id"}]},"payload":{"id":1}}|{"schema":{"type":"struct","fields":[{"type":"struct","optional":true,"name":"r","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"int64","optional":true,"field":"big"},{"type":"int16","optional":true,"field":"small"},{"type":"float","optional":true,"field":"f"},{"type":"double","optional":false,"field":"d"},{"type":"boolean","optional":true,"field":"b"},{"type":"string","optional":false,"field":"s"},{"type":"bytes","optional":true,"field":"y"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"8"},"type":"bytes","optional":false,"field":"dec"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1"},"type":"bytes","optional":true,"field":"num"},{"name":"io.debezium.time.Date","type":"int32","optional":true,"field":"day"},{"name":"org.apache.kafka.connect.data.Timestamp","type":"int64","optional":true,"field":"at"},{"name":"io.debezium.time.MicroTimestamp","type":"int64","optional":true,"field":"local"},{"name":"io.debezium.time.MicroTime","type":"int64","optional":true,"field":"t"},{"name":"io.debezium.time.MicroDuration","type":"int64","optional":true,"field":"dur"},{"name":"io.debezium.time.ZonedTimestamp","type":"string","optional":true,"field":"zt"},{"name":"io.debezium.data.Uuid","type":"string","optional":true,"field":"u"},{"name":"io.debezium.data.Json","type":"string","optional":true,"field":"j"},{"items":{"type":"int32","optional":true},"type":"array","optional":true,"field":"ai"},{"items":{"type":"int32","optional":true,"name":"io.debezium.time.Date"},"type":"array","optional":true,"field":"ad"},{"items":{"type":"bytes","optional":true},"type":"array","optional":true,"field":"ay"},{"items":{"type":"struct","optional":true,"fields":[{"type":"int32","optional":true,"field":"x"}]},"type":"array","optional":true,"field":"as"},{"keys":{"type":"string"},"values":{"type":"int32"},"type":"map","optional":true,"field":"m"},{"name":"io.debezium.data.VariableScaleDecimal","fields":[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}],"type":"struct","optional":true,"field":"vs"}],"field":"before"},{"type":"struct","optional":true,"name":"r","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"int64","optional":true,"field":"big"},{"type":"int16","optional":true,"field":"small"},{"type":"float","optional":true,"field":"f"},{"type":"double","optional":false,"field":"d"},{"type":"boolean","optional":true,"field":"b"},{"type":"string","optional":false,"field":"s"},{"type":"bytes","optional":true,"field":"y"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"8"},"type":"bytes","optional":false,"field":"dec"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1"},"type":"bytes","optional":true,"field":"num"},{"name":"io.debezium.time.Date","type":"int32","optional":true,"field":"day"},{"name":"org.apache.kafka.connect.data.Timestamp","type":"int64","optional":true,"field":"at"},{"name":"io.debezium.time.MicroTimestamp","type":"int64","optional":true,"field":"local"},{"name":"io.debezium.time.MicroTime","type":"int64","optional":true,"field":"t"},{"name":"io.debezium.time.MicroDuration","type":"int64","optional":true,"field":"dur"},{"name":"io.debezium.time.ZonedTimestamp","type":"string","optional":true,"field":"zt"},{"name":"io.debezium.data.Uuid","type":"string","optional":true,"field":"u"},{"name":"io.debezium.data.Json","type":"string","optional":true,"field":"j"},{"items":{"type":"int32","optional":true},"type":"array","optional":true,"field":"ai"},{"items":{"type":"int32","optional":true,"name":"io.debezium.time.Date"},"type":"array","optional":true,"field":"ad"},{"items":{"type":"bytes","optional":true},"type":"array","optional":true,"field":"ay"},{"items":{"type":"struct","optional":true,"fields":[{"type":"int32","optional":true,"field":"x"}]},"type":"array","optional":true,"field":"as"},{"keys":{"type":"string"},"values":{"type":"int32"},"type":"map","optional":true,"field":"m"},{"name":"io.debezium.data.VariableScaleDecimal","fields":[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}],"type":"struct","optional":true,"field":"vs"}],"field":"after"},{"type":"string","optional":false,"field":"op"}]},"payload":{"before":{"id":1,"big":1099511627776,"small":3,"f":1.5,"d":2.5,"b":true,"s":"x","y":"AQI=","dec":"AJY=","num":"Dw==","day":20458,"at":1767605400000,"local":1767605400000001,"t":34200000001,"dur":1500000,"zt":"2026-01-05T09:30:00Z","u":"00000000-0000-0000-0000-000000000005","j":"{\"a\": 1}","ai":[1,null],"ad":[20458],"ay":["AQI="],"m":{"k":1},"vs":{"scale":1,"value":"Dw=="},"as":[{"x":1}]},"after":null,"op":"d"}}' '{"schema":{"type":"struct","optional":false,"fields":[{"type":"int32","optional":false,"field":"id"}]},"payload":{"id":1}}|' '{"schema":{"type":"struct","optional":false,"fields":[{"type":"int32","optional":false,"field":"id"}]},"payload":{"id":3}}|{"schema":{"type":"struct","fields":[{"type":"struct","optional":true,"name":"r","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"int64","optional":true,"field":"big"},{"type":"int16","optional":true,"field":"small"},{"type":"float","optional":true,"field":"f"},{"type":"double","optional":false,"field":"d"},{"type":"boolean","optional":true,"field":"b"},{"type":"string","optional":false,"field":"s"},{"type":"bytes","optional":true,"field":"y"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"8"},"type":"bytes","optional":false,"field":"dec"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1"},"type":"bytes","optional":true,"field":"num"},{"name":"io.debezium.time.Date","type":"int32","optional":true,"field":"day"},{"name":"org.apache.kafka.connect.data.Timestamp","type":"int64","optional":true,"field":"at"},{"name":"io.debezium.time.MicroTimestamp","type":"int64","optional":true,"field":"local"},{"name":"io.debezium.time.MicroTime","type":"int64","optional":true,"field":"t"},{"name":"io.debezium.time.MicroDuration","type":"int64","optional":true,"field":"dur"},{"name":"io.debezium.time.ZonedTimestamp","type":"string","optional":true,"field":"zt"},{"name":"io.debezium.data.Uuid","type":"string","optional":true,"field":"u"},{"name":"io.debezium.data.Json","type":"string","optional":true,"field":"j"},{"items":{"type":"int32","optional":true},"type":"array","optional":true,"field":"ai"},{"items":{"type":"int32","optional":true,"name":"io.debezium.time.Date"},"type":"array","optional":true,"field":"ad"},{"items":{"type":"bytes","optional":true},"type":"array","optional":true,"field":"ay"},{"items":{"type":"struct","optional":true,"fields":[{"type":"int32","optional":true,"field":"x"}]},"type":"array","optional":true,"field":"as"},{"keys":{"type":"string"},"values":{"type":"int32"},"type":"map","optional":true,"field":"m"},{"name":"io.debezium.data.VariableScaleDecimal","fields":[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}],"type":"struct","optional":true,"field":"vs"}],"field":"before"},{"type":"struct","optional":true,"name":"r","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"int64","optional":true,"field":"big"},{"type":"int16","optional":true,"field":"small"},{"type":"float","optional":true,"field":"f"},{"type":"double","optional":false,"field":"d"},{"type":"boolean","optional":true,"field":"b"},{"type":"string","optional":false,"field":"s"},{"type":"bytes","optional":true,"field":"y"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"8"},"type":"bytes","optional":false,"field":"dec"},{"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1"},"type":"bytes","optional":true,"field":"num"},{"name":"io.debezium.time.Date","type":"int32","optional":true,"field":"day"},{"name":"org.apache.kafka.connect.data.Timestamp","type":"int64","optional":true,"field":"at"},{"name":"io.debezium.time.MicroTimestamp","type":"int64","optional":true,"field":"local"},{"name":"io.debezium.time.MicroTime","type":"int64","optional":true,"field":"t"},{"name":"io.debezium.time.MicroDuration","type":"int64","optional":true,"field":"dur"},{"name":"io.debezium.time.ZonedTimestamp","type":"string","optional":true,"field":"zt"},{"name":"io.debezium.data.Uuid","type":"string","optional":true,"field":"u"},{"name":"io.debezium.data.Json","type":"string","optional":true,"field":"j"},{"items":{"type":"int32","optional":true},"type":"array","optional":true,"field":"ai"},{"items":{"type":"int32","optional":true,"name":"io.debezium.time.Date"},"type":"array","optional":true,"field":"ad"},{"items":{"type":"bytes","optional":true},"type":"array","optional":true,"field":"ay"},{"items":{"type":"struct","optional":true,"fields":[{"type":"int32","optional":true,"field":"x"}]},"type":"array","optional":true,"field":"as"},{"keys":{"type":"string"},"values":{"type":"int32"},"type":"map","optional":true,"field":"m"},{"name":"io.debezium.data.VariableScaleDecimal","fields":[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}],"type":"struct","optional":true,"field":"vs"}],"field":"after"},{"type":"string","optional":false,"field":"op"}]},"payload":{"before":null,"after":{"id":3,"big":1099511627776,"small":3,"f":1.5,"d":2.5,"b":true,"s":"__debezium_unavailable_value","y":"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==","dec":"AJY=","num":"Dw==","day":20458,"at":1767605400000,"local":1767605400000001,"t":34200000001,"dur":1500000,"zt":"2026-01-05T09:30:00Z","u":"00000000-0000-0000-0000-000000000005","j":"{\"a\": 1}","ai":null,"ad":[20458],"ay":["AQI="],"m":{"k":1},"vs":{"scale":1,"value":"Dw=="},"as":[{"x":1}]},"op":"u"}}' | test/produce -t infer_wrapped -p 0 -Z -K '|' >/dev/null
SELECT regexp_matches(infer('infer_wrapped', 'json', '{"envelope": "debezium"}'), '    ((?:id|d|s|PRIMARY) [^,\n]*)', 'g');
CALL ingest('infer_wrapped', 'json', '{"envelope": "debezium"}', 5, 'upsert');
\! test/mock_broker -c create infer_plain 1
\! printf '%s\n' '{"before": null, "after": {"Id": 1, "name": "Anne"}, "op": "c"}' '{"before": {"Id": 1, "name": 5}, "after": null, "op": "d"}' '{"ts_ms": 1}' '{"before": null, "after": {"Id": 2, "note": "2026-01-05"}, "op": "u"}' | test/produce -t infer_plain -p 0  >/dev/null
SELECT infer('infer_plain', 'json', '{"envelope": "debezium", "match_names": "ignore_case"}');
SELECT infer('infer_plain', 'json', '{}');

--
-- documents of several records, behind a frame, and in another encoding
--
\! test/mock_broker -c create infer_records 1
\! printf '%s\n' '{"items": [{"userId": 1, "at": "2026-01-05"}, {"userId": 2}, 5]}' '{"items": [{"userId": 3.5, "x": "bad"}, {"userId": 4}' '{"items": []}' | test/produce -t infer_records -p 0  >/dev/null
SELECT infer('infer_records', 'json', '{"records": "items", "match_names": "snake_case"}');
\! test/mock_broker -c create infer_framed 1
\! printf '%s\n' '00000000077b226964223a20387d' '7b226964223a20387d' | test/produce -t infer_framed -p 0 -x >/dev/null
SELECT infer('infer_framed', 'json', '{"wire_format": "confluent"}');
\! test/mock_broker -c create infer_latin 1
\! printf '%s\n' '613bfc' | test/produce -t infer_latin -p 0 -x >/dev/null
SELECT infer('infer_latin', 'csv', '{"encoding": "LATIN1", "delimiter": ";", "header_columns": ["x", "ü"]}');
SELECT infer('infer_latin', 'csv', '{"delimiter": ";"}');

--
-- Protobuf
--
\! test/mock_broker -c create infer_proto 1
\! printf '%s\n' '09000000000000f83f150000204018ffffffffffffffffff0120ffffffffffffffffff0128f9ffffffffffffffff0131ffffffffffffffff3dffffffff40014a01785202010258ffffffff0f6002680570007a0b01feffffffffffffffff0182010170820101718a01050a016b100192010208099a01020808a20109089889eeca06108827aa010808031080cab5ee01b2010708808080808020ba01020800c2010708ea0f10011805ca01080a02010010051802d201016ff2010103f80100f801078202040000c07f8a02022804' '2801' | test/produce -t infer_proto -p 0 -x >/dev/null
\set p 'syntax = "proto3"; package t; import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto"; import "google/protobuf/duration.proto"; import "google/type/date.proto"; import "confluent/type/decimal.proto"; import "elsewhere.proto"; message M { double d = 1; float f = 2; int64 l = 3; uint64 ul = 4; int32 i = 5; fixed64 fx = 6; fixed32 fy = 7; bool b = 8; string s = 9; bytes y = 10; uint32 ui = 11; enum E { A = 0; B = 2; } E e = 12; sint64 z = 13; optional int32 oi = 14; repeated int32 ri = 15; repeated string rs = 16; map<string, int32> m = 17; In in = 18; repeated In rin = 19; google.protobuf.Timestamp at = 20; google.protobuf.Duration du = 21; google.protobuf.Int64Value w = 22; repeated google.protobuf.Timestamp ats = 23; google.type.Date day = 24; confluent.type.Decimal dec = 25; oneof o { string os = 26; int32 on = 27; } elsewhere.X x = 28; Has has = 29; repeated bytes ry = 30; repeated E re = 31; repeated float rf = 32; M self = 33; int32 ctid = 34; } message In { int32 v = 1; M up = 2; } message Has { elsewhere.X x = 1; }'
SELECT jsonb_build_object('schema', :'p', 'message', 't.M', 'breaker', 0) AS options \gset
SELECT infer('infer_proto', 'protobuf', :'options');
CALL ingest('infer_proto', 'protobuf', :'options', 2);
SELECT infer('infer_proto', 'protobuf', '{"schema": "message X { }"}');
SELECT infer('infer_proto', 'protobuf', '{"schema": "message X { int32 myField = 1; int32 my_field = 2; }", "match_names": "snake_case"}');
SELECT infer('infer_proto', 'protobuf', '{}');
-- by the message that the newest one says it is; keys
\! test/mock_broker -c create infer_proto_ids 1
\! test/mock_broker -c create infer_proto_keys 1
\! printf '%s\n' '00000000060008c801;0000000005000807' '00000000060008c801;0000000005040000080912017a' | test/produce -t infer_proto_ids -p 0 -x -y -K ';' >/dev/null
SELECT jsonb_build_object('key_format', 'protobuf', 'schemas', jsonb_build_object('5', 'syntax = "proto3"; message Outer { int32 a = 1; message Inner { int64 id = 1; optional string b = 2; } }', '6', 'syntax = "proto3"; message K { int64 id = 1; }')) AS options \gset
-- a column that another message of the schema lacks may be null
SELECT infer('infer_proto_ids', 'protobuf', :'options');
CALL ingest('infer_proto_ids', 'protobuf', :'options', 2);
\! printf '%s\n' '00000000060008c801;0000000005040000080912017a' | test/produce -t infer_proto_keys -p 0 -x -y -K ';' >/dev/null
SELECT infer('infer_proto_keys', 'protobuf', :'options');
SELECT infer('infer_proto_ids', 'protobuf', jsonb_set(:'options', '{message}', '"Outer"'));
-- no primary key: a part of the key has a type that the schema lacks
SELECT infer('infer_proto_keys', 'protobuf', jsonb_set(:'options', '{schemas,6}', '"syntax = \"proto3\"; message K { int64 id = 1; Region region = 2; }"'));

--
-- peek: what has no text of its own, decoded
--
SET client_min_messages = notice;
CREATE FUNCTION peek(topic text, format text, options jsonb DEFAULT '{}') RETURNS TABLE (o bigint, key text, value text) LANGUAGE sql AS $$
    SELECT message_offset, key, value FROM stream_ingest.peek('si_kafka', topic, 100, 'earliest', format, options);
$$;
SELECT * FROM peek('infer_types', NULL) LIMIT 1;
SELECT * FROM peek('infer_types', 'avro', jsonb_build_object('schema', :'a'::jsonb)) LIMIT 1;
SELECT jsonb_build_object('schemas', jsonb_build_object('1', :'r1'::jsonb, '2', :'r2'::jsonb)) AS options \gset
-- a message that cannot be decoded is as it came, and a notice tells why, once
SELECT * FROM peek('infer_ids', 'avro', :'options');
SELECT * FROM peek('infer_keys', 'avro', :'options');
SELECT * FROM peek('infer_keys', 'avro', jsonb_build_object('key_format', 'avro', 'schemas', jsonb_build_object('2', :'r2'::jsonb, '21', :'k'::jsonb)));
-- an event is shown as it is, with its key
SELECT * FROM peek('infer_events', 'avro', jsonb_build_object('envelope', 'debezium', 'schemas', jsonb_build_object('20', :'e'::jsonb, '21', :'k'::jsonb)));
SELECT * FROM peek('infer_proto', 'protobuf', jsonb_build_object('schema', 'message M { int32 i = 5; string s = 9; }')) OFFSET 1;
SELECT * FROM peek('infer_proto_ids', 'protobuf', jsonb_build_object('key_format', 'protobuf', 'schemas', jsonb_build_object('5', 'message Outer { optional int32 a = 1; message Inner { optional int64 id = 1; optional string b = 2; } }', '6', 'message K { optional int64 id = 1; }')));
SELECT * FROM peek('infer_framed', 'json', '{"wire_format": "confluent"}');
SELECT * FROM peek('infer_latin', 'csv', '{"encoding": "LATIN1"}');
SELECT * FROM peek('infer_latin', 'csv');
SELECT * FROM peek('infer_records', 'json', '{"records": "items"}') LIMIT 1;
-- values and keys that are one value
\! test/mock_broker -c create infer_single 1
\! printf '%s\n' '0000000000000007;000a' 'fffffffffffffffe;020261' '07;04046162' '0000000000000000;06' '0000000000000000;02c3' '0000000000000000;' | test/produce -t infer_single -p 0 -x -y -Z -K ';' >/dev/null
SELECT * FROM peek('infer_single', 'avro', '{"schema": ["int", "string", "bytes", "null"], "key_format": "int64"}');
SELECT * FROM peek('infer_single', 'raw', '{"key_format": "int64"}') LIMIT 1;
-- what does not go together is told
SELECT * FROM peek('infer_single', 'avro', '{}');
SELECT * FROM peek('infer_single', 'xml', '{}');
SELECT * FROM peek('infer_single', NULL, '{"encoding": "LATIN1"}');
SELECT * FROM peek('infer_single', 'json', '{"nonsense": 1}');
SELECT count(*) FROM peek('infer_single', NULL, NULL);
SET client_min_messages = warning;

DROP SCHEMA si_infer CASCADE;
DROP EXTENSION stream_ingest CASCADE;

--
-- functions that version 1.0 has with fewer arguments, before the extension is updated
--
CREATE EXTENSION stream_ingest VERSION '1.0';
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
SELECT value FROM stream_ingest.peek('si_kafka', 'infer_records', 1, 'earliest');
SELECT stream_ingest.infer_table('si_kafka', 'infer_records', 't', 'json', 10);
SELECT fields FROM stream_ingest.decode('json', '{"a": 1}', '{"b": 1}', '{}');
DROP EXTENSION stream_ingest CASCADE;
DROP SCHEMA stream_ingest;
