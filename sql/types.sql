CREATE EXTENSION stream_ingest;

--
-- For every type good values and bad ones, from a topic into a table, on
-- librdkafka's embedded broker.  A bad value is a dead letter, and the column
-- is named.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';
SET bytea_output = 'hex';

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE TYPE deep AS (id int, p pair, list int[], pairs pair[]);
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE DOMAIN short AS varchar(4);
CREATE DOMAIN few AS int[] CHECK (cardinality(value) < 3);
CREATE DOMAIN good_pair AS pair CHECK ((value).a > 0);
CREATE DOMAIN flag AS bool CHECK (value);
CREATE DOMAIN document AS jsonb CHECK (value ? 'k');
CREATE DOMAIN hash AS bytea CHECK (octet_length(value) = 2);
CREATE DOMAIN day AS date CHECK (value > '2000-01-01');

-- a field's type, and its value as JSON has it
CREATE TABLE cases (n int GENERATED ALWAYS AS IDENTITY (START 0 MINVALUE 0), type text, value text);
INSERT INTO cases (type, value)
SELECT type, value FROM (VALUES
    (1, 'smallint', ARRAY['32767', '"-1"', '32768', '1.5', '"x"']),
    (2, 'integer', ARRAY['2147483647', '" 7 "', '-0', '2147483648', '1e3', '1.0', 'true', '{}', '[]', '""']),
    (3, 'bigint', ARRAY['9223372036854775807', '-9223372036854775808', '"42"', '9223372036854775808']),
    (4, 'numeric', ARRAY['12345678901234567890.12345678901234567890', '1e400', '-1.50', '"1.10"', '"NaN"', '"Infinity"', '0.00', '"x"', 'true', '1e200000']),
    (5, 'numeric(6,2)', ARRAY['1234.565', '"1234.5"', '12345.6']),
    (6, 'real', ARRAY['1.5', '"-Infinity"', '1e39', '"1,5"']),
    (7, 'double precision', ARRAY['0.1', '1e308', '"NaN"', '"Infinity"', '"-Infinity"', '" 1.5 "', '1e309', '"nix"', 'false']),
    (8, 'boolean', ARRAY['true', 'false', '"t"', '"no"', '"off"', '"1"', '1', '0', '2', '"maybe"', '"ye s"', '{}']),
    (9, 'text', ARRAY['"a\nb\u00e9"', '""', '"null"', '1.10', 'true', '{"a": [1, 2 ]}', '[ "x" ]', '"\u0000"']),
    (10, 'varchar(3)', ARRAY['"abc"', '"abc  "', '123', '"abcd"']),
    (11, 'character(3)', ARRAY['"a"', '"abcd"']),
    (12, '"char"', ARRAY['"x"']),
    (13, 'name', ARRAY['"a name"']),
    (14, 'bytea', ARRAY['"\\x00ff"', '"\\\\000a"', '"plain"', '""', '"\\xf"', '"\\x0g"', '"\\999"']),
    (15, 'uuid', ARRAY['"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"', '"{a0eebc999c0b4ef8bb6d6bb9bd380a11}"', '"a0eebc99"', '1']),
    (16, 'date', ARRAY['"2026-01-31"', '"31 Jan 2026"', '"infinity"', '"2026-02-30"', '"soon"', '20260131', '"31.1.2026"']),
    (17, 'time', ARRAY['"23:59:59.999999"', '"24:00"', '"25:00"', '86399']),
    (18, 'timetz', ARRAY['"12:00+02"', '"12:00+99"']),
    (19, 'timestamp', ARRAY['"2026-01-31T12:34:56.789"', '"2026-01-31 12:34:56+02"', '"-infinity"', '"2026-01-31T25:00"', '1769862896']),
    (20, 'timestamptz', ARRAY['"2026-01-31T12:34:56Z"', '"2026-01-31T12:34:56.123456+05:30"', '"2026-01-31 12:00 Europe/Berlin"', '"2026-01-31 12:00"', '"yesterdayish"', '1769862896', '1769862896.5']),
    (21, 'timestamptz(0)', ARRAY['"2026-01-31T12:34:56.5Z"']),
    (22, 'interval', ARRAY['"1 day 02:03:04"', '"P1Y2M3DT4H"', '"1.5 hours"', '"90"', '"1 fortnight"']),
    (23, 'json', ARRAY['{"b": 1,  "a": [1.10, null]}', '"text \"x\""', '1.10', 'true', '[1]', '"\u00e9"']),
    (24, 'jsonb', ARRAY['{"b": 1, "a": [1.10, null], "b": 2}', '"text"', '1e2', 'false', '[]', '{"a": "\u0000"}']),
    (25, 'jsonpath', ARRAY['"$.a[*] ? (@ > 1)"', '"$."']),
    (26, 'integer[]', ARRAY['[1, 2, null]', '[]', '[[1, 2], [3, 4]]', '[[[1], [2]], [[3], [4]]]', '"{1,2}"', '"[2:3]={1,2}"', '["1", "2"]', '[[1, 2], [3]]', '[1, [2]]', '[1, "x"]', '{"a": 1}', '1', '[1.5]']),
    (27, 'text[]', ARRAY['["a", "b,c", "\"", null, "null", "{}", ""]', '[["a"], ["b"]]', '[1, true, {"a": 1}]', '["a\u0000"]']),
    (28, 'numeric(4,1)[]', ARRAY['[1.25, 12345678901234567890e-18]', '[12345.6]']),
    (29, 'timestamptz[]', ARRAY['["2026-01-31T12:00Z"]', '["never"]']),
    (30, 'jsonb[]', ARRAY['[{"a": 1}, [2], "x", null, 3]', '[[{"a": 1}], [{"b": 2}]]']),
    (31, 'boolean[]', ARRAY['[true, false, "t"]', '["x"]']),
    (32, 'pair', ARRAY['{"a": 1, "b": "x"}', '{"b": "only"}', '{}', '{"a": "2", "c": 3}', '"(3,y)"', '{"a": "x"}', '[1, "x"]', '"(1)"', '1']),
    (33, 'deep', ARRAY['{"id": 1, "p": {"a": 2, "b": "x,\"y"}, "list": [1, 2], "pairs": [{"a": 3}, {"b": "z"}]}', '{"id": 1, "p": {"a": "x"}}', '{"pairs": [1]}']),
    (34, 'pair[]', ARRAY['[{"a": 1}, null, {"b": "x"}]', '[{"a": "x"}]']),
    (35, 'mood', ARRAY['"happy"', '"Happy"', '1']),
    (36, 'mood[]', ARRAY['["sad", "ok"]', '["glad"]']),
    (37, 'positive', ARRAY['1', '0', '"-1"']),
    (38, 'short', ARRAY['"abcd"', '"abcde"']),
    (39, 'few', ARRAY['[1, 2]', '"{1}"', '[1, 2, 3]']),
    (40, 'good_pair', ARRAY['{"a": 1}', '"(2,x)"', '{"a": 0}']),
    (41, 'flag', ARRAY['true', '"yes"', 'false']),
    (42, 'document', ARRAY['{"k": 1}', '{"l": 1}', '"k"']),
    (43, 'hash', ARRAY['"\\xabcd"', '"\\xab"']),
    (44, 'day', ARRAY['"2026-01-31"', '"1999-01-01"', '5']),
    (45, 'positive[]', ARRAY['[1, 2]', '[1, 0]']),
    (46, 'int4range', ARRAY['"[1,5)"', '"empty"', '"(,)"', '"[5,1)"', '[1, 5]']),
    (47, 'tstzrange', ARRAY['"[2026-01-01T00:00Z,)"', '"[x,)"']),
    (48, 'int4multirange', ARRAY['"{[1,2),[5,6)}"', '"{[1,2}"']),
    (49, 'inet', ARRAY['"192.168.1.1/24"', '"::1"', '"192.168.1.256"']),
    (50, 'cidr', ARRAY['"192.168.1.0/24"', '"192.168.1.1/24"']),
    (51, 'macaddr', ARRAY['"08:00:2b:01:02:03"', '"08:00"']),
    (52, 'macaddr8', ARRAY['"08:00:2b:ff:fe:01:02:03"', '"x"']),
    (53, 'point', ARRAY['"(1.5,2)"', '[1, 2]']),
    (54, 'polygon', ARRAY['"((0,0),(1,1),(1,0))"', '"()"']),
    (55, 'bit(4)', ARRAY['"1010"', '"101"', '"1012"']),
    (56, 'varbit', ARRAY['"10101"', '"2"']),
    (57, 'tsvector', ARRAY['"fat:1 cat:2A"', '"''x"']),
    (58, 'pg_lsn', ARRAY['"16/B374D848"', '"16"']),
    (59, 'oid', ARRAY['4294967295', '4294967296']),
    (60, 'regclass', ARRAY['"cases"', '"no_such_table"'])) AS t (n, type, "values"), unnest("values") WITH ORDINALITY AS v (value, k)
ORDER BY t.n, k;

-- a table with a column for each type, and the offset that it came from
SELECT format('CREATE TABLE types (n bigint, %s)', string_agg(format('"%s" %s', replace(type, '"', '""'), type), ', ' ORDER BY n))
FROM (SELECT type, min(n) AS n FROM cases GROUP BY type) AS t \gexec
CREATE FUNCTION wait_done(subscription name, messages bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + interval '60 s';
    c record;
BEGIN
    LOOP
        SELECT * INTO c FROM stream_ingest.counts WHERE name = subscription;
        EXIT WHEN c.messages >= wait_done.messages OR clock_timestamp() > deadline;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN format('%s messages: %s applied, %s dead, %s ignored', c.messages, c.applied, c.dead_letters, c.ignored);
END $$;
-- a column's value as text, whatever its type
CREATE FUNCTION value_at(relation regclass, "column" name, message_offset bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    EXECUTE format('SELECT coalesce(%I::text, ''null'') FROM %s WHERE n = $1', "column", relation) INTO found USING message_offset;
    RETURN found;
END $$;
CREATE FUNCTION outcome(subscription name, relation regclass, "column" name, message_offset bigint) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(value_at(relation, "column", message_offset), (SELECT '! ' || sqlstate || coalesce(' ' || nullif(column_name, "column"), '')
        FROM stream_ingest.dead_letters AS d WHERE name = subscription AND d.message_offset = outcome.message_offset));
$$;
\! test/mock_broker -c create types 1
\copy (SELECT format('{%s: %s}', to_json(type), value) FROM cases ORDER BY n) TO PROGRAM 'test/produce -t types -p 0 >/dev/null' (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')
SELECT stream_ingest.create_subscription('types', 'si_kafka', 'types', 'types', mapping => '{"n": "$offset"}');
SELECT wait_done('types', (SELECT count(*) FROM cases)) AS done \gset
SELECT type || ': ' || value || ' -> ' || outcome('types', 'types', type, n) FROM cases ORDER BY n;
SELECT :'done';
SELECT (SELECT count(*) FROM types) = applied AND (SELECT count(*) FROM stream_ingest.dead_letters WHERE name = 'types') = dead_letters
FROM stream_ingest.counts WHERE name = 'types';
-- as json_populate_record has it, but for bare numbers in dates, which are no dates without a word on what they count
CREATE FUNCTION populated(type name, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    EXECUTE format('SELECT coalesce(%I::text, ''null'') FROM json_populate_record(NULL::types, %L)', type,
        format('{%s: %s}', to_json(type::text), value)) INTO found;
    RETURN found;
EXCEPTION WHEN OTHERS THEN
    RETURN '! ' || SQLSTATE;
END $$;
SELECT type || ': ' || value || ' -> ' || outcome('types', 'types', type, n) || ', populated: ' || populated(type, value)
FROM cases WHERE outcome('types', 'types', type, n) <> populated(type, value) ORDER BY n;
-- null is NULL in each of them
TRUNCATE cases, types RESTART IDENTITY;
INSERT INTO cases (type, value) SELECT attname, 'null' FROM pg_attribute WHERE attrelid = 'types'::regclass AND attnum > 1 ORDER BY attnum;
\! test/mock_broker -c create nulls 1
\copy (SELECT format('{%s: %s}', to_json(type), value) FROM cases ORDER BY n) TO PROGRAM 'test/produce -t nulls -p 0 >/dev/null' (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')
SELECT stream_ingest.drop_subscription('types') \g /dev/null
SELECT stream_ingest.create_subscription('nulls', 'si_kafka', 'nulls', 'types', mapping => '{"n": "$offset"}');
SELECT wait_done('nulls', (SELECT count(*) FROM cases));
SELECT bool_and(outcome('nulls', 'types', type, n) = 'null') FROM cases;
SELECT stream_ingest.drop_subscription('nulls') \g /dev/null

--
-- what a bare number counts
--
CREATE TABLE moments (n bigint, d date, t timestamp, z timestamptz, s timestamp(0), v time, u text);
CREATE FUNCTION new_subscription(name text, format text, options jsonb, mapping jsonb DEFAULT NULL, target regclass DEFAULT NULL, topic text DEFAULT NULL)
RETURNS void LANGUAGE sql AS $$
    SELECT stream_ingest.create_subscription(name, 'si_kafka', coalesce(topic, name), coalesce(target, name::regclass),
        format => format, options => options, mapping => mapping);
$$;
CREATE FUNCTION dead(subscription name) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', message_offset, sqlstate, column_name, error, detail) FROM stream_ingest.dead_letters WHERE name = subscription ORDER BY message_offset;
$$;
\! test/mock_broker -c create seconds 1 && test/mock_broker -c create milliseconds 1 && test/mock_broker -c create microseconds 1 && test/mock_broker -c create csv_epoch 1
\! printf '%s\n' '{"d":1769862896,"t":1769862896.123456,"z":-1.5,"s":0.5,"u":5}' '{"d":"2026-01-31","z":"2026-01-31T00:00Z"}' '{"z":1e18}' '{"t":1769862896.1234565,"z":1.7698628961234564e9}' '{"z":1e400}' '{"v":5}' '{"z":true}' '{"z":-0}' | test/produce -t seconds -p 0 >/dev/null
\! printf '%s\n' '{"d":1769862896123,"t":1769862896123.4,"z":1769862896123}' '{"z":9223372036854775807}' | test/produce -t milliseconds -p 0 >/dev/null
\! printf '%s\n' '{"d":1769862896123456,"t":1769862896123456,"z":-1}' '{"z":9223372036854775807}' | test/produce -t microseconds -p 0 >/dev/null
\! printf '%s\n' '1769862896,1769862896.5,-1,0,,5' '"2026-01-31",2026-01-31,1e9,1,,' '01,,,,,' '1x,,,,,' | test/produce -t csv_epoch -p 0 >/dev/null
SELECT new_subscription(u, 'json', jsonb_build_object('epoch_unit', u), '{"n": "$offset"}', 'moments') FROM unnest(ARRAY['seconds', 'milliseconds', 'microseconds']) AS u \g /dev/null
SELECT new_subscription('csv_epoch', 'csv', '{"epoch_unit": "seconds"}', '{"n": "$offset"}', 'moments') \g /dev/null
SELECT u, wait_done(u, c) FROM (VALUES ('seconds', 8), ('milliseconds', 2), ('microseconds', 2), ('csv_epoch', 4)) AS t (u, c);
SELECT * FROM moments ORDER BY n, d, t, z;
SELECT u, dead(u) FROM unnest(ARRAY['seconds', 'milliseconds', 'microseconds', 'csv_epoch']) AS u;

--
-- csv and text in a table
--
CREATE TABLE csv (a int, b text, c jsonb, id int GENERATED BY DEFAULT AS IDENTITY, d int[], twice int GENERATED ALWAYS AS (a * 2) STORED,
    e timestamptz DEFAULT '2000-01-01', f bytea, "é x" pair);
\! test/mock_broker -c create csv 1
\! printf '%s\n' '1,text,"{""k"": 1}","{1,2}",2026-01-31T12:00Z,\x00ff,"(1,""y"")"' ',,,,,,' '3,"",,{},,,' '4,a' '5,a,,,,,,8' 'x,,,,,,' '7,,{k},,,,' '8,,,x,,,' '9,,,,soon,,' '10,,,,,\xg,' '11,"a' '12,,,,20260131,,' >/tmp/si_regress.$$; printf '13,\351,,,,,\n14,,,,,,\r\n' >>/tmp/si_regress.$$; test/produce -t csv -p 0 -f /tmp/si_regress.$$ >/dev/null; rm /tmp/si_regress.$$
SELECT stream_ingest.produce('si_kafka', 'csv', E'15,"two\nlines\r\n",,,,,\n', partition => 0);
SELECT new_subscription('csv', 'csv', '{}');
SELECT wait_done('csv', 15);
SELECT * FROM csv ORDER BY id;
SELECT dead('csv');
CREATE TABLE "text" (LIKE csv INCLUDING ALL);
\! test/mock_broker -c create text 1
\! printf '%b\n' '1\ttext\\t\\x41\t{"k": "\\\\n"}\t{1,2}\t\\N\t\\\\x00ff\t(1,y)' '\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N' '3\t' '4\t\\377\t\\N\t\\N\t\\N\t\\N\t\\N' '5\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t' | test/produce -t text -p 0 >/dev/null
SELECT new_subscription('text', 'text', '{}');
SELECT wait_done('text', 5);
SELECT * FROM "text" ORDER BY id;
SELECT dead('text');
-- columns by name, in another order, some left out, beside what messages have else
CREATE TABLE named (a int, b text, c text DEFAULT 'default', rest jsonb, line text, key_id int, n bigint, at timestamptz DEFAULT '2000-01-01');
\! test/mock_broker -c create named 1
\! printf '%s\n' '{"id": 5};one;2;x;' 'nokey;one;3;;"q ""\t"' ';o;4' | test/produce -t named -p 0 -K ';' >/dev/null
SELECT new_subscription('named', 'csv', '{"header_columns": ["b", "number", "extra", "more"], "delimiter": ";", "null": "x"}',
    '{"a": "number", "rest": "$rest", "line": "$value", "key_id": "$key.id", "n": "$offset"}');
SELECT wait_done('named', 3);
SELECT * FROM named ORDER BY n;
SELECT dead('named');
-- the mapping's other sources are no columns of the messages
CREATE TABLE stamped (a int, at timestamptz, b text, ignored text, n bigint);
\! test/mock_broker -c create stamped 1
SELECT new_subscription('stamped', 'csv', '{}', '{"at": "$timestamp", "n": "$offset", "ignored": null, "a": "b", "b": "a"}');
\! printf '%s\n' 'x,1' 'y,2' 'z,3,4' | test/produce -t stamped -p 0 >/dev/null
SELECT wait_done('stamped', 3);
SELECT a, b, ignored, n, at > '2026-01-01' FROM stamped ORDER BY n;
SELECT dead('stamped');

--
-- one column: the whole message, as text and as bytes
--
CREATE TABLE lines (line text, n int GENERATED ALWAYS AS IDENTITY);
CREATE TABLE points (p point);
CREATE TABLE raw (payload bytea);
CREATE TABLE raws (k text, payload bytea, "text" text, j jsonb, id uuid DEFAULT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11');
\! for t in lines points raw raws; do test/mock_broker -c create $t 1; done
\! printf 'a line\twith \\t \\N\n\\N\n\\.\n{"a":1}\nbad \377\n' | test/produce -t lines -p 0 >/dev/null
\! printf '(1,2)\n(1\n' | test/produce -t points -p 0 >/dev/null
\! printf 'abc\n\000\377\n' | test/produce -t raw -p 0 >/dev/null
\! printf 'k;{"a": 1}\nl;\303\251\nm;\377\n' | test/produce -t raws -p 0 -K ';' >/dev/null
SELECT new_subscription(f[1], f[2], '{}') FROM (VALUES (ARRAY['lines', 'text']), (ARRAY['points', 'text']), (ARRAY['raw', 'raw'])) AS t (f) \g /dev/null
SELECT new_subscription('raws', 'raw', '{}', '{"k": "$key", "payload": "$value", "text": "$value", "j": "$value"}');
SELECT wait_done('lines', 5), wait_done('points', 2), wait_done('raw', 2), wait_done('raws', 3);
SELECT line FROM lines ORDER BY n;
SELECT * FROM points;
SELECT * FROM raw ORDER BY payload;
SELECT * FROM raws ORDER BY k;
SELECT t, dead(t) FROM unnest(ARRAY['lines', 'points', 'raw', 'raws']) AS t;

--
-- encodings
--
CREATE TABLE latin (field text, "whole" text, "bytes" bytea, key text, key_field text);
\! for t in latin latin_csv sjis; do test/mock_broker -c create $t 1; done
\! printf '{"k":"\344"};{"field":"\351","x":1}\nk\344;{"field":"b"}\n\000;{"field":"c\000"}\n' | test/produce -t latin -p 0 -K ';' >/dev/null
\! printf '\351,\374\n' | test/produce -t latin_csv -p 0 >/dev/null
\! printf '{"field":"\203\134"}\n{"field":"\203"}\n' | test/produce -t sjis -p 0 >/dev/null
SELECT new_subscription('latin', 'json', '{"encoding": "LATIN1"}', '{"whole": "$value", "bytes": "$value", "key": "$key", "key_field": "$key.k"}');
SELECT new_subscription('latin_csv', 'csv', '{"encoding": "latin1", "header_columns": ["field", "key"]}', target => 'latin');
SELECT new_subscription('sjis', 'json', '{"encoding": "SJIS"}', target => 'latin');
SELECT wait_done('latin', 3), wait_done('latin_csv', 1), wait_done('sjis', 2);
SELECT convert_to(field, 'UTF8'), convert_to("whole", 'UTF8'), "bytes", convert_to(key, 'UTF8'), convert_to(key_field, 'UTF8') FROM latin ORDER BY 1, 2;
SELECT t, dead(t) FROM unnest(ARRAY['latin', 'latin_csv', 'sjis']) AS t;

--
-- what is refused when the subscription is made
--
SELECT new_subscription('csv', 'csv', '{"quote": "ab"}');
SELECT new_subscription('x', 'json', '{"delimiter": ";"}', target => 'csv');
SELECT new_subscription('x', 'text', '{"quote": "x"}', target => 'csv');
SELECT new_subscription('x', 'raw', '{"encoding": "LATIN1"}', target => 'raw');
SELECT new_subscription('x', 'csv', '{"delimiter": "\""}', target => 'csv');
SELECT new_subscription('x', 'csv', '{"header_columns": ["u", "v"]}', target => 'csv');
SELECT new_subscription('x', 'csv', '{}', '{"a": "u"}', target => 'csv');
SELECT new_subscription('x', 'csv', '{"header_columns": ["u"]}', '{"a": "u.v"}', target => 'csv');
SELECT new_subscription('x', 'csv', '{}', '{"id": "id"}', target => 'csv');
SELECT new_subscription('x', 'csv', '{"unknown_fields": "error", "header_columns": ["a", "u"]}', target => 'csv');
SELECT new_subscription('x', 'raw', '{}', target => 'raws');
SELECT new_subscription('x', 'raw', '{}', '{"payload": "bytes"}', target => 'raws');
SELECT new_subscription('x', 'raw', '{"header_columns": ["payload"]}', target => 'raw');
SELECT new_subscription('x', 'text', '{"null": "-"}', target => 'lines');
SELECT new_subscription('x', 'csv', '{"encoding": "MULE_INTERNAL"}', target => 'csv');
SELECT new_subscription('x', 'xml', '{}', target => 'csv');
SELECT stream_ingest.alter_subscription('csv', format => 'json', options => '{"delimiter": ";"}');
SELECT stream_ingest.alter_subscription('named', format => 'json');
-- and what is not
SELECT new_subscription('x', 'csv', '{"unknown_fields": "error", "header_columns": ["a", "b"], "null": "", "quote": "''", "escape": "\\"}', target => 'csv', topic => 'nulls');
SELECT settings ->> 'quote', settings ->> 'escape', settings ->> 'null', settings -> 'delimiter', settings -> 'header_columns', settings ->> 'encoding',
    settings -> 'epoch_unit' FROM stream_ingest.subscriptions WHERE name = 'x';

SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null
DROP TABLE types, cases, moments, csv, "text", named, stamped, lines, points, raw, raws, latin;
DROP FUNCTION wait_done, value_at, outcome, populated, new_subscription, dead;
DROP DOMAIN positive, short, few, good_pair, flag, document, hash, day;
DROP TYPE deep, pair, mood;
DROP SERVER si_kafka;
DROP EXTENSION stream_ingest;
