CREATE EXTENSION stream_ingest;

--
-- Insert modes, tombstones and keys: what becomes of every message, and that
-- it is counted once.  On librdkafka's embedded broker, from the top directory
-- of the sources.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset null '~'
SET client_min_messages = warning;
CREATE SCHEMA si_modes;
SET search_path = si_modes;

-- the counts that are not 0, and what is always true of them
CREATE FUNCTION counts(subscription name) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ',
        CASE WHEN messages <> applied + ignored + dead_letters
            OR applied <> inserted + updated + deleted + superseded THEN 'COUNTS DO NOT ADD UP:' END,
        'messages=' || messages, 'inserted=' || nullif(inserted, 0), 'updated=' || nullif(updated, 0),
        'deleted=' || nullif(deleted, 0), 'superseded=' || nullif(superseded, 0),
        'ignored=' || nullif(ignored, 0), 'dead_letters=' || nullif(dead_letters, 0))
    FROM stream_ingest.counts WHERE name = subscription;
$$;

-- Subscribe a new table to a topic, wait until it has been read (in one batch),
-- and show what is left: rows, counts, dead letters.
CREATE PROCEDURE run(subscription name, topic text, mode text, columns text, options jsonb DEFAULT '{}',
    mapping jsonb DEFAULT NULL, key_columns name[] DEFAULT NULL, rows text DEFAULT NULL, format text DEFAULT 'json')
LANGUAGE plpgsql AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + interval '30 s';
    r text;
    expected bigint := (SELECT n FROM topics t WHERE t.topic = run.topic);
BEGIN
    EXECUTE pg_catalog.format('CREATE TABLE %I (%s)', subscription, columns);
    IF rows IS NOT NULL THEN
        EXECUTE pg_catalog.format('INSERT INTO %I VALUES %s', subscription, rows);
    END IF;
    PERFORM stream_ingest.create_subscription(subscription, 'si_kafka', topic, subscription::text::regclass,
        format => format, insert_mode => mode, mapping => mapping, key_columns => key_columns,
        options => '{"batch_interval": "300 ms"}' || options);
    COMMIT;
    WHILE (SELECT messages FROM stream_ingest.counts c WHERE c.name = subscription) < expected LOOP
        IF clock_timestamp() > deadline THEN
            RAISE NOTICE 'waited in vain: %', (SELECT row(state, reason, last_error) FROM stream_ingest.status s WHERE s.name = subscription);
            EXIT;
        END IF;
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
    FOR r IN EXECUTE pg_catalog.format('SELECT whole_row::text FROM %I whole_row ORDER BY whole_row::text COLLATE "C"', subscription) LOOP
        RAISE NOTICE '%', r;
    END LOOP;
    RAISE NOTICE '%', counts(subscription);
    FOR r IN SELECT concat_ws(' ', message_offset, sqlstate, error, column_name) FROM stream_ingest.dead_letters d
             WHERE d.name = subscription ORDER BY message_offset LOOP
        RAISE NOTICE 'dead: %', r;
    END LOOP;
    PERFORM stream_ingest.drop_subscription(subscription);
END $$;

CREATE TABLE topics (topic text PRIMARY KEY, n bigint);
\set VERBOSITY terse
SET client_min_messages = notice;

--
-- every mode with every use of tombstones
--
\! test/mock_broker -c create m_life 1
\! printf '%s\n' '1|{"id": 1, "v": "a"}' '2|{"id": 2, "v": "a"}' '1|{"id": 1, "v": "b"}' '2|' '9|' '2|{"id": 2, "v": "c"}' '3|{"id": 3, "v": "a"}' '3|' '4|{"id": 4, "v": "old"}' | test/produce -t m_life -p 0 -K '|' -Z >/dev/null
INSERT INTO topics VALUES ('m_life', 9);
-- a row is there before: 4
CALL run('u_auto', 'm_life', 'upsert', 'id int PRIMARY KEY, v text', rows => '(4, ''before'')');
CALL run('u_delete', 'm_life', 'upsert', 'id int PRIMARY KEY, v text', '{"tombstones": "delete"}', rows => '(4, ''before'')');
CALL run('u_ignore', 'm_life', 'upsert', 'id int PRIMARY KEY, v text', '{"tombstones": "ignore"}', rows => '(4, ''before'')');
CALL run('u_error', 'm_life', 'upsert', 'id int PRIMARY KEY, v text', '{"tombstones": "error"}', rows => '(4, ''before'')');
CALL run('g_auto', 'm_life', 'ignore', 'id int PRIMARY KEY, v text', rows => '(4, ''before'')');
CALL run('g_delete', 'm_life', 'ignore', 'id int PRIMARY KEY, v text', '{"tombstones": "delete"}', rows => '(4, ''before'')');
CALL run('g_ignore', 'm_life', 'ignore', 'id int PRIMARY KEY, v text', '{"tombstones": "ignore"}', rows => '(4, ''before'')');
CALL run('g_error', 'm_life', 'ignore', 'id int PRIMARY KEY, v text', '{"tombstones": "error"}', rows => '(4, ''before'')');
CALL run('i_auto', 'm_life', 'insert', 'id int PRIMARY KEY, v text', rows => '(4, ''before'')');
CALL run('i_delete', 'm_life', 'insert', 'id int PRIMARY KEY, v text', '{"tombstones": "delete"}', rows => '(4, ''before'')');
CALL run('i_ignore', 'm_life', 'insert', 'id int PRIMARY KEY, v text', '{"tombstones": "ignore"}', rows => '(4, ''before'')');
CALL run('i_error', 'm_life', 'insert', 'id int PRIMARY KEY, v text', '{"tombstones": "error"}', rows => '(4, ''before'')');
-- one message at a time: the same rows, other counts
CALL run('u_single', 'm_life', 'upsert', 'id int PRIMARY KEY, v text', '{"batch_size": 1}', rows => '(4, ''before'')');
CALL run('g_single', 'm_life', 'ignore', 'id int PRIMARY KEY, v text', '{"batch_size": 1, "tombstones": "delete"}', rows => '(4, ''before'')');
CALL run('i_single', 'm_life', 'insert', 'id int PRIMARY KEY, v text', '{"batch_size": 1, "tombstones": "delete"}', rows => '(4, ''before'')');

--
-- keys of tombstones
--
-- objects, with columns in any order and other members
\! test/mock_broker -c create m_objects 1
\! printf '%s\n' '{"b": "x", "a": 1, "c": 0};{"a": 1, "b": "x"}' '{"a": 2, "b": "x"};{"a": 2, "b": "x"}' '{"b": "x", "a": 1, "c": 0};' '{"a": 2};' '{"a": null, "b": "x"};' '2;' '"x";' '{"a": "no number", "b": "x"};' '{"a": 2' | sed 's/^{"a": 2$/{"a": 2;/' | test/produce -t m_objects -p 0 -K ';' -Z >/dev/null
\! printf '%s\n' '' | test/produce -t m_objects -p 0 -Z >/dev/null
INSERT INTO topics VALUES ('m_objects', 10);
CALL run('objects', 'm_objects', 'upsert', 'a int, b text, PRIMARY KEY (b, a)');
-- plain ones
\! test/mock_broker -c create m_plain 1
\! printf '%s\n' 'a b;{"k": "a b"}' 'b;{"k": "b"}' 'c;{"k": "c"}' '{"k": "d"};{"k": "d"}' '7;{"k": "7"}' 'a b;' '"b";' '{"k": "c"};' '{"K": "d"};' '7;' | test/produce -t m_plain -p 0 -K ';' -Z >/dev/null
INSERT INTO topics VALUES ('m_plain', 10);
CALL run('plain', 'm_plain', 'upsert', 'k text PRIMARY KEY');
-- a path into the key, the whole key, and a name of its own for the member
\! test/mock_broker -c create m_paths 1
\! printf '%s\n' '{"i": {"d": 1}, "k": 1};{"v": "a"}' '{"i": {"d": 2}, "k": 2};{"v": "b"}' '{"i": {"d": 1}, "k": 2};' | test/produce -t m_paths -p 0 -K ';' -Z >/dev/null
INSERT INTO topics VALUES ('m_paths', 3);
CALL run('paths', 'm_paths', 'upsert', 'id int PRIMARY KEY, v text', mapping => '{"id": "$key.i.d"}');
CALL run('whole_key', 'm_paths', 'upsert', 'id jsonb PRIMARY KEY, v text', mapping => '{"id": "$key"}');
CALL run('by_name', 'm_paths', 'upsert', 'k int PRIMARY KEY, v text', mapping => '{"k": "$key.k"}');
-- a field of the value that has another name than the column
\! test/mock_broker -c create m_renamed 1
\! printf '%s\n' '{"id": 1};{"nr": 1, "v": "a"}' '{"id": 2};{"nr": 2, "v": "b"}' '{"id": 2};' | test/produce -t m_renamed -p 0 -K ';' -Z >/dev/null
INSERT INTO topics VALUES ('m_renamed', 3);
CALL run('renamed', 'm_renamed', 'upsert', 'id int PRIMARY KEY, v text', mapping => '{"id": "nr"}');

-- in another encoding, and beside another format
\! test/mock_broker -c create m_latin 1
\! printf '%b\n' '{"k": "\0351"};{"k": "\0351"}' '\0350;{"k": "\0350"}' 'a;{"k": "a"}' '{"k": "\0351"};' '\0350;' | test/produce -t m_latin -p 0 -K ';' -Z >/dev/null
INSERT INTO topics VALUES ('m_latin', 5);
CALL run('latin', 'm_latin', 'upsert', 'k text PRIMARY KEY', '{"encoding": "LATIN1"}');
\! test/mock_broker -c create m_lines 1
\! printf '%s\n' '1;1,a' '2;2,"b, c"' '1;' '{"id": 3};3,d' '{"id": 3};' | test/produce -t m_lines -p 0 -K ';' -Z >/dev/null
INSERT INTO topics VALUES ('m_lines', 5);
CALL run('lines', 'm_lines', 'upsert', 'id int PRIMARY KEY, v text', format => 'csv');

--
-- partial records
--
\! test/mock_broker -c create m_partial 1
\! printf '%s\n' '{"id": 1, "a": 1}' '{"id": 1, "b": 2}' '{"id": 2, "a": 1, "b": 1, "c": 1}' '{"id": 2, "b": null}' '{"id": 2, "a": 9}' '{"id": 2, "a": 10}' '{"id": 3, "b": 5}' '{"id": 3, "a": 1, "b": 6, "c": 7}' '{"id": 0, "c": 3}' | test/produce -t m_partial -p 0 >/dev/null
INSERT INTO topics VALUES ('m_partial', 9);
CALL run('partial', 'm_partial', 'upsert', 'id int PRIMARY KEY, a int DEFAULT -1, b int, c int DEFAULT -3', rows => '(0, 5, 5, 5)');
CALL run('partial_null', 'm_partial', 'upsert', 'id int PRIMARY KEY, a int DEFAULT -1, b int, c int DEFAULT -3', '{"missing_fields": "null"}', rows => '(0, 5, 5, 5)');
CALL run('partial_error', 'm_partial', 'upsert', 'id int PRIMARY KEY, a int DEFAULT -1, b int, c int DEFAULT -3', '{"missing_fields": "error"}', rows => '(0, 5, 5, 5)');

-- where a row is there, it need not have what a new one must
CALL run('partial_not_null', 'm_partial', 'upsert', 'id int PRIMARY KEY, a int NOT NULL, b int, c int CHECK (c IS NOT NULL)', rows => '(0, 5, 5, 5), (1, 5, 5, 5)');

--
-- equality: of the type (of the index's collation: collations.sql)
--
\! test/mock_broker -c create m_equal 1
\! printf '%s\n' '{"k": 1.0, "t": "A"}' '{"k": 1.00, "t": "a"}' '{"k": 2, "t": "B"}' '{"k": 2.000, "t": "b"}' | test/produce -t m_equal -p 0 >/dev/null
INSERT INTO topics VALUES ('m_equal', 4);
CALL run('equal_numeric', 'm_equal', 'upsert', 'k numeric PRIMARY KEY, t text');
CALL run('equal_single', 'm_equal', 'upsert', 'k numeric PRIMARY KEY, t text', '{"batch_size": 1}');
CALL run('equal_exactly', 'm_equal', 'upsert', 't text PRIMARY KEY, k numeric');

--
-- NULLs in a key, as the index has it
--
\! test/mock_broker -c create m_nulls 1
\! printf '%s\n' '{"k": null, "v": 1}' '{"k": null, "v": 2}' '{"k": 1, "v": 3}' '{"v": 4}' | test/produce -t m_nulls -p 0 >/dev/null
\! printf '%s\n' '{"k": null};' '{"k": 1};' | test/produce -t m_nulls -p 0 -K ';' -Z >/dev/null
INSERT INTO topics VALUES ('m_nulls', 6);
CALL run('nulls_distinct', 'm_nulls', 'upsert', 'k int UNIQUE, v int', key_columns => '{k}');
CALL run('nulls_equal', 'm_nulls', 'upsert', 'k int UNIQUE NULLS NOT DISTINCT, v int', key_columns => '{k}');

--
-- versions
--
\! test/mock_broker -c create m_versions 1
\! printf '%s\n' '{"id": 1, "n": 5, "v": "a"}' '{"id": 1, "n": 4, "v": "late"}' '{"id": 1, "n": 5, "v": "same"}' '{"id": 2, "n": 9, "v": "late"}' '{"id": 3, "n": null, "v": "none"}' '{"id": 3, "n": 1, "v": "first"}' '{"id": 3, "n": null, "v": "none"}' '{"id": 3, "v": "lacks"}' '{"id": 4, "v": "lacks"}' | test/produce -t m_versions -p 0 >/dev/null
INSERT INTO topics VALUES ('m_versions', 9);
CALL run('versions', 'm_versions', 'upsert', 'id int PRIMARY KEY, n int, v text', '{"version_column": "n"}', rows => '(2, 10, ''newer''), (4, null, ''none'')');
CALL run('versions_single', 'm_versions', 'upsert', 'id int PRIMARY KEY, n int, v text', '{"version_column": "n", "batch_size": 1}', rows => '(2, 10, ''newer''), (4, null, ''none'')');

--
-- a bad last version of a key leaves the good one before it
--
\! test/mock_broker -c create m_bad 1
\! printf '%s\n' '{"id": 1, "v": 1}' '{"id": 1, "v": -1}' '{"id": 2, "v": -1}' '{"id": 2, "v": 2}' '{"id": 3, "v": 3}' '{"id": 3, "v": "x"}' '{"id": 4, "v": -4}' | test/produce -t m_bad -p 0 >/dev/null
INSERT INTO topics VALUES ('m_bad', 7);
CALL run('bad', 'm_bad', 'upsert', 'id int PRIMARY KEY, v int CHECK (v > 0)');

--
-- filters
--
\! test/mock_broker -c create m_filters 1
\! printf '%s\n' '1;{"id": 1, "v": 1}' '2;{"id": 2, "v": 20}' '1;{"id": 1, "v": 10}' '2;{"id": 2, "v": 2}' '3;{"id": 3, "v": null}' '4;{"id": 4, "v": 0}' '1;' | test/produce -t m_filters -p 0 -K ';' -Z >/dev/null
INSERT INTO topics VALUES ('m_filters', 7);
CALL run('filter_insert', 'm_filters', 'insert', 'id int, v int', '{"filter": "v >= 10"}');
CALL run('filter_ignore', 'm_filters', 'ignore', 'id int PRIMARY KEY, v int', '{"filter": "v < 20 -- a comment"}');
CALL run('filter_upsert', 'm_filters', 'upsert', 'id int PRIMARY KEY, v int', '{"filter": "v >= 2"}', rows => '(4, 4)');
CALL run('filter_fails', 'm_filters', 'upsert', 'id int PRIMARY KEY, v int', '{"filter": "10 / v >= 1"}');
-- columns that have the names which a batch gives to its own
\! test/mock_broker -c create m_own_names 1
\! printf '%s\n' '{"id": 1, "_row": 1}' '{"id": 2, "_row": 2}' '{"id": 3, "_row": 0}' '{"id": 1, "_absent_0": 7, "_row": 3}' | test/produce -t m_own_names -p 0 >/dev/null
INSERT INTO topics VALUES ('m_own_names', 4);
CREATE TABLE own_names_seen (id int PRIMARY KEY, _row int, _absent_0 int DEFAULT 5);
SELECT stream_ingest.create_subscription('own_names_seen', 'si_kafka', 'm_own_names', 'own_names_seen', insert_mode => 'upsert', options => '{"filter": "_row > 0"}', enabled => false);
SELECT message_offset, row_data, error FROM stream_ingest.preview('own_names_seen') ORDER BY message_offset;
SELECT stream_ingest.drop_subscription('own_names_seen');
CALL run('own_names', 'm_own_names', 'upsert', 'id int PRIMARY KEY, _row int, _absent_0 int DEFAULT 5', '{"filter": "_row > 0"}', rows => '(2, 1, 1)');

--
-- a table that is all key, other keys than the primary one, a partitioned table
--
CALL run('all_key', 'm_partial', 'upsert', 'id int PRIMARY KEY', rows => '(2)');
CALL run('other_key', 'm_partial', 'upsert', 'nr int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, a int, b int, UNIQUE (id)', key_columns => '{id}');
CALL run('ignore_one', 'm_equal', 'ignore', 'k numeric UNIQUE, t text UNIQUE', key_columns => '{k}', rows => '(7, ''B'')');

-- a key with a default that records lack: rows that are there count as updated
CALL run('all_key_partial', 'm_partial', 'upsert', 'id int, a int DEFAULT -1, PRIMARY KEY (id, a)', rows => '(0, -1), (1, 1), (3, -1)');

--
-- rows of tables that inherit from the target are none of its rows
--
CALL run('parent', 'm_life', 'upsert', 'id int PRIMARY KEY, v text', rows => '(4, ''before'');
    CREATE TABLE child () INHERITS (parent); INSERT INTO child SELECT 1 + i % 3, ''of child'' FROM generate_series(0, 5) i');
CALL run('parent_insert', 'm_life', 'insert', 'id int PRIMARY KEY, v text', '{"tombstones": "delete"}', rows => '(4, ''before'');
    CREATE TABLE child_insert () INHERITS (parent_insert); INSERT INTO child_insert VALUES (2, ''of child''), (9, ''of child'')');
CALL run('parent_partial', 'm_partial', 'upsert', 'id int PRIMARY KEY, a int, b int, c int', rows => '(0, 5, 5, 5);
    CREATE TABLE child_partial () INHERITS (parent_partial); INSERT INTO child_partial VALUES (0, 8, 8, 8), (1, 8, 8, 8), (1, 9, 9, 9), (3, 8, 8, 8)');
-- but where a trigger divides what is inserted among them
CALL run('routed', 'm_life', 'insert', 'id int PRIMARY KEY, v text', '{"tombstones": "delete"}', rows => '(5, ''before'');
    CREATE TABLE routed_child () INHERITS (routed);
    CREATE FUNCTION route() RETURNS trigger LANGUAGE plpgsql AS $r$ BEGIN INSERT INTO si_modes.routed_child VALUES (NEW.*); RETURN NULL; END $r$;
    CREATE TRIGGER route BEFORE INSERT ON routed FOR EACH ROW EXECUTE FUNCTION route()');
SELECT tableoid::regclass, count(*), string_agg(DISTINCT v, ' ') FROM parent GROUP BY 1 ORDER BY 1;
SELECT tableoid::regclass, * FROM parent_insert ORDER BY 1, 2;
SELECT tableoid::regclass, * FROM parent_partial ORDER BY 1, 2, 3;
-- through a view they are among its rows, and no more of them count than there are messages
CREATE VIEW parent_view AS SELECT * FROM parent;
SELECT stream_ingest.create_subscription('parent_view', 'si_kafka', 'm_life', 'parent_view', insert_mode => 'upsert', key_columns => '{id}', options => '{"batch_interval": "300 ms"}');
SELECT stream_ingest.wait_until_caught_up('parent_view', '30 s');
SELECT counts('parent_view');
SELECT tableoid::regclass, * FROM parent WHERE id < 5 ORDER BY 1, 2;
SELECT stream_ingest.drop_subscription('parent_view');

--
-- where another unique index has a say, a batch gives what its messages give
-- one by one, in their order: what is refused is refused, whatever comes later
--
\! test/mock_broker -c create m_second 1
\! printf '%s\n' '2|{"id": 2, "u": 1}' '1|{"id": 1, "u": 3}' '4|{"id": 4, "u": 3}' '1|{"id": 1, "u": 4}' '4|{"id": 4, "u": 3}' '2|' '5|{"id": 5, "u": 2}' '5|{"u": 5}' | test/produce -t m_second -p 0 -K '|' -Z >/dev/null
INSERT INTO topics VALUES ('m_second', 8);
CALL run('second_batch', 'm_second', 'upsert', 'id int PRIMARY KEY, u int UNIQUE', mapping => '{"id": "$key"}', rows => '(1, 1), (2, 2)');
CALL run('second_single', 'm_second', 'upsert', 'id int PRIMARY KEY, u int UNIQUE', '{"batch_size": 1}', '{"id": "$key"}', rows => '(1, 1), (2, 2)');
CALL run('second_partial', 'm_second', 'upsert', 'id int DEFAULT 0 PRIMARY KEY, u int UNIQUE', rows => '(0, 5), (1, 1), (2, 2)');
CALL run('second_insert', 'm_second', 'insert', 'id int, u int UNIQUE, UNIQUE (id)', '{"tombstones": "delete"}', key_columns => '{id}', rows => '(2, 2)');
-- an index that follows from the key changes nothing
CALL run('second_follows', 'm_second', 'upsert', 'id int PRIMARY KEY, u int, UNIQUE (u, id)', rows => '(1, 1), (2, 2)');

--
-- what is refused
--
\set VERBOSITY default
CREATE TABLE nokey (id int, v int);
CREATE TABLE keys (id int PRIMARY KEY, a int, b int, c int UNIQUE DEFERRABLE, d int GENERATED ALWAYS AS (a + 1) STORED UNIQUE, e int, f text);
CREATE UNIQUE INDEX keys_partial ON keys (a) WHERE b > 0;
CREATE UNIQUE INDEX keys_expression ON keys (b, lower(f));
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'nokey', insert_mode => 'upsert');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'nokey', options => '{"tombstones": "delete"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'keys', insert_mode => 'upsert', key_columns => '{a}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'keys', insert_mode => 'upsert', key_columns => '{b,f}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'keys', insert_mode => 'upsert', key_columns => '{c}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'keys', insert_mode => 'upsert', key_columns => '{d}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'keys', insert_mode => 'upsert', key_columns => '{e}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'keys', insert_mode => 'upsert', key_columns => '{id,id}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'keys', insert_mode => 'upsert', key_columns => '{nr}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'keys', insert_mode => 'upsert', mapping => '{"id": null}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'keys', insert_mode => 'merge');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'keys', key_columns => '{id}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'keys', options => '{"version_column": "a"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'keys', insert_mode => 'upsert', options => '{"version_column": "aa"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'keys', insert_mode => 'upsert', options => '{"version_column": "d"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'nokey', options => '{"filter": "v = "}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'nokey', options => '{"filter": "w = 1"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'nokey', options => '{"filter": "v"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'nokey', options => '{"filter": "true) OR (true"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'nokey', options => '{"filter": "true FROM pg_class"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'nokey', options => '{"filter": "true ORDER BY 1"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'nokey', options => '{"filter": "true; DROP TABLE nokey"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'nokey', options => '{"filter": "true, false"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'nokey', options => '{"filter": "true AS x"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'nokey', options => '{"filter": "count(*) > 1"}');

-- the functions in our statements do nothing elsewhere
SELECT stream_ingest.note_row(0, 1), stream_ingest.note_row(-1, 1), stream_ingest.note_row(99, 1), stream_ingest.note_row(NULL, 1),
    stream_ingest.row_lacks(0), stream_ingest.row_lacks(-5), stream_ingest.row_lacks(100000), stream_ingest.note_conflict(),
    stream_ingest.note_unchanged(), stream_ingest.note_written(), stream_ingest.batch_row();

SET client_min_messages = error;
DROP EXTENSION stream_ingest CASCADE;
DROP SCHEMA si_modes CASCADE;
