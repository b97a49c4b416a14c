CREATE EXTENSION stream_ingest;

--
-- Statements of the user's own over a batch, on librdkafka's embedded broker,
-- from the top directory of the sources.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset null '~'
SET client_min_messages = warning;
CREATE ROLE regress_si_apply LOGIN;
CREATE SCHEMA si_apply AUTHORIZATION regress_si_apply;
-- where a subscription's statements look for names
ALTER ROLE regress_si_apply SET search_path = si_apply, public;
GRANT USAGE ON FOREIGN SERVER si_kafka TO regress_si_apply;
SET search_path = si_apply;
CREATE FUNCTION counts(subscription name) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', CASE WHEN messages <> applied + ignored + dead_letters THEN 'COUNTS DO NOT ADD UP:' END,
        'messages=' || messages, 'applied=' || applied, 'inserted=' || nullif(inserted, 0),
        'ignored=' || nullif(ignored, 0), 'dead_letters=' || nullif(dead_letters, 0))
    FROM stream_ingest.counts WHERE name = subscription;
$$;
CREATE TABLE secret (a int);
SET ROLE regress_si_apply;

\! test/mock_broker -c create a_posts 2
\! printf '%s\n' 'a;{"id": 1, "subreddit": "pg", "score": 3, "other": [1]}' 'b;{"id": 2, "subreddit": "kafka", "score": "4"}' 'a;{"id": 3, "subreddit": "pg"}' 'c;' | test/produce -t a_posts -p 0 -K ';' -Z -H source=test -H n=1 >/dev/null
\! printf '%s\n' 'z;{"id": 4, "subreddit": "pg", "score": null}' | test/produce -t a_posts -p 1 -K ';' >/dev/null

--
-- a counter, with two statements; the whole value; everything there is
--
CREATE TABLE subreddit_counts (subreddit text PRIMARY KEY, posts bigint, total numeric);
CREATE TABLE batches (n bigint);
SELECT stream_ingest.create_subscription('counter', 'si_kafka', 'a_posts', fields => 'subreddit text, score numeric(10,1), unread int',
    apply => $$
    INSERT INTO subreddit_counts AS c SELECT subreddit, count(*), sum(coalesce(score, 0)) FROM batch GROUP BY 1
        ON CONFLICT (subreddit) DO UPDATE SET posts = c.posts + excluded.posts, total = c.total + excluded.total;
    INSERT INTO batches SELECT count(*) FROM batch;$$, options => '{"batch_interval": "300 ms"}');
CREATE TABLE everything (value jsonb, topic text, partition int, "offset" bigint, recent boolean, key text, headers jsonb, deleted boolean);
SELECT stream_ingest.create_subscription('everything', 'si_kafka', 'a_posts', apply => $$
    INSERT INTO everything SELECT value, _topic, _partition, _offset, _timestamp > now() - interval '5 min',
        convert_from(_key, 'UTF8'), _headers, _deleted FROM batch$$, options => '{"tombstones": "delete"}');
SELECT stream_ingest.wait_until_caught_up('counter', '30 s');
SELECT stream_ingest.wait_until_caught_up('everything', '30 s');
SELECT * FROM subreddit_counts ORDER BY 1;
SELECT sum(n) FROM batches;
SELECT * FROM everything ORDER BY partition, "offset";
SELECT counts('counter'), counts('everything');
SELECT name, target, apply IS NOT NULL AS apply, fields FROM stream_ingest.subscriptions ORDER BY 1;

--
-- MERGE, a data-modifying CTE, a function, a mapping; tombstones as rows
--
CREATE TABLE posts (id int PRIMARY KEY, subreddit text, score int, seen int DEFAULT 1);
CREATE TABLE history (id int, what text);
CREATE FUNCTION remember(id int, what text) RETURNS void LANGUAGE sql AS 'INSERT INTO history VALUES ($1, $2)';
INSERT INTO posts VALUES (1, 'old', 0), (9, 'gone', 0);
SELECT stream_ingest.create_subscription('merge', 'si_kafka', 'a_posts', fields => 'id int, "Sub" text COLLATE "C", score int, k text',
    mapping => '{"Sub": "subreddit", "k": "$key"}', options => '{"tombstones": "delete"}', apply => $$
    MERGE INTO posts p USING (SELECT * FROM batch WHERE NOT _deleted) b ON p.id = b.id
        WHEN MATCHED THEN UPDATE SET subreddit = b."Sub", score = b.score, seen = p.seen + 1
        WHEN NOT MATCHED THEN INSERT (id, subreddit, score) VALUES (b.id, b."Sub", b.score);
    WITH gone AS (DELETE FROM posts p USING batch b WHERE b._deleted AND b.k = 'c' AND p.id = 9 RETURNING p.id)
        INSERT INTO history SELECT id, 'deleted' FROM gone;
    SELECT remember(id, 'seen') FROM batch WHERE id IS NOT NULL;
    UPDATE history SET what = upper(what) WHERE id IN (SELECT id FROM batch WHERE score > 3)$$);
SELECT stream_ingest.wait_until_caught_up('merge', '30 s');
SELECT * FROM posts ORDER BY 1;
SELECT * FROM history ORDER BY 1, 2;
SELECT counts('merge');

--
-- what no statement reads is not converted; what it reads is
--
\! test/mock_broker -c create a_broken 1
\! printf '%s\n' '{"id": 1, "n": "no number"}' '{"id": "x", "n": 2}' '{"n": 3}' '{"m": 4}' 'no JSON' | test/produce -t a_broken -p 0 >/dev/null
CREATE TABLE ids (id int);
SELECT stream_ingest.create_subscription('unread', 'si_kafka', 'a_broken', fields => 'id int, n int', apply => 'INSERT INTO ids SELECT id FROM batch');
SELECT stream_ingest.create_subscription('read', 'si_kafka', 'a_broken', fields => 'id int, n int', apply => 'INSERT INTO ids SELECT b.id FROM batch b WHERE b IS NOT NULL');
SELECT stream_ingest.create_subscription('joined', 'si_kafka', 'a_broken', fields => 'id int, n int', apply => 'INSERT INTO ids SELECT id FROM batch b JOIN posts p USING (id)');
SELECT stream_ingest.create_subscription('nothing', 'si_kafka', 'a_broken', fields => 'id int, n int', apply => 'INSERT INTO ids SELECT 100 + count(*) FROM batch', options => '{"batch_interval": "300 ms"}');
SELECT stream_ingest.wait_until_caught_up('unread', '30 s'), stream_ingest.wait_until_caught_up('read', '30 s'),
    stream_ingest.wait_until_caught_up('joined', '30 s'), stream_ingest.wait_until_caught_up('nothing', '30 s');
SELECT name, counts(name) FROM stream_ingest.subscriptions WHERE topic = 'a_broken' ORDER BY 1;
SELECT name, message_offset, sqlstate, error, column_name FROM stream_ingest.dead_letters ORDER BY 1, 2;
SELECT * FROM ids ORDER BY 1;

--
-- a statement that fails for one message of a batch: the others are applied
--
\! test/mock_broker -c create a_numbers 1
\! seq 0 99 | sed 's/.*/{"n": &}/' | test/produce -t a_numbers -p 0 >/dev/null
CREATE TABLE quotients (q numeric);
SELECT stream_ingest.create_subscription('divide', 'si_kafka', 'a_numbers', fields => 'n int', apply => 'INSERT INTO quotients SELECT 1000 / (n - 42) FROM batch');
SELECT stream_ingest.wait_until_caught_up('divide', '30 s');
SELECT count(*) FROM quotients;
SELECT counts('divide');
SELECT message_offset, sqlstate, error FROM stream_ingest.dead_letters WHERE name = 'divide';

--
-- plans follow what becomes of the tables
--
CREATE TABLE follows (n int);
SELECT stream_ingest.create_subscription('follow', 'si_kafka', 'a_numbers', fields => 'n int', apply => 'INSERT INTO follows (n) SELECT n FROM batch');
SELECT stream_ingest.wait_until_caught_up('follow', '30 s');
ALTER TABLE follows ADD m int DEFAULT 5;
ALTER TABLE follows ALTER n TYPE numeric;
\! printf '%s\n' '{"n": 1000}' | test/produce -t a_numbers -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('follow', '30 s');
SELECT count(*), max(n), min(m) FROM follows;

--
-- to a target and back
--
CREATE TABLE plain (n int PRIMARY KEY);
SELECT stream_ingest.alter_subscription('follow', target => 'plain', insert_mode => 'upsert');
SELECT target, apply, fields, insert_mode FROM stream_ingest.subscriptions WHERE name = 'follow';
SELECT counts('follow');
\! printf '%s\n' '{"n": 1}' '{"n": 1}' | test/produce -t a_numbers -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('follow', '30 s');
SELECT * FROM plain;
SELECT counts('follow');
SELECT stream_ingest.alter_subscription('follow', apply => 'SELECT 1', fields => 'n int');
SELECT target, apply, fields, insert_mode FROM stream_ingest.subscriptions WHERE name = 'follow';
SELECT counts('follow');
SELECT stream_ingest.alter_subscription('follow', apply => '');
SELECT stream_ingest.alter_subscription('follow', target => 'plain', apply => 'SELECT 1');

--
-- what is refused
--
CREATE FUNCTION try(apply text, fields text DEFAULT NULL, options jsonb DEFAULT '{}', mapping jsonb DEFAULT NULL, insert_mode text DEFAULT 'insert') RETURNS void LANGUAGE sql AS $$
    SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', apply => $1, fields => $2, options => $3, mapping => $4, insert_mode => $5, enabled => false);
$$;
\set SHOW_CONTEXT never
SELECT try('');
SELECT try('-- nothing');
SELECT try('INSERT INTO plain SELECT m FROM batch', 'n int');
SELECT try('INSERT INTO plain SELECT n FROM batsch', 'n int');
SELECT try('INSERT INTO plain SELEC n FROM batch', 'n int');
SELECT try('INSERT INTO plain SELECT $1 FROM batch', 'n int');
SELECT try('SELECT 1; CREATE TABLE x (a int)');
SELECT try('  TRUNCATE plain');
SELECT try('SELECT * INTO plain2 FROM batch');
SELECT try('SELECT 1; COMMIT');
SELECT try('CALL remember(1, ''a'')');
SELECT try('INSERT INTO secret SELECT n FROM batch', 'n int');
SELECT try('WITH x AS (INSERT INTO secret SELECT n FROM batch) SELECT 1', 'n int');
SELECT try('SELECT (SELECT count(*) FROM secret) FROM batch', 'n int');
SELECT try('SELECT pg_read_file(_topic) FROM batch', 'n int');
CREATE TEMP TABLE fleeting (n int);
SELECT try('INSERT INTO fleeting SELECT n FROM batch', 'n int');
SELECT try('INSERT INTO plain SELECT n FROM batch WHERE n IN (SELECT f.n FROM fleeting f)', 'n int');
DROP TABLE fleeting;
SELECT try('SELECT 1', 'n int, n text');
SELECT try('SELECT 1', 'n int, _offset text');
SELECT try('SELECT 1', 'n int PRIMARY KEY');
SELECT try('SELECT 1', 'n int, CHECK (n > 0)');
SELECT try('SELECT 1', 'n int, LIKE plain');
SELECT try('SELECT 1', 'n int) INHERITS (plain');
SELECT try('SELECT 1', 'n int); DROP TABLE plain; CREATE TABLE y (a int');
SELECT try('SELECT 1', 'n nothing');
SELECT try('SELECT 1', 'n int,, m int');
SELECT try('SELECT 1', 'n record');
SELECT try('SELECT 1', 'n int', '{"filter": "n > 1"}');
SELECT try('SELECT 1', 'n int', '{"version_column": "n"}');
SELECT try('SELECT 1', 'n int', '{}', '{"_topic": "a"}');
SELECT try('SELECT 1', 'n int', '{}', '{"m": "a"}');
SELECT try('SELECT 1', 'n int', '{}', '{"n": null}');
SELECT try('SELECT 1', 'n int', insert_mode => 'upsert');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'plain', 'SELECT 1');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 'plain', fields => 'a int');

-- never as superuser without being told so
RESET ROLE;
SELECT try('SELECT 1');
SELECT try('SELECT 1', options => '{"run_as_owner": true}');
SELECT name, settings->'run_as_owner' AS run_as_owner FROM stream_ingest.subscriptions WHERE name = 'x';

SET client_min_messages = error;
DROP EXTENSION stream_ingest CASCADE;
DROP SCHEMA si_apply CASCADE;
DROP ROLE regress_si_apply;
