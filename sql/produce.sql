CREATE EXTENSION stream_ingest;

--
-- produce(): arguments and errors.  What arrives is tested with a real broker.
--
\getenv bootstrap STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_produce FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'bootstrap');
CREATE FOREIGN DATA WRAPPER si_other_wrapper;
CREATE SERVER si_other FOREIGN DATA WRAPPER si_other_wrapper;
CREATE ROLE regress_si_producer;

SELECT provolatile, proparallel, proisstrict FROM pg_proc
WHERE oid = 'stream_ingest.produce(name,text,text,text,jsonb,integer)'::regprocedure;

-- what must be there
SELECT stream_ingest.produce(NULL, 'topic', 'value');
SELECT stream_ingest.produce('si_produce', NULL, 'value');
SELECT stream_ingest.produce('si_nowhere', 'topic', 'value');
SELECT stream_ingest.produce('si_other', 'topic', 'value');

-- a topic's name
SELECT stream_ingest.produce('si_produce', '', 'value');
SELECT stream_ingest.produce('si_produce', '..', 'value');
SELECT stream_ingest.produce('si_produce', 'a topic', 'value');
\set VERBOSITY terse
SELECT stream_ingest.produce('si_produce', repeat('t', 250), 'value');
\set VERBOSITY default

-- headers and partition
SELECT stream_ingest.produce('si_produce', 'topic', 'value', headers => '[1, 2]');
SELECT stream_ingest.produce('si_produce', 'topic', 'value', headers => '"text"');
SELECT stream_ingest.produce('si_produce', 'topic', 'value', headers => 'null');
SELECT stream_ingest.produce('si_produce', 'topic', 'value', partition => -1);

-- how large it may be
SELECT stream_ingest.produce('si_produce', 'topic', repeat('x', 100000000), 'k');

-- rights
SET ROLE regress_si_producer;
SELECT stream_ingest.produce('si_produce', 'topic', 'value');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER si_produce TO regress_si_producer;
SET ROLE regress_si_producer;
SELECT stream_ingest.produce('si_produce', 'topic', 'value');
RESET ROLE;

-- sent with the commit
SELECT stream_ingest.produce('si_produce', 'topic', 'value', 'key', '{"a": 1, "b": null}', 3);
SELECT stream_ingest.produce('si_produce', 'topic', NULL, 'key');
BEGIN READ ONLY;
SELECT stream_ingest.produce('si_produce', 'topic', 'value');
COMMIT;
BEGIN;
SELECT stream_ingest.produce('si_produce', 'topic', 'value');
PREPARE TRANSACTION 'si_produce';
BEGIN;
SAVEPOINT s;
SELECT stream_ingest.produce('si_produce', 'topic', 'value');
ROLLBACK TO s;
PREPARE TRANSACTION 'si_produce';
ROLLBACK PREPARED 'si_produce';

-- the topic has four partitions, and an error of the commit is one
CREATE TABLE si_produce_rows (id int);
BEGIN;
INSERT INTO si_produce_rows VALUES (1);
SELECT stream_ingest.produce('si_produce', 'topic', 'value', partition => 4);
\set VERBOSITY sqlstate
COMMIT;
\set VERBOSITY default
SELECT count(*) FROM si_produce_rows;

-- options of the server that concern it
ALTER SERVER si_produce OPTIONS (message_timeout_ms '10');
ALTER SERVER si_produce OPTIONS (delivery_timeout_ms '2000');
SELECT srvoptions[2] FROM pg_foreign_server WHERE srvname = 'si_produce';
SELECT stream_ingest.produce('si_produce', 'topic', 'value');

DROP TABLE si_produce_rows;
DROP EXTENSION stream_ingest CASCADE;
DROP FOREIGN DATA WRAPPER si_other_wrapper CASCADE;
DROP ROLE regress_si_producer;
