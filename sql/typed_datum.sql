--
-- Typed values are in their columns what the types' input functions make of
-- their texts, and documents are what jsonb_in() makes of them: at random,
-- whatever the settings that dates depend on.  The seed is in the log.
--
\getenv tests STREAM_INGEST_TESTS
\set library :tests '/typed_datum_test'
CREATE FUNCTION typed_datum_random(type regtype, n integer, seed bigint) RETURNS integer
AS :'library' LANGUAGE C STRICT;
CREATE FUNCTION jsonb_push_random(n integer, seed bigint) RETURNS integer
AS :'library' LANGUAGE C STRICT;

\set count 200000
\getenv count STREAM_INGEST_RANDOM_INPUTS
SELECT set_config('test.seed', (extract(epoch FROM clock_timestamp()) * 1000)::bigint::text, false) AS seed,
       set_config('test.count', :'count', false) AS count \gset
DO $$
DECLARE
    seed bigint = current_setting('test.seed');
    n integer = current_setting('test.count');
    styles text[] = '{"ISO, MDY","SQL, DMY","German","Postgres, YMD"}';
    zones text[] = '{UTC,Europe/Berlin,Asia/Kolkata,America/St_Johns}';
    type regtype;
    taken integer;
BEGIN
    RAISE LOG 'seed %', seed;
    FOREACH type IN ARRAY '{int2,int4,int8,float4,float8,numeric,date,time,timestamp,timestamptz}'::regtype[] LOOP
        FOR i IN 1 .. 4 LOOP
            PERFORM set_config('datestyle', styles[i], true), set_config('timezone', zones[i], true);
            taken = typed_datum_random(type, n / 4, seed + i);
            IF taken < n / 400 THEN
                RAISE EXCEPTION 'of % values only % were taken into type % (seed %)', n / 4, taken, type, seed;
            END IF;
        END LOOP;
    END LOOP;
    taken = jsonb_push_random(n / 4, seed);
    IF taken < n / 8 THEN
        RAISE EXCEPTION 'of % documents only % were taken (seed %)', n / 4, taken, seed;
    END IF;
END $$;
DROP FUNCTION typed_datum_random, jsonb_push_random;
