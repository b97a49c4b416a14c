--
-- Nothing public that psql or pgAdmin shows of the extension lacks a comment.
--
CREATE EXTENSION stream_ingest;

SELECT e.extname, obj_description(e.oid, 'pg_extension') AS comment FROM pg_extension e WHERE extname = 'stream_ingest';
SELECT nspname FROM pg_namespace WHERE nspname = 'stream_ingest' AND obj_description(oid, 'pg_namespace') IS NULL;
SELECT fdwname FROM pg_foreign_data_wrapper WHERE fdwname = 'stream_ingest' AND obj_description(oid, 'pg_foreign_data_wrapper') IS NULL;

SELECT oid::regprocedure AS function_without_comment
  FROM pg_proc WHERE pronamespace = 'stream_ingest'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL
 ORDER BY 1;
SELECT oid::regprocedure AS function_with_an_unnamed_argument
  FROM pg_proc WHERE pronamespace = 'stream_ingest'::regnamespace AND pronargs > 0
   AND (proargnames IS NULL OR '' = ANY (proargnames))
 ORDER BY 1;

-- views and tables (sequences belong to columns); columns of the public views only
SELECT oid::regclass AS relation_without_comment
  FROM pg_class WHERE relnamespace = 'stream_ingest'::regnamespace AND relkind IN ('r', 'v', 'm', 'p', 'f')
   AND obj_description(oid, 'pg_class') IS NULL
 ORDER BY 1;
SELECT c.oid::regclass AS relation, attname AS column_without_comment
  FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid
 WHERE relnamespace = 'stream_ingest'::regnamespace AND relkind IN ('r', 'v', 'm', 'p', 'f')
   AND attnum > 0 AND NOT attisdropped AND (col_description(c.oid, attnum) IS NULL) <> (relkind = 'r')
 ORDER BY 1, attnum;

-- none is empty or ends with a period
SELECT objoid::regclass, objsubid, description FROM pg_description
 WHERE classoid = 'pg_class'::regclass
   AND objoid IN (SELECT oid FROM pg_class WHERE relnamespace = 'stream_ingest'::regnamespace)
   AND (description = '' OR description LIKE '%.');

-- what everybody may look at, and call
SELECT relname FROM pg_class
 WHERE relnamespace = 'stream_ingest'::regnamespace AND relkind IN ('r', 'v')
   AND has_table_privilege('pg_database_owner', oid, 'SELECT') <> (relkind = 'v');

DROP EXTENSION stream_ingest;
