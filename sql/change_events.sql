CREATE EXTENSION stream_ingest;

--
-- Change events of Maxwell and GoldenGate: every case by decode, and by a
-- subscription on librdkafka's embedded broker, message by message and all in
-- one batch.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset tuples_only on
\pset null '~'
SET client_min_messages = warning;
CREATE SCHEMA si_change_events;
SET search_path = si_change_events;
\! test/mock_broker -c create change_events 48
CREATE TABLE cases (n serial PRIMARY KEY, what text, messages text[], options jsonb DEFAULT '{}', mapping jsonb, mode text DEFAULT 'upsert',
    columns text DEFAULT 'id int PRIMARY KEY, name text DEFAULT ''none'', bio text DEFAULT ''empty''');
CREATE FUNCTION mw(type text, data jsonb, old jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT (jsonb_build_object('database', 'd', 'table', 't', 'type', type, 'ts', 1449786310, 'xid', 940752, 'commit', true, 'data', data)
        || CASE WHEN old IS NULL THEN '{}' ELSE jsonb_build_object('old', old) END)::text;
$$;
CREATE FUNCTION gg(op text, before jsonb, after jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT (jsonb_build_object('table', 'S.T', 'op_type', op, 'op_ts', '2024-02-08 12:30:11.000000', 'pos', '00000000000000002928', 'primary_keys', jsonb '["id"]')
        || CASE WHEN before IS NULL THEN '{}' ELSE jsonb_build_object('before', before) END || CASE WHEN after IS NULL THEN '{}' ELSE jsonb_build_object('after', after) END)::text;
$$;
CREATE FUNCTION wrapped(op text, before jsonb, after jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT jsonb_build_object('schema', jsonb_build_object('type', 'struct', 'fields', jsonb_build_array(row || '{"field": "before"}', row || '{"field": "after"}')), 'payload', gg(op, before, after)::jsonb)::text
        FROM (SELECT jsonb '{"type": "struct", "fields": [{"field": "id", "type": "int32"}, {"field": "price", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "version": 1, "parameters": {"scale": "2"}}]}') AS v (row);
$$;
-- an error that is thrown, and not returned, in every version of PostgreSQL
CREATE DOMAIN throwing AS int CHECK (value / (CASE WHEN value = 77 THEN 0 ELSE 1 END) >= 0);
\set maxwell '''{"envelope": "maxwell"}'''
\set goldengate '''{"envelope": "goldengate"}'''
INSERT INTO cases (what, messages, options) VALUES
('maxwell: every operation', ARRAY[mw('bootstrap-start', '{}'), mw('bootstrap-insert', '{"id": 1, "name": "Anne", "bio": "x"}'), mw('bootstrap-complete', '{}'), mw('insert', '{"id": 2, "name": "Bob", "bio": null}'),
    mw('insert', '{"id": 3, "name": "Carl", "bio": "z"}'), mw('update', '{"id": 2, "name": "Bert", "bio": null}', '{"name": "Bob"}'), mw('delete', '{"id": 3, "name": "Carl", "bio": "z"}'), mw('delete', '{"id": 9}')], :maxwell),
('maxwell: statements that define', ARRAY['{"type": "table-create", "database": "d", "table": "t", "def": {}, "ts": 1, "sql": "create table t (id int)"}', '{"type": "table-alter"}', '{"type": "table-drop"}',
    '{"type": "database-create"}', '{"type": "database-alter"}', '{"type": "database-drop"}'], :maxwell),
('maxwell: the key changes', ARRAY[mw('insert', '{"id": 1, "name": "Anne", "bio": "x"}'), mw('update', '{"id": 7, "name": "Anna", "bio": "x"}', '{"id": 1, "name": "Anne"}'),
    mw('update', '{"id": 7, "name": "Anna", "bio": "y"}', '{"bio": "x"}'), mw('update', '{"id": 7, "name": "Anna", "bio": "y"}', '{"id": "007"}'), mw('insert', '{"id": 8, "name": "Bob", "bio": "x"}'),
    mw('update', '{"id": 9, "name": "Bob", "bio": "x"}', '{"id": 8}'), mw('update', '{"id": 8, "name": "Bob", "bio": "x"}', '{"id": 9}'), mw('update', '{"id": 5, "name": "Eve", "bio": "x"}', '{"id": 4}')], :maxwell),
('maxwell: two rows change places', ARRAY[mw('insert', '{"id": 1, "name": "Anne", "bio": "x"}'), mw('insert', '{"id": 2, "name": "Bob", "bio": "x"}'), mw('update', '{"id": 3, "name": "Anne", "bio": "x"}', '{"id": 1}'),
    mw('update', '{"id": 1, "name": "Bob", "bio": "x"}', '{"id": 2}'), mw('update', '{"id": 2, "name": "Anne", "bio": "x"}', '{"id": 3}')], :maxwell),
('maxwell: a changed key that is refused', ARRAY[mw('insert', '{"id": 1, "name": "Anne", "bio": "x"}'), mw('update', '{"id": 2, "name": "Anne"}', '{"id": 1}'), mw('update', '{"id": 2, "name": "Anne", "bio": "x"}', '{"id": "one"}'),
    mw('update', '{"id": null, "name": "Anne", "bio": "x"}', '{"id": 1}'), mw('update', '{"id": "two", "name": "Anne", "bio": "x"}', '{"id": 1}'), mw('update', '{"id": 99999999999, "name": "Anne", "bio": "x"}', '{"id": 1}')], :maxwell),
('maxwell: minimal row images', ARRAY[mw('insert', '{"id": 1, "name": "Anne", "bio": "x"}'), mw('update', '{"id": 1, "name": "Anna"}', '{}'), mw('update', '{"id": 1, "bio": "y"}')], :maxwell),
('maxwell: no change event', ARRAY['{"type": "truncate"}', '{"type": 1}', '{"database": "d"}', '{"op": "c", "after": {"id": 1}}', '5', '[]', '{', '{"type": "insert"}', '{"type": "insert", "data": null}', '{"type": "update", "data": 5, "old": {"id": 1}}',
    '{"type": "delete"}', '{"type": "INSERT", "data": {"id": 1}}', '{"type": "insert", "data": {"x": 1}}', '{"type": "insert", "data": {}}'], :maxwell),
('goldengate: every operation', ARRAY[gg('I', NULL, '{"id": 1, "name": "Anne", "bio": "x"}'), gg('I', NULL, '{"id": 2, "name": "Bob", "bio": null}'), gg('U', '{"id": 1, "name": "Anne"}', '{"id": 1, "name": "Anna"}'),
    gg('U', '{"id": 1, "bio": "x"}', '{"id": 1, "bio": null}'), gg('D', '{"id": 2, "name": "Bob", "bio": null}', NULL), gg('D', '{"id": 9}', NULL), gg('U', NULL, '{"id": 3, "name": "Carl"}')], :goldengate),
('goldengate: truncate', ARRAY[gg('I', NULL, '{"id": 1}'), gg('T', NULL, NULL)], :goldengate),
('goldengate: truncate, ignored', ARRAY[gg('I', NULL, '{"id": 1}'), gg('T', NULL, NULL)], '{"envelope": "goldengate", "truncate": "ignore"}'),
('goldengate: missing columns', ARRAY[gg('I', NULL, '{"id": 1, "id_isMissing": false, "name": "Anne", "name_isMissing": false, "bio": "x", "bio_isMissing": false}'),
    gg('U', '{"id": 1, "name": null, "name_isMissing": true}', '{"id": 1, "id_isMissing": false, "name": null, "name_isMissing": true, "bio": "y", "bio_isMissing": false}'),
    gg('U', NULL, '{"id": 1, "name": "Anna", "bio": null, "bio_isMissing": "true"}'), gg('U', NULL, '{"id": 1, "name": null, "name_isMissing": false}'), gg('U', NULL, '{"id": 1, "name": "Anne", "name_isMissing": true}'),
    gg('I', NULL, '{"id": 2, "name": null, "name_isMissing": true, "bio": null}')], :goldengate),
('goldengate: the key changes', ARRAY[gg('I', NULL, '{"id": 1, "name": "Anne", "bio": "x"}'), gg('U', '{"id": 1, "name": "Anne", "bio": "x"}', '{"id": 2, "name": "Anna", "bio": "x"}'),
    gg('U', '{"id": 2, "name": "Anna", "bio": "x"}', '{"id": 3}'), gg('U', '{"id": 3}', '{"id": 4, "name": "Ann"}'), gg('U', '{"id": 3, "bio": null, "bio_isMissing": true}', '{"id": 4, "name": "Ann", "bio": null, "bio_isMissing": true}'),
    gg('U', '{"id": 3}', '{"name": "Ann"}'), gg('U', '{"name": "Ann"}', '{"id": 3, "name": "Aenne"}'), gg('U', '{"id": "3"}', '{"id": 3, "bio": "w"}'), gg('U', '{"id": 3}', '{"id": 5, "name": null, "bio": null}')], :goldengate),
('goldengate: no change event', ARRAY['{"op_type": "X"}', '{"op_type": "i", "after": {"id": 1}}', '{"op_type": "I"}', '{"op_type": "U", "before": {"id": 1}, "after": null}', '{"op_type": "D"}', '{"op_type": true}'], :goldengate),
('goldengate: with a schema around it', ARRAY['{"schema": {"type": "struct", "fields": []}, "payload": {"op_type": "I", "after": {"id": 1, "name": "Anne", "bio": "x"}}}',
    '{"schema": {"type": "struct", "fields": []}, "payload": {"op_type": "U", "before": {"id": 1}, "after": {"id": 2, "name": "Anne", "bio": "x"}}}', gg('U', '{"id": 2}', '{"id": 2, "bio": "y"}')], :goldengate);
INSERT INTO cases (what, messages, options, mapping, columns) VALUES
('maxwell: parts of the event', ARRAY[mw('insert', '{"id": 1, "name": "Anne", "x": 1}'), mw('update', '{"id": 2, "name": "Anna"}', '{"id": 1, "name": "Anne"}')], :maxwell,
    '{"op": "$op", "xid": "$source.xid", "db": "$source.database", "was": "$before.name", "event": "$source"}', 'id int PRIMARY KEY, op text, xid bigint, db text, was text, event jsonb'),
('goldengate: parts of the event', ARRAY[gg('I', NULL, '{"id": 1, "name": "Anne"}'), gg('U', '{"id": 1, "name": "Anne"}', '{"id": 1, "name": "Anna"}'), gg('U', '{"id": 1, "name": null, "name_isMissing": true}', '{"id": 1, "name": "Anna"}')], :goldengate,
    '{"op": "$op", "pos": "$source.pos", "was": "$before.name"}', 'id int PRIMARY KEY, name text, op text, pos text, was text DEFAULT ''unknown'''),
('goldengate: names in capitals', ARRAY[gg('I', NULL, '{"ID": 1, "UNIT_PRICE": 1.50, "NOTE": "x"}'), gg('U', NULL, '{"ID": 1, "UNIT_PRICE": null, "UNIT_PRICE_isMissing": true, "NOTE": null}'),
    gg('U', '{"ID": 1, "UNIT_PRICE": 1.50, "NOTE": null}', '{"ID": 2}')], '{"envelope": "goldengate", "match_names": "snake_case"}', NULL, 'id int PRIMARY KEY, unit_price numeric, note text'),
('goldengate: the same without regard to case', ARRAY[gg('I', NULL, '{"ID": 1, "Price": 1.50}'), gg('U', NULL, '{"ID": 1, "PRICE": null, "PRICE_isMissing": true}')],
    '{"envelope": "goldengate", "match_names": "ignore_case", "unknown_fields": "error"}', NULL, 'id int PRIMARY KEY, price numeric'),
('a key of two columns', ARRAY[mw('insert', '{"a": 1, "b": "x", "v": 1}'), mw('update', '{"a": 1, "b": "y", "v": 2}', '{"b": "x"}'), mw('update', '{"a": 2, "b": "y", "v": 3}', '{"a": 1, "v": 2}'), mw('update', '{"a": 2, "b": "y", "v": 4}', '{"v": 3}')], :maxwell, NULL,
    'a int, b text, v int, PRIMARY KEY (b, a)'),
('keys that are equal', ARRAY[mw('insert', '{"k": 1.0, "v": 1}'), mw('update', '{"k": 1.00, "v": 2}', '{"k": 1.0}'), mw('update', '{"k": 1.5, "v": 3}', '{"k": 1.000}')], :maxwell, NULL, 'k numeric PRIMARY KEY, v int'),
('another index', ARRAY[mw('insert', '{"id": 1, "u": 1}'), mw('insert', '{"id": 2, "u": 2}'), mw('update', '{"id": 3, "u": 2}', '{"id": 1, "u": 1}'), mw('update', '{"id": 3, "u": 1}', '{"id": 1}'), mw('insert', '{"id": 1, "u": 5}')], :maxwell, NULL,
    'id int PRIMARY KEY, u int UNIQUE'),
('a version', ARRAY[mw('insert', '{"id": 1, "v": 5}'), mw('update', '{"id": 1, "v": 4}', '{"v": 5}'), mw('update', '{"id": 2, "v": 6}', '{"id": 1, "v": 5}')], '{"envelope": "maxwell", "version_column": "v"}', NULL, 'id int PRIMARY KEY, v int'),
('a filter', ARRAY[mw('insert', '{"id": 1, "v": 5}'), mw('update', '{"id": 2, "v": 6}', '{"id": 1}'), mw('update', '{"id": 3, "v": -1}', '{"id": 2}')], '{"envelope": "maxwell", "filter": "v > 0"}', NULL, 'id int PRIMARY KEY, v int'),
('a column that the source lacks', ARRAY[mw('insert', '{"id": 1, "v": 5}'), mw('update', '{"id": 2, "v": 6}', '{"id": 1}')], :maxwell, '{"own": null}', 'id int PRIMARY KEY, v int, own int DEFAULT 7'),
('a key in a string', ARRAY[mw('insert', '{"doc": "{\"id\": 1}", "v": 1}'), mw('update', '{"doc": "{\"id\": 2}", "v": 1}', '{"doc": "{\"id\": 1}"}')], :maxwell, '{"id": "doc::json.id"}', 'id int PRIMARY KEY, v int'),
('an old row that is wrong where it is not needed', ARRAY[mw('insert', '{"id": 1, "doc": "{\"city\": \"A\"}"}'), mw('update', '{"id": 1, "doc": "{\"city\": \"B\"}"}', '{"doc": "no JSON"}'), mw('update', '{"id": 2, "name": "A", "doc": "{\"city\": \"C\"}"}', '{"id": 1, "doc": "{"}'),
    mw('update', '{"id": 3, "name": "A"}', '{"id": 2, "doc": "{"}'), '{"type": "update", "data": {"id": 2, "name": "B", "doc": "{\"city\": \"D\"}"}, "old": {"name": "a\u0000"}}', '{"type": "update", "data": {"id": 4, "name": "B", "doc": "{\"city\": \"D\"}"}, "old": {"id": 2, "name": "a\u0000"}}',
    '{"type": "update", "data": {"id": 5, "name": "B", "doc": "{\"city\": \"D\"}"}, "old": {"id": "4\u0000"}}', mw('update', '{"id": 5, "name": "B", "doc": "{"}', '{"doc": "{}"}')], :maxwell, '{"city": "doc::json.city"}', 'id int PRIMARY KEY, name text DEFAULT ''none'', city text'),
('a key in a string that is wrong', ARRAY[mw('insert', '{"doc": "{\"id\": 1}", "v": 1}'), mw('update', '{"doc": "{\"id\": 2}", "v": 1}', '{"doc": "{"}')], :maxwell, '{"id": "doc::json.id"}', 'id int PRIMARY KEY, v int'),
('an old row whose schema says otherwise', ARRAY[wrapped('I', NULL, '{"id": 1, "price": "AMg="}'), wrapped('U', '{"id": 1, "price": "?"}', '{"id": 1, "price": "ASw="}'), wrapped('U', '{"id": 1, "price": 5}', '{"id": 2, "price": "ASw="}'),
    wrapped('U', '{"id": 2, "price": "?"}', '{"id": 3}'), wrapped('U', '{"id": 2, "price": "AMg="}', '{"id": 4}'), wrapped('U', '{"id": 4, "price": "AMg="}', '{"id": 4, "price": "?"}')], :goldengate, NULL, 'id int PRIMARY KEY, price numeric'),
('goldengate: paths and fields that are unknown', ARRAY[gg('I', NULL, '{"id": 1, "id_isMissing": false, "doc": {"city": "A"}, "doc_isMissing": false}'), gg('U', NULL, '{"id": 1, "doc": null, "doc_isMissing": true}'),
    gg('U', NULL, '{"id": 1, "doc": {"city": "B"}, "x_isMissing": true}')], '{"envelope": "goldengate", "unknown_fields": "error"}', '{"city": "doc.city"}', 'id int PRIMARY KEY, city text'),
('the column of an error that is thrown', ARRAY[mw('insert', '{"id": 3, "j": 77}'), mw('update', '{"id": 2, "j": 1}', '{"id": 77}'), mw('insert', '{"id": 4, "j": 77}'), mw('delete', '{"id": 77}'), mw('update', '{"id": 5, "j": 77, "v": 1}', '{"id": 4}')], :maxwell, NULL,
    'id throwing PRIMARY KEY, j throwing, v int'),
('debezium: no new row', ARRAY['{"op": "c", "after": null}', '{"op": "u", "before": {"id": 1}}', '{"op": "r", "after": "x"}', '{"op": "c", "after": {}}', '{"op": "c", "after": {"name": "Anne"}}', '{"op": "d"}',
    '{"schema": null, "payload": {"op": "c", "after": null}}'], '{"envelope": "debezium"}', '{"op": "$op", "id": "$offset"}', 'id bigint PRIMARY KEY, name text, op text');
INSERT INTO cases (what, messages, options, mapping, mode, columns) VALUES
('goldengate: inserted, the rest', ARRAY[gg('I', NULL, '{"id": 1, "x": 1, "y": null, "y_isMissing": true}'), gg('U', '{"id": 1}', '{"id": 2, "x": 2}')], :goldengate, '{"rest": "$rest"}', 'insert', 'id int, rest jsonb');
INSERT INTO cases (what, messages, options, mode, columns) VALUES
('inserted, a changed key is a row', ARRAY[mw('insert', '{"id": 1, "v": 5}'), mw('update', '{"id": 2, "v": 5}', '{"id": 1}'), mw('delete', '{"id": 2, "v": 5}')], :maxwell, 'insert', 'id int, v int'),
('tombstones are errors, changed keys are none', ARRAY[mw('insert', '{"id": 1, "v": 5}'), mw('update', '{"id": 2, "v": 5}', '{"id": 1}')], '{"envelope": "maxwell", "tombstones": "error"}', 'upsert', 'id int PRIMARY KEY, v int');

--
-- by decode
--
SELECT n, m, operation, fields, error FROM cases, unnest(messages) WITH ORDINALITY AS t (message, m), stream_ingest.decode('json', convert_to(message, 'UTF8'), options => options) ORDER BY n, m;

--
-- by subscriptions
--
\copy (SELECT n || ' ' || message FROM cases, unnest(messages) WITH ORDINALITY AS t (message, m) ORDER BY n, m) TO PROGRAM 'while read -r n v; do printf "%s\n" "$v" | test/produce -t change_events -p "$n" >/dev/null; done' WITH (FORMAT csv, DELIMITER E'\x02', QUOTE E'\x01')
CREATE TABLE results (n int, size int, line int, words text);
CREATE PROCEDURE run(number int, size int) LANGUAGE plpgsql AS $$
DECLARE
    c cases := (SELECT c FROM cases c WHERE n = number);
    deadline timestamptz := clock_timestamp() + interval '30 s';
BEGIN
    EXECUTE format('CREATE TABLE target (%s)', c.columns);
    PERFORM stream_ingest.create_subscription('changes', 'si_kafka', 'change_events', 'target', mapping => c.mapping, insert_mode => c.mode,
        options => jsonb_build_object('partitions', c.n::text, 'breaker', 0, 'batch_size', size, 'batch_interval', CASE WHEN size > 1 THEN 50 ELSE 0 END) || c.options);
    COMMIT;
    WHILE (SELECT messages FROM stream_ingest.counts WHERE name = 'changes') < cardinality(c.messages) LOOP
        IF clock_timestamp() > deadline THEN
            RAISE WARNING 'waited in vain: %', (SELECT row(state, reason, last_error) FROM stream_ingest.status WHERE name = 'changes');
            EXIT;
        END IF;
        PERFORM pg_sleep(0.005);
        COMMIT;
    END LOOP;
    EXECUTE 'INSERT INTO results SELECT $1, $2, 1, _row::text FROM target _row' USING c.n, size;
    INSERT INTO results SELECT c.n, size, 2, format('messages %s applied %s ignored %s dead %s', messages, applied, ignored, dead_letters) FROM stream_ingest.counts WHERE name = 'changes';
    INSERT INTO results SELECT c.n, size, 3, concat_ws(' ', message_offset, sqlstate, error, detail, column_name) FROM stream_ingest.dead_letters WHERE name = 'changes';
    PERFORM stream_ingest.drop_subscription('changes');
    DROP TABLE target;
    COMMIT;
END $$;
SELECT format('CALL run(%s, %s)', n, size) FROM cases, (VALUES (1), (1000)) AS v (size) ORDER BY n, size \gexec
SELECT n || ': ' || what || E'\n    ' || string_agg(CASE line WHEN 3 THEN 'dead: ' ELSE '' END || words, E'\n    ' ORDER BY line, words) FROM cases JOIN results USING (n) WHERE size = 1 GROUP BY n, what ORDER BY n;
-- a single batch gives the same rows and dead letters
SELECT n, what, single.words, batch.words FROM (SELECT * FROM results WHERE size = 1 AND line <> 2) AS single FULL JOIN (SELECT * FROM results WHERE size > 1 AND line <> 2) AS batch USING (n, line, words) JOIN cases USING (n)
    WHERE single.words IS NULL OR batch.words IS NULL ORDER BY n;

--
-- what is shown, and dead letters tried again
--
\! test/mock_broker -c create change_events_again 1
SELECT mw('insert', '{"id": 1, "v": 1}') AS m1, mw('update', '{"id": 2, "v": -1}', '{"id": 1}') AS m2, mw('update', '{"id": 1, "v": 3}', '{"v": 1}') AS m3, mw('update', '{"id": 5, "v": 3}', '{"id": 1}') AS m4 \gset
\setenv M1 :m1
\setenv M2 :m2
\setenv M3 :m3
\setenv M4 :m4
\! printf '%s\n' "$M1" "$M2" "$M3" "$M4" | test/produce -t change_events_again -p 0 >/dev/null
CREATE TABLE again (id int PRIMARY KEY, v int CHECK (v > 0));
CREATE TABLE again_version (LIKE again INCLUDING ALL);
SELECT stream_ingest.create_subscription(t, 'si_kafka', 'change_events_again', t::regclass, insert_mode => 'upsert', enabled => false, options => '{"envelope": "maxwell"}' || o)
    FROM (VALUES ('again', jsonb '{}'), ('again_version', '{"version_column": "v"}')) AS v (t, o) \g /dev/null
SELECT message_offset, row_data, sqlstate, error FROM stream_ingest.preview('again') ORDER BY message_offset;
SELECT stream_ingest.enable(name) FROM stream_ingest.subscriptions \g /dev/null
CREATE PROCEDURE wait_for(bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        EXIT WHEN (SELECT bool_and(messages = $1) FROM stream_ingest.counts);
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
CALL wait_for(4);
SELECT * FROM again, again_version;
SELECT name, message_offset, sqlstate, error FROM stream_ingest.dead_letters ORDER BY 1, 2;
ALTER TABLE again DROP CONSTRAINT again_v_check;
ALTER TABLE again_version DROP CONSTRAINT again_v_check;
-- a retry must not delete what may be newer, so it does nothing of an update of a key
SELECT stream_ingest.retry_dead_letters('again'), stream_ingest.retry_dead_letters('again_version');
SELECT * FROM again, again_version;
SELECT name, message_offset, sqlstate, error FROM stream_ingest.dead_letters ORDER BY 1, 2;
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null

--
-- what is refused
--
\set VERBOSITY default
CREATE TABLE t (id int PRIMARY KEY, op text);
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', format => 'avro', options => '{"envelope": "maxwell", "schema": "\"int\""}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', options => '{"envelope": "goldengate", "missing_fields": "null"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', options => '{"envelope": "maxwell", "records": "$"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', mapping => '{"op": "$op"}', options => '{"envelope": "connect"}');
CREATE TABLE t_rest (id int PRIMARY KEY, tenant text, name text, name_ismissing bool, rest jsonb, UNIQUE (id, tenant));
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't_rest', insert_mode => 'upsert', mapping => '{"rest": "$rest"}', options => '{"envelope": "maxwell"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't_rest', insert_mode => 'upsert', mapping => '{"rest": "$rest"}', options => '{"envelope": "goldengate"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't_rest', insert_mode => 'upsert', mapping => '{"id": "$key.id"}', options => '{"envelope": "maxwell"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't_rest', insert_mode => 'upsert', mapping => '{"tenant": "$key"}', key_columns => '{id, tenant}', options => '{"envelope": "goldengate"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't_rest', insert_mode => 'upsert', options => '{"envelope": "maxwell", "deleted_field": "gone"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't_rest', insert_mode => 'insert', options => '{"envelope": "goldengate", "deleted_field": "gone"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't_rest', insert_mode => 'upsert', options => '{"envelope": "goldengate", "match_names": "ignore_case"}');
-- and what is not
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't_rest', insert_mode => 'insert', enabled => false, mapping => '{"id": "$key.id", "rest": "$rest"}', options => '{"envelope": "maxwell"}') \g /dev/null
SELECT stream_ingest.alter_subscription('x', insert_mode => 'upsert');
SELECT stream_ingest.alter_subscription('x', insert_mode => 'upsert', mapping => '{"tenant": "$key.tenant", "name_ismissing": null}', options => '{"envelope": "goldengate", "match_names": "ignore_case"}') \g /dev/null
SELECT stream_ingest.drop_subscription('x') \g /dev/null

SET client_min_messages = error;
DROP EXTENSION stream_ingest CASCADE;
DROP SCHEMA si_change_events CASCADE;
