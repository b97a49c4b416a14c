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
-- owner's from now on, and nobody else makes anything in it or writes to the
-- tables.  Rights to read, as for backups, stay.
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

-- Another server of the same name is not read from.
ALTER TABLE stream_ingest.subscription ADD COLUMN server_oid oid;
COMMENT ON COLUMN stream_ingest.subscription.server_oid IS
'the foreign server that had this name when it was accepted: another one of the name is not read from';
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
-- Views
--

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
       CASE WHEN w.pid IS NOT NULL THEN 'statement' END AS write_path
  FROM (SELECT id, name, enabled, epoch, stop_state, stop_reason, stop_sqlstate, stopped_at,
               enabled AND stop_state IS NULL AS runs
          FROM stream_ingest.subscription
         WHERE stream_ingest.may_see(owner)) s
  LEFT JOIN stream_ingest.worker_slots() w ON w.subscription OPERATOR(pg_catalog.=) s.id
  -- null, and not asked for, where the worker or what is stored says it all
  LEFT JOIN LATERAL stream_ingest.subscription_slot(
      CASE WHEN s.enabled AND (s.stop_state IS NOT NULL OR w.state IS NOT NULL) THEN NULL ELSE s.id END,
      s.epoch, s.enabled) b ON true;
