CREATE EXTENSION stream_ingest;

--
-- Keys that are equal by the collation of their index.  Needs a server with
-- ICU.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
SET client_min_messages = warning;
CREATE SCHEMA si_collations;
SET search_path = si_collations;
CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE equal_anycase (t text COLLATE anycase PRIMARY KEY, k numeric);

\! test/mock_broker -c create c_equal 1
\! printf '%s\n' '{"k": 1.0, "t": "A"}' '{"k": 1.00, "t": "a"}' '{"k": 2, "t": "B"}' '{"k": 2.000, "t": "b"}' | test/produce -t c_equal -p 0 >/dev/null
SELECT stream_ingest.create_subscription('equal_anycase', 'si_kafka', 'c_equal', 'equal_anycase', insert_mode => 'upsert', options => '{"batch_interval": "300 ms"}');
SELECT stream_ingest.wait_until_caught_up('equal_anycase', '30 s');
SELECT * FROM equal_anycase ORDER BY k;
SELECT messages, inserted, updated, superseded FROM stream_ingest.counts;

SELECT stream_ingest.drop_subscription('equal_anycase');
DROP EXTENSION stream_ingest CASCADE;
DROP SCHEMA si_collations CASCADE;
