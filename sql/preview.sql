CREATE EXTENSION stream_ingest;

--
-- What the next messages would become, and why not: preview.
--
\set VERBOSITY terse
\pset null '(null)'
\getenv bootstrap STREAM_INGEST_BOOTSTRAP
CREATE SERVER preview FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'bootstrap');

\! test/mock_broker -c create preview_bad 1
\! test/mock_broker -c create preview_empty 2
\! test/mock_broker -c create preview_keys 1
\! test/mock_broker -c create preview_three 3
\! test/mock_broker -c create preview_sent 1

--
-- each message's own error, and nothing changes
--
CREATE TABLE preview_other (id int PRIMARY KEY);
CREATE TABLE preview_target (
  id int PRIMARY KEY,
  qty int NOT NULL CHECK (qty > 0),
  code varchar(5),
  other int REFERENCES preview_other,
  late int REFERENCES preview_other DEFERRABLE INITIALLY DEFERRED,
  span int4range, EXCLUDE USING gist (span WITH &&),
  note text DEFAULT 'none');
INSERT INTO preview_other VALUES (1);
INSERT INTO preview_target VALUES (1, 1, 'there');
CREATE FUNCTION preview_raise() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM stream_ingest.produce('preview', 'preview_sent', NEW.id::text);
  NOTIFY preview_channel;
  IF NEW.note = 'bad' THEN
    RAISE EXCEPTION 'note of % is bad', NEW.id USING ERRCODE = 'P1234', DETAIL = 'There are good ones.';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER preview_raise AFTER INSERT ON preview_target FOR EACH ROW EXECUTE FUNCTION preview_raise();

\! printf '%s\n' '{"id": 10, "qty": 1}' '{"id": 11, "qty": 2' '{"id": "x", "qty": 2}' '{"id": 12, "qty": 2, "code": "longer"}' '{"id": 13}' '{"id": 14, "qty": 0}' '{"id": 1, "qty": 2}' '{"id": 15, "qty": 2, "other": 7}' '{"id": 16, "qty": 2, "span": "[1,5)"}' '{"id": 17, "qty": 2, "span": "[3,9)"}' '{"id": 18, "qty": 2, "note": "bad"}' '{"id": 19, "qty": 2, "late": 7}' '{"id": 20, "qty": 2, "note": "a\u0000b"}' '[1]' '{"ID": 21}' '{"id": 10, "qty": 3}' '{"id": 22, "qty": 4, "other": 1, "late": 1, "note": null}' | test/produce -t preview_bad >/dev/null
\! printf '\377\n' | test/produce -t preview_bad >/dev/null
SELECT stream_ingest.create_subscription('preview_bad', 'preview', 'preview_bad', 'preview_target', enabled => false);
LISTEN preview_channel;
SELECT message_offset AS n, row_data, sqlstate, error FROM stream_ingest.preview('preview_bad', 100);
SELECT * FROM preview_target;
SELECT count(*) FROM stream_ingest.dead_letters;
SELECT count(*) FROM stream_ingest.offsets WHERE next_offset IS NOT NULL;
SELECT count(*) FROM stream_ingest.peek('preview', 'preview_sent');
UNLISTEN preview_channel;

-- ten by default, and the same again
SELECT count(*), max(message_offset) FROM stream_ingest.preview('preview_bad');
SELECT count(*), count(error) FROM stream_ingest.preview(name => 'preview_bad', max_messages => 12);

-- where all are refused alike, each says why
CREATE TABLE preview_broken (id int CHECK (id < 0), qty int);
SELECT stream_ingest.create_subscription('preview_broken', 'preview', 'preview_three', 'preview_broken', enabled => false);
\! test/produce -t preview_three -r 3 -n 150 >/dev/null
SELECT partition, count(*), min(message_offset), max(message_offset), min(sqlstate), min(error)
  FROM stream_ingest.preview('preview_broken', 150) GROUP BY 1 ORDER BY 1;
-- over all partitions, evenly
SELECT partition, message_offset, row_data FROM stream_ingest.preview('preview_broken', 4);
SELECT count(*) FROM stream_ingest.preview('preview_broken', 2147483647);

-- from where "start" says
SELECT stream_ingest.alter_subscription('preview_broken', options => '{"start": {"1": 48, "0": "latest"}, "partitions": "0-1"}');
SELECT partition, message_offset FROM stream_ingest.preview('preview_broken');
SELECT stream_ingest.alter_subscription('preview_broken', options => '{"start": {"1": 5000}}');
SELECT partition, message_offset FROM stream_ingest.preview('preview_broken');
SELECT stream_ingest.alter_subscription('preview_broken', options => '{"start": "latest", "partitions": null}');
SELECT * FROM stream_ingest.preview('preview_broken');

--
-- upserts, deletes, what is ignored
--
CREATE TABLE preview_keyed (id int PRIMARY KEY, name text, version int DEFAULT 0, more text);
INSERT INTO preview_keyed VALUES (1, 'one', 5), (2, 'two', 5);
\! printf '%s\n' '{"id":1}={"id": 1, "name": "uno", "version": 6}' '{"id":2}={"id": 2, "name": "due", "version": 4}' '{"id":3}={"id": 3, "name": "tre"}' '{"id":1}=' '{"id":9}=' '{"id":4}={"id": 4, "name": "hidden"}' '{"id":5}={"name": "no key"}' '{"id":6}={"id": 6, "name": "sei"}' '{"id":6}={"id": 6, "more": "x"}' 'nothing=' | test/produce -t preview_keys -K = -Z >/dev/null
SELECT stream_ingest.create_subscription('preview_keys', 'preview', 'preview_keys', 'preview_keyed', insert_mode => 'upsert',
  options => '{"version_column": "version", "filter": "name IS DISTINCT FROM ''hidden''"}', enabled => false);
SELECT message_offset AS n, row_data, sqlstate, error FROM stream_ingest.preview('preview_keys', 100);
SELECT * FROM preview_keyed ORDER BY id;

-- all of them ignored, but the delete, which no filter sees
SELECT stream_ingest.alter_subscription('preview_keys', options => '{"filter": "false"}');
SELECT count(*), count(row_data) FROM stream_ingest.preview('preview_keys', 100) WHERE error IS NULL;

-- ignore mode: the second of a key
SELECT stream_ingest.alter_subscription('preview_keys', insert_mode => 'ignore', options => '{"version_column": null, "filter": null}');
SELECT message_offset AS n, row_data, sqlstate FROM stream_ingest.preview('preview_keys', 100);

--
-- apply: the rows of batch that the statement reads
--
SELECT stream_ingest.create_subscription('preview_apply', 'preview', 'preview_keys', fields => 'id int, name text, version int',
  apply => $$INSERT INTO preview_keyed (id, name) SELECT id, name FROM batch WHERE NOT _deleted;
    SELECT stream_ingest.produce('preview', 'preview_sent', _offset::text) FROM batch$$,
  options => '{"run_as_owner": true, "tombstones": "delete"}', enabled => false);
SELECT message_offset AS n, row_data, sqlstate, error FROM stream_ingest.preview('preview_apply', 100);
SELECT count(*) FROM stream_ingest.peek('preview', 'preview_sent');
SELECT * FROM preview_keyed ORDER BY id;
-- one that reads no column
SELECT stream_ingest.alter_subscription('preview_apply', apply => 'INSERT INTO preview_keyed SELECT count(*) FROM batch');
SELECT * FROM stream_ingest.preview('preview_apply', 2);

--
-- names that need quotes, many columns with defaults, and types that json does not have
--
\! test/mock_broker -c create preview_names 1
\! printf '%s\n' '{"a\"b": 1, "batch": "x", "c70": 7, "when": "2026-01-05T09:30:00+02:00", "b": "\\x0102", "n": 12345678901234567890.10, "l": [1, [2]]}' | test/produce -t preview_names >/dev/null
DO $do$ BEGIN
  EXECUTE (SELECT format('CREATE TABLE preview_names ("a""b" int DEFAULT 0, batch text DEFAULT current_user, %s, "when" timestamptz, b bytea, n numeric, l jsonb)',
    string_agg('c' || i || ' int DEFAULT ' || i, ', ')) FROM generate_series(1, 130) i);
END $do$;
SELECT stream_ingest.create_subscription('preview_names', 'preview', 'preview_names', 'preview_names', enabled => false);
SELECT row_data, error FROM stream_ingest.preview('preview_names');

--
-- in a transaction
--
-- the caller's pending triggers fire, and fire again at commit; the modes of the caller's constraints are unchanged
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO preview_target (id, qty, late) VALUES (2, 1, 7);
SAVEPOINT s;
SELECT count(*) FROM stream_ingest.preview('preview_bad', 1);
ROLLBACK TO s;
DELETE FROM preview_target WHERE id = 2;
SELECT count(*), count(error) FROM stream_ingest.preview('preview_bad', 100);
INSERT INTO preview_target (id, qty, late) VALUES (2, 1, 7);
INSERT INTO preview_other VALUES (7);
COMMIT;
SELECT id, late FROM preview_target ORDER BY id;

-- it sees what the transaction has done
SELECT sqlstate FROM stream_ingest.preview('preview_bad', 100) WHERE message_offset = 11;

-- a caller that catches errors continues
DO $$
BEGIN
  INSERT INTO preview_other VALUES (8);
  BEGIN
    PERFORM stream_ingest.preview('nothing');
  EXCEPTION WHEN undefined_object THEN
    RAISE NOTICE 'caught';
  END;
  PERFORM count(*) FROM stream_ingest.preview('preview_bad');
END $$;
SELECT count(*) FROM preview_other;

-- no locks are left
BEGIN;
SELECT count(*) FROM stream_ingest.preview('preview_bad', 100);
SELECT mode FROM pg_locks WHERE relation IN ('preview_target'::regclass, 'preview_other'::regclass) AND pid = pg_backend_pid();
COMMIT;

-- another snapshot, and none that may write
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*), count(error) FROM stream_ingest.preview('preview_bad', 100);
COMMIT;
BEGIN READ ONLY;
SELECT * FROM stream_ingest.preview('preview_bad');
COMMIT;

--
-- errors
--
SELECT * FROM stream_ingest.preview('nothing');
SELECT * FROM stream_ingest.preview(NULL);
SELECT * FROM stream_ingest.preview('preview_bad', 0);
SELECT * FROM stream_ingest.preview('preview_bad', NULL);
CREATE ROLE regress_preview_other;
SET ROLE regress_preview_other;
SELECT * FROM stream_ingest.preview('preview_bad');
RESET ROLE;

-- the plan cannot be made: that error, with its SQLSTATE
CREATE FUNCTION preview_error(name) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  hint text;
BEGIN
  PERFORM stream_ingest.preview($1);
  RETURN 'none';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
  RETURN concat_ws(' / ', SQLSTATE, SQLERRM, nullif(hint, ''));
END $$;
CREATE TABLE preview_gone (id int);
SELECT stream_ingest.create_subscription('preview_gone', 'preview', 'preview_empty', 'preview_gone', enabled => false);
SELECT * FROM stream_ingest.preview('preview_gone');
DROP TABLE preview_gone;
SELECT preview_error('preview_gone');
SELECT stream_ingest.alter_subscription('preview_bad', options => '{"filter": "note <> ''x''"}');
ALTER TABLE preview_target DROP COLUMN note;
SELECT preview_error('preview_bad');
CREATE ROLE regress_preview_owner LOGIN;
GRANT USAGE ON FOREIGN SERVER preview TO regress_preview_owner;
GRANT INSERT, SELECT ON preview_keyed TO regress_preview_owner;
SELECT stream_ingest.set_owner('preview_keys', 'regress_preview_owner');
SELECT preview_error('preview_keys');
REVOKE INSERT ON preview_keyed FROM regress_preview_owner;
SELECT preview_error('preview_keys');
GRANT INSERT ON preview_keyed TO regress_preview_owner;
REVOKE USAGE ON FOREIGN SERVER preview FROM regress_preview_owner;
SELECT preview_error('preview_keys');
\! test/mock_broker -c topicerr preview_nowhere 3
CREATE TABLE preview_nowhere (id int);
SELECT stream_ingest.create_subscription('preview_nowhere', 'preview', 'preview_nowhere', 'preview_nowhere', enabled => false);
SELECT preview_error('preview_nowhere');

-- a deadlock passes, up to a point; the sequence is not rolled back
CREATE TABLE preview_passing (id int);
CREATE SEQUENCE preview_tries;
CREATE FUNCTION preview_pass() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('public.preview_tries') <= 2 THEN
    RAISE 'deadlock with %', NEW.id USING ERRCODE = '40P01';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER preview_pass BEFORE INSERT ON preview_passing FOR EACH ROW EXECUTE FUNCTION preview_pass();
SELECT stream_ingest.create_subscription('preview_passing', 'preview', 'preview_three', 'preview_passing', enabled => false);
-- the trigger returns no row: ignored
SELECT * FROM stream_ingest.preview('preview_passing', 2);
ALTER SEQUENCE preview_tries MINVALUE -100;
SELECT setval('preview_tries', -50);
SELECT * FROM stream_ingest.preview('preview_passing', 2);
SELECT last_value FROM preview_tries;

-- a message that is to be skipped
CREATE TABLE preview_skip (id int);
SELECT stream_ingest.create_subscription('preview_skip', 'preview', 'preview_three', 'preview_skip');
SELECT stream_ingest.wait_until_caught_up('preview_skip');
SELECT stream_ingest.disable('preview_skip');
\! test/produce -t preview_three -p 2 -n 3 -i 1000 >/dev/null
SELECT * FROM stream_ingest.preview('preview_skip');
SELECT stream_ingest.skip('preview_skip', 2, 51);
SELECT * FROM stream_ingest.preview('preview_skip');

-- and a seek that is still to be carried out
SELECT stream_ingest.seek('preview_skip', 1, 49);
SELECT * FROM stream_ingest.preview('preview_skip');
SELECT stream_ingest.seek('preview_skip', 1, 4000);
SELECT * FROM stream_ingest.preview('preview_skip');

--
-- a trigger that previews what previews it
--
CREATE TABLE looking (id int);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stream_ingest.preview('looking');
    RETURN NEW;
END $$;
CREATE TRIGGER look BEFORE INSERT ON looking FOR EACH ROW EXECUTE FUNCTION look();
\! test/mock_broker -c create looking 1
\! printf '%s\n' '{"id": 1}' '{"id": 2}' | test/produce -t looking -p 0 >/dev/null
SELECT stream_ingest.create_subscription('looking', 'preview', 'looking', 'looking', enabled => false);
SELECT message_offset, sqlstate, error FROM stream_ingest.preview('looking');
SELECT stream_ingest.drop_subscription('looking');
DROP TABLE looking;
DROP FUNCTION look;

SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions ORDER BY name;
DROP TABLE preview_target, preview_other, preview_broken, preview_keyed, preview_nowhere, preview_skip, preview_names, preview_passing;
DROP FUNCTION preview_raise, preview_error, preview_pass;
DROP SEQUENCE preview_tries;
DROP OWNED BY regress_preview_owner;
DROP ROLE regress_preview_other, regress_preview_owner;
DROP EXTENSION stream_ingest CASCADE;
