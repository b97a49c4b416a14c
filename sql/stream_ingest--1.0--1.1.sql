/* sql/stream_ingest--1.0--1.1.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION stream_ingest UPDATE TO '1.1'" to load this file. \quit

-- the schema may be one in which others could make functions and operators
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);

--
-- The schema belongs to the extension, as it does in a new installation
--

-- What others have put there can be a trap: it is named, not taken over.
DO $$
DECLARE
    foreign_objects text;
BEGIN
    SELECT string_agg(what, ', ' ORDER BY what) INTO foreign_objects FROM (
        SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d
         WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = 'stream_ingest'::regnamespace
           AND d.classid <> 'pg_extension'::regclass
           AND NOT EXISTS (
                SELECT FROM pg_depend m JOIN pg_extension e ON e.oid = m.refobjid
                 WHERE m.classid = d.classid AND m.objid = d.objid AND m.deptype = 'e'
                   AND m.refclassid = 'pg_extension'::regclass AND e.extname = 'stream_ingest')
        UNION ALL
        SELECT pg_describe_object('pg_trigger'::regclass, t.oid, 0)
          FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
         WHERE c.relnamespace = 'stream_ingest'::regnamespace AND NOT t.tgisinternal) o (what);
    IF foreign_objects IS NOT NULL THEN
        RAISE EXCEPTION 'schema "stream_ingest" has objects that do not belong to the extension: %', foreign_objects
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Find out who made them and why; then drop them or move them to another schema, and update again.';
    END IF;
END $$;

-- A schema that a role made before the extension came is the extension's
-- owner's from now on, and no other role makes anything in it.
DO $$
DECLARE
    extension_owner regrole;
    schema_owner regrole;
    entry record;
BEGIN
    SELECT e.extowner, n.nspowner INTO extension_owner, schema_owner
      FROM pg_extension e, pg_namespace n
     WHERE e.extname = 'stream_ingest' AND n.nspname = 'stream_ingest';
    IF schema_owner <> extension_owner THEN
        RAISE WARNING 'schema "stream_ingest" belonged to role %, and belongs to role % from now on',
            schema_owner, extension_owner;
        EXECUTE format('ALTER SCHEMA stream_ingest OWNER TO %s', extension_owner);
    END IF;
    FOR entry IN
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
          FROM pg_namespace n, aclexplode(n.nspacl) a
         WHERE n.nspname = 'stream_ingest' AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
    LOOP
        EXECUTE format('REVOKE CREATE ON SCHEMA stream_ingest FROM %s CASCADE', entry.grantee);
    END LOOP;
END $$;

-- A schema that holds the extension cannot belong to it; the extension's own
-- moves to where a new installation has it.
DELETE FROM pg_depend d USING pg_extension e
 WHERE d.classid = 'pg_extension'::regclass AND d.objid = e.oid AND e.extname = 'stream_ingest'
   AND d.refclassid = 'pg_namespace'::regclass AND d.refobjid = e.extnamespace AND d.deptype = 'n';
UPDATE pg_extension SET extnamespace = 'pg_catalog'::regnamespace WHERE extname = 'stream_ingest';
ALTER EXTENSION stream_ingest ADD SCHEMA stream_ingest;

--
-- Tables
--

-- Columns are added at the end, in the order of stream_ingest--1.1.sql:
-- sql/upgrade.sql compares what an update gives with a new installation.

-- Offsets published to Kafka are left for Kafka to forget.
DROP TABLE stream_ingest.former_group;

-- without a unique index, updates and deletes fail as soon as a publication has
-- all tables, and so would the updates below
ALTER TABLE stream_ingest.progress REPLICA IDENTITY FULL;
ALTER TABLE stream_ingest.count_changes REPLICA IDENTITY FULL;

--
-- Messages whose time timestamptz does not hold, or that are too large
--

ALTER TABLE stream_ingest.dead_letter ADD COLUMN reduced_from bigint;

-- version 1.0 stored such times as they came, and neither SELECT nor pg_dump
-- can print them
UPDATE stream_ingest.dead_letter SET message_timestamp = 'infinity'
 WHERE message_timestamp OPERATOR(pg_catalog.>) '294276-12-31 23:59:59.999999+00';
UPDATE stream_ingest.dead_letter SET message_timestamp = '-infinity'
 WHERE message_timestamp OPERATOR(pg_catalog.<) '4714-11-24 00:00:00+00 BC';
UPDATE stream_ingest.progress SET last_message_at = NULL
 WHERE last_message_at OPERATOR(pg_catalog.>) '294276-12-31 23:59:59.999999+00'
    OR last_message_at OPERATOR(pg_catalog.<) '4714-11-24 00:00:00+00 BC';

-- what may quote a payload is for those with the owner's privileges
CREATE OR REPLACE VIEW stream_ingest.dead_letters WITH (security_barrier) AS
SELECT d.id, s.name, d.topic, d.partition, d.message_offset,
       CASE WHEN pg_catalog.isfinite(d.message_timestamp) THEN d.message_timestamp END AS message_timestamp,
       CASE WHEN o.is_owner THEN d.key END AS key,
       CASE WHEN o.is_owner THEN d.value END AS value,
       CASE WHEN o.is_owner THEN stream_ingest.headers_json(d.header_names, d.header_values) END AS headers,
       d.sqlstate,
       CASE WHEN o.is_owner THEN d.error END AS error,
       CASE WHEN o.is_owner THEN d.detail END AS detail,
       d.column_name, d.constraint_name, d.attempts, d.failed_at
  FROM stream_ingest.dead_letter d
  JOIN stream_ingest.subscription s ON s.id OPERATOR(pg_catalog.=) d.subscription
 CROSS JOIN LATERAL (SELECT pg_catalog.pg_has_role(s.owner, 'USAGE') AS is_owner OFFSET 0) o
 WHERE stream_ingest.may_see(s.owner);
COMMENT ON COLUMN stream_ingest.subscriptions.format IS
'how messages are read: json, avro, protobuf, text, csv or raw';
COMMENT ON COLUMN stream_ingest.dead_letters.message_timestamp IS
'timestamp of the message, null where it has none or timestamptz does not reach it';
COMMENT ON COLUMN stream_ingest.dead_letters.value IS
'value of the message, null for a tombstone and of a message larger than max_message_bytes';

--
-- Stored options that are not valid are no error of the view subscriptions:
-- they are read in a subtransaction
--

ALTER FUNCTION stream_ingest.effective_options(jsonb) PARALLEL UNSAFE;
COMMENT ON FUNCTION stream_ingest.effective_options(jsonb) IS
'private: every option with the value that it has when these are set; null if they are not valid';

ALTER TABLE stream_ingest.progress ADD COLUMN first_offset bigint;

ALTER TABLE stream_ingest.dead_letter
  ADD COLUMN former_log bigint NOT NULL DEFAULT 0,
  DROP CONSTRAINT dead_letter_subscription_topic_partition_message_offset_key;
ALTER TABLE stream_ingest.dead_letter
  ADD CONSTRAINT dead_letter_place_key UNIQUE (subscription, topic, partition, message_offset, former_log);
-- those of topics that were left before
UPDATE stream_ingest.dead_letter d SET former_log = d.id
 WHERE NOT EXISTS (SELECT FROM stream_ingest.subscription s
                    WHERE s.id OPERATOR(pg_catalog.=) d.subscription AND s.topic OPERATOR(pg_catalog.=) d.topic);

CREATE UNLOGGED TABLE stream_ingest.crash_marker (
    subscription      integer PRIMARY KEY
);
COMMENT ON TABLE stream_ingest.crash_marker IS
'subscriptions that have been at work since the last crash; a crash empties it together with all other unlogged tables';
REVOKE ALL ON stream_ingest.crash_marker FROM PUBLIC;

COMMENT ON VIEW stream_ingest.gaps IS
'ranges of offsets that were passed over: the broker no longer had them, a forward seek left them out, or their rows were lost in a crash with an unlogged target';
-- Another server of the same name is not read from.
ALTER TABLE stream_ingest.subscription ADD COLUMN server_oid oid, ADD COLUMN added_columns integer NOT NULL DEFAULT 0;
UPDATE stream_ingest.subscription s SET server_oid = f.oid FROM pg_foreign_server f WHERE f.srvname = s.server;

-- A dump may be restored where its OIDs are those of others.
CREATE FUNCTION stream_ingest.subscription_restored()
RETURNS trigger
AS 'MODULE_PATHNAME', 'si_sql_subscription_restored'
LANGUAGE C;
COMMENT ON FUNCTION stream_ingest.subscription_restored() IS
'private: in another cluster, the owner is the role of the stored name';

CREATE TRIGGER subscription_restored BEFORE INSERT ON stream_ingest.subscription
  FOR EACH ROW EXECUTE FUNCTION stream_ingest.subscription_restored();
COMMENT ON TRIGGER subscription_restored ON stream_ingest.subscription IS
'in another cluster, the owner is the role of the stored name';

--
-- Comments on columns of the private tables
--

COMMENT ON COLUMN stream_ingest.subscription.target_name IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.pinned IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.epoch IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.stop_state IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.pending_position IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.first_partitions IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.run_since IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.adopt_log IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.id IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.name IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.owner IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.owner_name IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.server IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.topic IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.target IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.apply IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.format IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.fields IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.mapping IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.insert_mode IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.key_columns IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.options IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.enabled IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.stop_reason IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.stop_sqlstate IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.stopped_at IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.system_identifier IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.database IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.extension IS NULL;
COMMENT ON COLUMN stream_ingest.subscription.counts_since IS NULL;
COMMENT ON COLUMN stream_ingest.progress.stop_offset IS NULL;
COMMENT ON COLUMN stream_ingest.progress.skips IS NULL;
COMMENT ON COLUMN stream_ingest.progress.seek_position IS NULL;
COMMENT ON COLUMN stream_ingest.progress.subscription IS NULL;
COMMENT ON COLUMN stream_ingest.progress.partition IS NULL;
COMMENT ON COLUMN stream_ingest.progress.leader_epoch IS NULL;
COMMENT ON COLUMN stream_ingest.progress.epoch IS NULL;
COMMENT ON COLUMN stream_ingest.progress.next_offset IS NULL;
COMMENT ON COLUMN stream_ingest.progress.messages IS NULL;
COMMENT ON COLUMN stream_ingest.progress.bytes IS NULL;
COMMENT ON COLUMN stream_ingest.progress.batches IS NULL;
COMMENT ON COLUMN stream_ingest.progress.applied IS NULL;
COMMENT ON COLUMN stream_ingest.progress.inserted IS NULL;
COMMENT ON COLUMN stream_ingest.progress.updated IS NULL;
COMMENT ON COLUMN stream_ingest.progress.deleted IS NULL;
COMMENT ON COLUMN stream_ingest.progress.superseded IS NULL;
COMMENT ON COLUMN stream_ingest.progress.ignored IS NULL;
COMMENT ON COLUMN stream_ingest.progress.dead_letters IS NULL;
COMMENT ON COLUMN stream_ingest.progress.gap_messages IS NULL;
COMMENT ON COLUMN stream_ingest.progress.rejected IS NULL;
COMMENT ON COLUMN stream_ingest.progress.last_message_at IS NULL;
COMMENT ON COLUMN stream_ingest.progress.applied_at IS NULL;
COMMENT ON COLUMN stream_ingest.progress.topic IS NULL;
COMMENT ON COLUMN stream_ingest.progress.cluster_id IS NULL;
COMMENT ON COLUMN stream_ingest.progress.topic_id IS NULL;
COMMENT ON COLUMN stream_ingest.gap.id IS NULL;
COMMENT ON COLUMN stream_ingest.gap.subscription IS NULL;
COMMENT ON COLUMN stream_ingest.gap.topic IS NULL;
COMMENT ON COLUMN stream_ingest.gap.partition IS NULL;
COMMENT ON COLUMN stream_ingest.gap.from_offset IS NULL;
COMMENT ON COLUMN stream_ingest.gap.to_offset IS NULL;
COMMENT ON COLUMN stream_ingest.gap.reason IS NULL;
COMMENT ON COLUMN stream_ingest.gap.found_at IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.retry_at IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.id IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.subscription IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.topic IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.partition IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.message_offset IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.message_timestamp IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.key IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.value IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.header_names IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.header_values IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.sqlstate IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.error IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.detail IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.column_name IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.constraint_name IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.attempts IS NULL;
COMMENT ON COLUMN stream_ingest.dead_letter.failed_at IS NULL;
COMMENT ON COLUMN stream_ingest.count_changes.subscription IS NULL;
COMMENT ON COLUMN stream_ingest.count_changes.messages IS NULL;
COMMENT ON COLUMN stream_ingest.count_changes.bytes IS NULL;
COMMENT ON COLUMN stream_ingest.count_changes.batches IS NULL;
COMMENT ON COLUMN stream_ingest.count_changes.applied IS NULL;
COMMENT ON COLUMN stream_ingest.count_changes.inserted IS NULL;
COMMENT ON COLUMN stream_ingest.count_changes.updated IS NULL;
COMMENT ON COLUMN stream_ingest.count_changes.deleted IS NULL;
COMMENT ON COLUMN stream_ingest.count_changes.superseded IS NULL;
COMMENT ON COLUMN stream_ingest.count_changes.ignored IS NULL;
COMMENT ON COLUMN stream_ingest.count_changes.dead_letters IS NULL;
COMMENT ON COLUMN stream_ingest.count_changes.gap_messages IS NULL;

--
-- Views
--

CREATE FUNCTION stream_ingest.write_path(subscription integer, worker integer)
RETURNS text
AS 'MODULE_PATHNAME', 'si_sql_write_path'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION stream_ingest.write_path(integer, integer) IS
'private: how a worker writes rows; read the view status';

-- 1.0 took all columns of subscription, so that one more was one more here
CREATE OR REPLACE VIEW stream_ingest.status WITH (security_barrier) AS
SELECT s.id, s.name, w.worker, w.pid,
       CASE WHEN s.runs AND w.epoch OPERATOR(pg_catalog.<) s.epoch THEN 'starting'
            WHEN s.runs AND w.state IS NOT NULL THEN w.state
            WHEN s.enabled AND s.stop_state IS NOT NULL THEN s.stop_state
            ELSE b.state END AS state,
       CASE WHEN s.runs AND w.epoch OPERATOR(pg_catalog.<) s.epoch THEN 'the subscription was changed'
            WHEN s.runs AND w.state IS NOT NULL THEN w.reason
            WHEN s.enabled AND s.stop_state IS NOT NULL THEN s.stop_reason
            ELSE b.reason END AS reason,
       CASE WHEN s.runs AND w.state IS NOT NULL THEN w.since
            WHEN s.enabled AND s.stop_state IS NOT NULL THEN s.stopped_at
            ELSE b.since END AS since,
       w.partitions, w.messages_per_second, w.batch_messages, w.batch_ms,
       COALESCE(w.last_error, CASE WHEN s.stop_sqlstate IS NOT NULL THEN s.stop_reason END) AS last_error,
       COALESCE(w.last_error_sqlstate, s.stop_sqlstate) AS last_error_sqlstate,
       COALESCE(w.last_error_at, CASE WHEN s.stop_sqlstate IS NOT NULL THEN s.stopped_at END) AS last_error_at,
       w.retries,
       CASE WHEN s.runs THEN COALESCE(w.retry_at, b.retry_at) END AS retry_at,
       CASE WHEN w.messages_per_second OPERATOR(pg_catalog.>) 0 THEN
         pg_catalog.make_interval(secs => LEAST(1e9, w.lag::double precision
           OPERATOR(pg_catalog./) w.messages_per_second)) END AS catch_up_in,
       CASE WHEN w.pid IS NOT NULL THEN stream_ingest.write_path(w.subscription, w.worker) END AS write_path
  FROM (SELECT id, name, enabled, epoch, stop_state, stop_reason, stop_sqlstate, stopped_at,
               enabled AND stop_state IS NULL AS runs
          FROM stream_ingest.subscription
         WHERE stream_ingest.may_see(owner)) s
  LEFT JOIN stream_ingest.worker_slots() w ON w.subscription OPERATOR(pg_catalog.=) s.id
  -- null, and not asked for, where the worker or what is stored says it all
  LEFT JOIN LATERAL stream_ingest.subscription_slot(
      CASE WHEN s.enabled AND (s.stop_state IS NOT NULL OR w.state IS NOT NULL) THEN NULL ELSE s.id END,
      s.epoch, s.enabled) b ON true;
COMMENT ON COLUMN stream_ingest.status.write_path IS
'how rows are written: direct means as COPY does, statement by one SQL statement for each batch';

COMMENT ON FUNCTION stream_ingest.skip(name, integer, bigint) IS
'sends one message to the dead letters without decoding it, and continues';
COMMENT ON VIEW stream_ingest.dead_letters IS
'messages that could not be applied, kept whole: fix the cause, then retry_dead_letters or discard_dead_letters';

-- decode() also takes the server whose schema registry it asks, and headers
DROP FUNCTION stream_ingest.decode(text, bytea, bytea, jsonb);
CREATE FUNCTION stream_ingest.decode(
    format text, value bytea, key bytea DEFAULT NULL, options jsonb DEFAULT '{}',
    server name DEFAULT NULL, headers jsonb DEFAULT NULL)
RETURNS TABLE (operation text, fields jsonb, error text)
AS 'MODULE_PATHNAME', 'si_sql_decode'
LANGUAGE C VOLATILE ROWS 1 PARALLEL UNSAFE;
COMMENT ON FUNCTION stream_ingest.decode(text, bytea, bytea, jsonb, name, jsonb) IS
'what a message is to a subscription of this format: its operation and all its fields, or why it is bad';

-- peek() also takes a format and its options, infer_table() options
DROP FUNCTION stream_ingest.peek(name, text, integer, text);
CREATE FUNCTION stream_ingest.peek(
    server name, topic text, max_messages integer DEFAULT 10, "position" text DEFAULT 'latest',
    format text DEFAULT NULL, options jsonb DEFAULT '{}')
RETURNS TABLE (partition integer, message_offset bigint, message_timestamp timestamptz,
    key text, value text, headers jsonb)
AS 'MODULE_PATHNAME', 'si_sql_peek'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION stream_ingest.peek(name, text, integer, text, text, jsonb) IS
'messages of a topic, over all partitions: the newest, the earliest, or those from a timestamp on; decoded where a format is given; bytes that are no text appear in hex';

DROP FUNCTION stream_ingest.infer_table(name, text, text, text, integer);
CREATE FUNCTION stream_ingest.infer_table(
    server name, topic text, target text, format text DEFAULT 'json', max_messages integer DEFAULT 1000,
    options jsonb DEFAULT '{}')
RETURNS text
AS 'MODULE_PATHNAME', 'si_sql_infer_table'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION stream_ingest.infer_table(name, text, text, text, integer, jsonb) IS
'a CREATE TABLE that fits the topic''s newest messages, by their schema where they have one, to be reviewed, corrected and run';

--
-- Rights: last, so that nothing is missed that was made above
--

-- What ALTER DEFAULT PRIVILEGES granted on the tables is not meant for them: a
-- role that can write to them could enter a superuser as an owner, and one that
-- can add a trigger could have it run as a superuser.  Rights to read, as for
-- backups, stay.
DO $$
DECLARE
    entry record;
BEGIN
    FOR entry IN
        SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee,
               c.oid::regclass AS relation, a.privilege_type,
               CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
          FROM pg_class c, aclexplode(c.relacl) a
         WHERE c.relnamespace = 'stream_ingest'::regnamespace AND a.grantee <> c.relowner
           AND a.privilege_type <> 'SELECT'
    LOOP
        EXECUTE format('REVOKE %s ON %s %s FROM %s CASCADE', entry.privilege_type, entry.kind,
            entry.relation, entry.grantee);
    END LOOP;
END $$;
