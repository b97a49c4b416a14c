--
-- An update from each earlier version gives what a new installation gives.
--
-- What the extension consists of, by name: relations with columns, defaults,
-- constraints, indexes, storage options and rights; functions; comments.
CREATE FUNCTION contents() RETURNS SETOF text LANGUAGE sql AS $$
    WITH member AS (
        SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e
               ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
         WHERE e.extname = 'stream_ingest'),
    relation AS (
        SELECT c.* FROM pg_class c WHERE c.relnamespace = to_regnamespace('stream_ingest'))
    SELECT 'member ' || pg_describe_object(classid, objid, 0) FROM member
    UNION ALL
    SELECT format('extension in %s, owned by %s', extnamespace::regnamespace, extowner::regrole)
      FROM pg_extension WHERE extname = 'stream_ingest'
    UNION ALL
    SELECT 'the extension needs ' || pg_describe_object(refclassid, refobjid, 0) FROM pg_depend d, pg_extension e
     WHERE classid = 'pg_extension'::regclass AND objid = e.oid AND extname = 'stream_ingest'
    UNION ALL
    SELECT format('initial rights of %s: %s', pg_describe_object(p.classoid, p.objoid, 0), p.initprivs)
      FROM pg_init_privs p JOIN member ON classoid = classid AND objoid = objid
    UNION ALL
    SELECT format('relation %s %s %s %s %s', oid::regclass, relkind, reloptions, relreplident, relacl::text) FROM relation
    UNION ALL
    SELECT format('column %s %s %s %s %s %s %s', c.oid::regclass, attnum, attname, format_type(atttypid, atttypmod),
                  attnotnull, attidentity, pg_get_expr(adbin, adrelid))
      FROM relation c JOIN pg_attribute a ON attrelid = c.oid LEFT JOIN pg_attrdef ON adrelid = c.oid AND adnum = attnum
     WHERE attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'index ' || pg_get_indexdef(oid) FROM relation WHERE relkind = 'i'
    UNION ALL
    SELECT format('constraint %s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
     WHERE connamespace = to_regnamespace('stream_ingest')
    UNION ALL
    SELECT format('trigger %s', pg_get_triggerdef(t.oid)) FROM pg_trigger t JOIN relation c ON tgrelid = c.oid
    UNION ALL
    SELECT format('view %s %s', oid::regclass, pg_get_viewdef(oid)) FROM relation WHERE relkind = 'v'
    UNION ALL
    SELECT format('function %s %s %s', pg_get_functiondef(oid), proacl, proowner::regrole) FROM pg_proc
     WHERE pronamespace = to_regnamespace('stream_ingest')
    UNION ALL
    SELECT format('comment %s: %s', pg_describe_object(d.classoid, d.objoid, d.objsubid), description)
      FROM pg_description d JOIN member ON classoid = classid AND objoid = objid
    UNION ALL
    SELECT format('dumped %s: %s', c.config::regclass, c.condition)
      FROM pg_extension e, unnest(extconfig, extcondition) AS c (config, condition) WHERE extname = 'stream_ingest'
    UNION ALL
    SELECT format('rights %s', nspacl) FROM pg_namespace WHERE nspname = 'stream_ingest'
$$;

CREATE EXTENSION stream_ingest;
CREATE TABLE new_installation AS SELECT contents() AS what;
DROP EXTENSION stream_ingest;

CREATE EXTENSION stream_ingest VERSION '1.0';
ALTER EXTENSION stream_ingest UPDATE;
SELECT extversion FROM pg_extension WHERE extname = 'stream_ingest';
CREATE TABLE updated AS SELECT contents() AS what;

SELECT count(*) > 400 AS "the comparison sees what there is" FROM new_installation;
(SELECT 'only in a new installation' AS "where", what FROM new_installation EXCEPT ALL SELECT 'only in a new installation', what FROM updated)
UNION ALL
(SELECT 'only after the update', what FROM updated EXCEPT ALL SELECT 'only after the update', what FROM new_installation)
ORDER BY 1, 2;

DROP EXTENSION stream_ingest;
DROP TABLE new_installation, updated;
DROP FUNCTION contents;
