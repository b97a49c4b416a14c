CREATE EXTENSION stream_ingest;

--
-- The option "unknown_fields" is "add_columns": what is refused when the subscription is
-- made.  t/279_add_columns.pl has columns added.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
SET client_min_messages = warning;
CREATE SCHEMA si_add;
SET search_path = si_add;
CREATE ROLE si_add_owner;
CREATE ROLE si_add_app LOGIN;
GRANT USAGE ON FOREIGN SERVER si_kafka TO si_add_app;
GRANT USAGE ON SCHEMA si_add TO si_add_owner, si_add_app;

-- a subscription that is made and goes again, or why it cannot be made
CREATE FUNCTION try(format text, target regclass, options jsonb, mapping jsonb DEFAULT NULL, apply text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text; detail text; hint text;
BEGIN
    PERFORM stream_ingest.create_subscription('add_columns', 'si_kafka', 'add_columns', target, format => format,
        options => options || '{"unknown_fields": "add_columns"}', mapping => mapping, apply => apply, enabled => false);
    PERFORM stream_ingest.drop_subscription('add_columns');
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS said = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ': ' || said, NULLIF(detail, ''), NULLIF(hint, ''));
END $$;

CREATE TABLE t (id bigint);
\set avro '''{"schema": {"type": "record", "name": "r", "fields": [{"name": "id", "type": "long"}]}}'''
\set proto '''{"schema": "syntax = \\"proto3\\"; message M { int64 id = 1; }"}'''

-- formats whose messages say the types of their fields, and others
SELECT try('avro', 't', :avro);
SELECT try('protobuf', 't', :proto);
SELECT try('json', 't', '{"envelope": "connect"}');
SELECT try('json', 't', '{"envelope": "debezium"}');
SELECT try('json', 't', '{}');
SELECT try('json', 't', '{"envelope": "maxwell"}');
SELECT try('json', 't', '{"envelope": "goldengate"}');
SELECT try('csv', 't', '{}');
SELECT try('raw', 't', '{}');
SELECT try('json', 't', '{"envelope": "connect", "encoding": "LATIN1"}');
SELECT try('json', 't', '{"records": "$"}');

-- what takes all that is left over, or some of it, is no obstacle
CREATE TABLE with_rest (id bigint, rest jsonb);
SELECT try('avro', 'with_rest', :avro, '{"rest": "$rest"}');

-- no target
SELECT try('avro', NULL, :avro || '{"run_as_owner": true}'::jsonb, NULL, 'SELECT 1 FROM batch');

-- targets that cannot have more columns
CREATE VIEW v AS SELECT * FROM t;
CREATE TABLE parent (id bigint) PARTITION BY LIST (id);
CREATE TABLE child PARTITION OF parent DEFAULT;
CREATE TYPE composite AS (id bigint);
CREATE TABLE typed OF composite;
SELECT try('avro', 'v', :avro);
SELECT try('avro', 'parent', :avro);
SELECT try('avro', 'child', :avro);
SELECT try('avro', 'typed', :avro);

-- the role that runs the batches must own the target
CREATE TABLE owned (id bigint);
ALTER TABLE owned OWNER TO si_add_owner;
GRANT INSERT ON t, owned TO si_add_app;
SELECT try('avro', 'owned', :avro);
SELECT try('avro', 'owned', :avro || '{"run_as_owner": true}'::jsonb);
SET ROLE si_add_app;
SELECT try('avro', 'owned', :avro);
RESET ROLE;
GRANT si_add_owner TO si_add_app;
SET ROLE si_add_app;
SELECT try('avro', 'owned', :avro);
RESET ROLE;

-- a subscription that is altered is checked like a new one
SELECT stream_ingest.create_subscription('add_columns', 'si_kafka', 'add_columns', 't', enabled => false);
SELECT stream_ingest.alter_subscription('add_columns', options => '{"unknown_fields": "add_columns"}');
SELECT stream_ingest.alter_subscription('add_columns', options => '{"unknown_fields": "add_column"}');
SELECT stream_ingest.drop_subscription('add_columns');

DROP SCHEMA si_add CASCADE;
REVOKE USAGE ON FOREIGN SERVER si_kafka FROM si_add_app;
DROP ROLE si_add_app, si_add_owner;
DROP EXTENSION stream_ingest CASCADE;
