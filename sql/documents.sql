CREATE EXTENSION stream_ingest;

--
-- Documents as people send them: match_names, paths into
-- strings that hold JSON, extended_json.  In every mode, on librdkafka's
-- embedded broker, and by both write paths.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset tuples_only on
\pset null '~'
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET bytea_output = 'hex';
\set VERBOSITY terse

-- waits until the subscriptions have read so many messages each
CREATE FUNCTION wait_messages(expected int, names name[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + interval '30 s';
BEGIN
    WHILE (SELECT count(*) FROM stream_ingest.counts WHERE name = ANY (names) AND messages >= expected) < cardinality(names) LOOP
        IF clock_timestamp() > deadline THEN
            RETURN 'no';
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN 'yes';
END $$;
CREATE VIEW all_counts AS
    SELECT name, messages, applied, inserted, updated, deleted, ignored, dead_letters,
        messages = applied + ignored + dead_letters AND (applied = inserted + updated + deleted + superseded OR name LIKE '%apply') AS adds_up
    FROM stream_ingest.counts ORDER BY name;

CREATE ROLE documents_owner LOGIN;
GRANT USAGE ON FOREIGN SERVER si_kafka TO documents_owner;
--
-- match_names
--
\! test/mock_broker -c create doc_names 1
\! printf '%s\n' '{"userId": 1, "CreatedAt": "2026-01-01", "HTTPStatus": 200, "e-mail": "a@b", "Odd": 1, "name": "exact"}' '{"USER_ID": 2, "created-at": "2026-01-02", "createdAt": "2026-01-03", "Name": "first", "name": "second", "more": {"userId": 9}}' '{"user_id": 3, "NAME": "upper", "Name": null}' '{"other": 1}' | test/produce -t doc_names -p 0 >/dev/null
CREATE TABLE n_snake (user_id int, created_at date, http_status int, e_mail text, name text, odd_one int, rest jsonb);
CREATE TABLE n_case (user_id int, "Created_At" date, name text);
CREATE TABLE n_upsert (user_id int PRIMARY KEY, created_at date, name text);
CREATE TABLE n_apply (user_id int, name text);
GRANT ALL ON n_apply TO documents_owner;
SELECT stream_ingest.create_subscription('n_snake', 'si_kafka', 'doc_names', 'n_snake', mapping => '{"odd_one": "Odd", "rest": "$rest"}', options => '{"match_names": "snake_case"}'),
    stream_ingest.create_subscription('n_case', 'si_kafka', 'doc_names', 'n_case', options => '{"match_names": "ignore_case", "unknown_fields": "ignore"}'),
    stream_ingest.create_subscription('n_upsert', 'si_kafka', 'doc_names', 'n_upsert', insert_mode => 'upsert', options => '{"match_names": "snake_case"}') \g /dev/null
SET ROLE documents_owner;
SELECT stream_ingest.create_subscription('n_apply', 'si_kafka', 'doc_names', fields => 'user_id int, name text', apply => 'INSERT INTO public.n_apply SELECT user_id, name FROM batch', options => '{"match_names": "snake_case"}') \g /dev/null
RESET ROLE;
SELECT wait_messages(4, '{n_snake, n_case, n_upsert, n_apply}');
SELECT * FROM n_snake ORDER BY user_id;
SELECT * FROM n_case ORDER BY user_id, name;
SELECT * FROM n_upsert ORDER BY user_id;
SELECT * FROM n_apply ORDER BY user_id;
SELECT * FROM all_counts;
SELECT name, message_offset, sqlstate, error FROM stream_ingest.dead_letters ORDER BY name;
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null
-- two columns that one field could mean; a mapping decides
CREATE TABLE n_two (created_at date, "createdAt" date);
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'doc_names', 'n_two', options => '{"match_names": "snake_case"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'doc_names', 'n_two', options => '{"match_names": "ignore_case"}', enabled => false);
SELECT stream_ingest.alter_subscription('x', options => '{"match_names": "snake_case"}');
SELECT stream_ingest.alter_subscription('x', mapping => '{"createdAt": "created"}', options => '{"match_names": "snake_case"}');
SELECT stream_ingest.drop_subscription('x') \g /dev/null
-- columns of csv; two of them that mean one
\! test/mock_broker -c create names_csv 1
\! printf '%s\n' '1,x,2026-01-01' | test/produce -t names_csv -p 0 >/dev/null
SELECT stream_ingest.create_subscription('n_csv', 'si_kafka', 'names_csv', 'n_upsert', format => 'csv', insert_mode => 'upsert', options => '{"match_names": "snake_case", "header_columns": ["UserId", "Other", "createdAt"]}') \g /dev/null
SELECT wait_messages(1, '{n_csv}');
SELECT user_id, created_at FROM n_upsert WHERE user_id = 1;
SELECT stream_ingest.drop_subscription('n_csv') \g /dev/null
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'names_csv', 'n_upsert', format => 'csv', options => '{"match_names": "snake_case", "header_columns": ["userId", "UserId"]}');

--
-- strings that hold JSON; extended JSON
--
\! test/mock_broker -c create doc_mongo 1
\! printf '%s\n' '{"id": "{\"$oid\": \"64f000000000000000000001\"}"};{"after": "{\"_id\": {\"$oid\": \"64f000000000000000000001\"}, \"name\": \"A \\\"b\\\" \\u00e4\", \"at\": {\"$date\": 1700000000123}, \"n\": {\"$numberLong\": \"9007199254740993\"}, \"price\": {\"$numberDecimal\": \"12.50\"}, \"tags\": [{\"$oid\": \"aa\"}, \"b\"], \"uid\": {\"$binary\": {\"base64\": \"xS3MJI+LS/CdSwuOHlsvOQ==\", \"subType\": \"04\"}}, \"bin\": {\"$binary\": {\"base64\": \"AP8=\", \"subType\": \"00\"}}}", "op": "c"}' '{"id": "{\"$oid\": \"64f000000000000000000002\"}"};{"after": "{\"_id\": {\"$oid\": \"64f000000000000000000002\"}, \"at\": {\"$date\": {\"$numberLong\": \"-1\"}}, \"n\": {\"$numberInt\": \"5\"}, \"price\": {\"$numberDouble\": \"NaN\"}, \"uid\": {\"$uuid\": \"c52dcc24-8f8b-4bf0-9d4b-0b8e1e5b2f39\"}, \"bin\": {\"$binary\": \"/w==\", \"$type\": \"00\"}, \"name\": null}", "op": "u"}' '{"id": "{\"$oid\": \"64f000000000000000000003\"}"};{"after": "{\"_id\": ", "op": "c"}' '{"id": "{\"$oid\": \"64f000000000000000000004\"}"};{"after": "{\"_id\": {\"$oid\": \"64f000000000000000000004\"}, \"at\": {\"$date\": true}}", "op": "c"}' '{"id": "{\"$oid\": \"64f000000000000000000002\"}"};' | test/produce -t doc_mongo -p 0 -Z -K ';' >/dev/null
CREATE TABLE m_insert (_id text, name text, at timestamptz, n bigint, price numeric, tags text[], uid uuid, bin bytea, op text, whole jsonb);
CREATE TABLE m_upsert (LIKE m_insert, PRIMARY KEY (_id));
CREATE TABLE m_ignore (LIKE m_insert, PRIMARY KEY (_id));
CREATE TABLE m_apply (LIKE m_insert);
ALTER TABLE m_apply ADD deleted bool;
GRANT ALL ON m_apply TO documents_owner;
\set m '{"name": "after::json.name", "at": "after::json.at", "n": "after::json.n", "price": "after::json.price", "tags": "after::json.tags", "uid": "after::json.uid", "bin": "after::json.bin", "whole": "after::json"}'
SELECT stream_ingest.create_subscription('m_insert', 'si_kafka', 'doc_mongo', 'm_insert', mapping => :'m'::jsonb || '{"_id": "after::json._id"}', options => '{"extended_json": true}'),
    stream_ingest.create_subscription('m_ignore', 'si_kafka', 'doc_mongo', 'm_ignore', insert_mode => 'ignore', mapping => :'m'::jsonb || '{"_id": "after::json._id"}', options => '{"extended_json": true}'),
    stream_ingest.create_subscription('m_upsert', 'si_kafka', 'doc_mongo', 'm_upsert', insert_mode => 'upsert', mapping => :'m'::jsonb || '{"_id": "$key.id::json"}', options => '{"extended_json": true}') \g /dev/null
SET ROLE documents_owner;
SELECT stream_ingest.create_subscription('m_apply', 'si_kafka', 'doc_mongo', fields => '_id text, name text, at timestamptz, n bigint', mapping => '{"_id": "$key.id::json", "name": "after::json.name", "at": "after::json.at", "n": "after::json.n"}',
    apply => 'INSERT INTO public.m_apply (_id, name, at, n, deleted) SELECT _id, name, at, n, _deleted FROM batch', options => '{"extended_json": true, "tombstones": "delete"}') \g /dev/null
RESET ROLE;
SELECT wait_messages(5, '{m_insert, m_ignore, m_upsert, m_apply}');
SELECT * FROM m_insert ORDER BY _id;
SELECT * FROM m_ignore ORDER BY _id;
SELECT * FROM m_upsert ORDER BY _id;
SELECT * FROM m_apply ORDER BY _id, deleted;
SELECT * FROM all_counts;
SELECT name, message_offset, sqlstate, error FROM stream_ingest.dead_letters ORDER BY name, message_offset;
SELECT stream_ingest.disable('m_insert');
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null

-- a string in a string, an array in a string, the message as a string, bytes, csv
CREATE FUNCTION try(mapping jsonb, message text, columns text, format text DEFAULT 'json', options jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    DROP TABLE IF EXISTS tried;
    EXECUTE format('CREATE TABLE tried (%s)', columns);
    PERFORM stream_ingest.create_subscription('tried', 'si_kafka', 'doc_tried', 'tried', format => format, mapping => mapping, options => options, enabled => false);
    SELECT concat_ws(' ', row_data, sqlstate, error) INTO answer FROM stream_ingest.preview('tried', 100) ORDER BY message_offset DESC LIMIT 1;
    PERFORM stream_ingest.drop_subscription('tried');
    RETURN answer;
END $$;
\! test/mock_broker -c create doc_tried 1
\! printf '%s\n' '"{\"a\": \"{\\\"b\\\": [1, {\\\"c\\\": \\\"deep\\\"}]}\"}"' | test/produce -t doc_tried -p 0 >/dev/null
SELECT try('{"x": "$value::json.a::json.b[1].c", "y": "$value::json.a::json.b"}', NULL, 'x text, y jsonb');
\! printf '%s\n' '"{\"a\": \"no\"}"' | test/produce -t doc_tried -p 0 >/dev/null
SELECT try('{"x": "$value::json.a::json.b[1].c"}', NULL, 'x text');
\! printf '%s\n' '{"a": 5, "list": ["{\"z\": 1}"]}' | test/produce -t doc_tried -p 0 >/dev/null
SELECT try('{"x": "a::json.b", "y": "list[0]::json.z"}', NULL, 'x text, y int');
SELECT try('{"x": "a::json.b", "rest": "$rest"}', NULL, 'x text, rest jsonb');
SELECT try('{"x": "a::json.b"}', NULL, 'x text', 'json', '{"unknown_fields": "error"}');
SELECT try('{"x": ["a::json", "b"], "y": ["list", 0]}', NULL, 'x text, y text');
-- steps and strings of a path have a limit, since what reads along them recurses
CREATE FUNCTION try_path(path jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    PERFORM stream_ingest.create_subscription('tried', 'si_kafka', 'doc_tried', 'tried', mapping => jsonb_build_object('x', path), enabled => false);
    PERFORM stream_ingest.drop_subscription('tried');
    RETURN 'taken';
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS answer = PG_EXCEPTION_DETAIL;
    RETURN answer;
END $$;
SELECT n, try_path(to_jsonb('a' || repeat('::json', n))) FROM unnest('{16, 17, 200000}'::int[]) AS n;
SELECT n, try_path(to_jsonb('a' || repeat('.a', n - 1))), try_path(to_jsonb(array_fill('a'::text, ARRAY[n]))) FROM unnest('{1000, 1001, 200000}'::int[]) AS n;
DROP FUNCTION try_path(jsonb);
\! printf '%s\n' '{"a": ""}' | test/produce -t doc_tried -p 0 >/dev/null
SELECT try('{"x": "a::json.b"}', NULL, 'x text');
\! printf '%s\n' '7,"{""n"": 8}"' | test/produce -t doc_tried -p 0 >/dev/null
SELECT try('{"n": "doc::json.n"}', NULL, 'id int, n int', 'csv', '{"header_columns": ["id", "doc"]}');
\! printf '%s\n' '{"n": 9}' | test/produce -t doc_tried -p 0 >/dev/null
SELECT try('{"n": "$value::json.n"}', NULL, 'n int', 'raw');
SELECT try('{"n": "$value:json.n"}', NULL, 'n int');
SELECT try('{"n": "a::jsonx"}', NULL, 'n int');
SELECT try('{"n": "::json.n"}', NULL, 'n int');
-- extended JSON alone; what only looks like it is refused by the type
\! printf '%s\n' '{"a": {"$date": "2024-02-08T12:30:11.5Z"}, "b": {"$numberLong": "x"}, "c": {"$oid": 5}, "d": {"$date": {"$numberLong": "99999999999999999999"}}, "e": {"$numberDouble": "-Infinity"}, "f": [[{"$numberInt": "1"}], [{"$numberInt": "2"}]], "g": {"$binary": {"base64": "A===", "subType": "00"}}}' | test/produce -t doc_tried -p 0 >/dev/null
SELECT try(NULL, NULL, c, 'json', '{"extended_json": true}') FROM unnest(ARRAY['a date', 'a text', 'a jsonb', 'b bigint', 'b text', 'c text', 'd timestamptz', 'e real', 'e int', 'f int[]', 'f text', 'f jsonb', 'g bytea']) AS c;
SELECT try(NULL, NULL, 'a date');

--
-- without the direct path all is the same
--
ALTER SYSTEM SET stream_ingest.direct_write = off;
SELECT pg_reload_conf() \g /dev/null
CREATE TABLE n_slow (LIKE n_snake);
CREATE TABLE m_slow (LIKE m_insert);
SELECT stream_ingest.create_subscription('n_slow', 'si_kafka', 'doc_names', 'n_slow', mapping => '{"odd_one": "Odd", "rest": "$rest"}', options => '{"match_names": "snake_case"}'),
    stream_ingest.create_subscription('m_slow', 'si_kafka', 'doc_mongo', 'm_slow', mapping => :'m'::jsonb || '{"_id": "after::json._id"}', options => '{"extended_json": true}') \g /dev/null
SELECT wait_messages(4, '{n_slow}'), wait_messages(5, '{m_slow}');
SELECT count(*) FROM ((TABLE n_slow EXCEPT ALL TABLE n_snake) UNION ALL (TABLE n_snake EXCEPT ALL TABLE n_slow)) AS differ;
SELECT count(*) FROM ((TABLE m_slow EXCEPT ALL TABLE m_insert) UNION ALL (TABLE m_insert EXCEPT ALL TABLE m_slow)) AS differ;
SELECT * FROM all_counts;
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null
ALTER SYSTEM RESET stream_ingest.direct_write;
SELECT pg_reload_conf() \g /dev/null

DROP TABLE n_apply, m_apply;
DROP OWNED BY documents_owner;
DROP ROLE documents_owner;
DROP TABLE n_snake, n_case, n_upsert, n_two, n_slow, m_insert, m_ignore, m_upsert, m_slow, tried;
DROP FUNCTION try(jsonb, text, text, text, jsonb), wait_messages(int, name[]);
DROP VIEW all_counts;
DROP EXTENSION stream_ingest CASCADE;
