--
-- What is read without a type's input function is what that function gives.
--
\getenv tests STREAM_INGEST_TESTS
\set library :tests '/fast_input_test'
CREATE FUNCTION fast_input(type regtype, typmod integer, input text) RETURNS text
AS :'library' LANGUAGE C STRICT;
CREATE FUNCTION fast_input_random(type regtype, typmod integer, n integer, seed bigint) RETURNS integer
AS :'library' LANGUAGE C STRICT;

CREATE TABLE subject (type regtype, typmod integer, inputs text[]);
INSERT INTO subject VALUES
    ('int2', -1, '{0,-0,7,007,32767,-32768,32768,-32769,"",-,+1," 1",1.0,1e3,0x10,１}'),
    ('int4', -1, '{0,2147483647,-2147483648,2147483648,00000000000000000001,1_000}'),
    ('int8', -1, '{999999999999999999,-999999999999999999,9223372036854775807,-9223372036854775808,9223372036854775808}'),
    ('float4', -1, '{0,-0,0.1,16777216,16777217,-3.4,1.17549435,0.3333333,1e10,NaN,Infinity,1.,.5,00.5}'),
    ('float8', -1, '{0,-0.0,0.1,0.30000000000000004,9007199254740992,9007199254740993,123456.789,1e400,"1 ",-.1,.,""}'),
    ('numeric', -1, '{0,-0.00,1.10,000.10,0.000000000000000001,123456789012345678,1234567890123456789,-99.9900,1e2,NaN,1.,.1,-}'),
    ('numeric', (10 << 16 | 2) + 4, '{0,1,1.1,1.10,1.105,99999999.99,100000000,-99999999.9,0000000001.10}'),
    ('numeric', (5 << 16 | 5) + 4, '{0.12345,0,0.1,1}'),
    ('uuid', -1, '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11,'
                 '"{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",a0eebc999c0b4ef8bb6d6bb9bd380a11,a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g}'),
    ('macaddr', -1, '{08:00:2b:01:02:03,08:00:2B:01:02:03,08-00-2b-01-02-03,08002b:010203,08:00:2b:01:02:0g}'),
    ('inet', -1, '{0.0.0.0,255.255.255.255,192.168.0.1,192.168.0.1/24,256.1.1.1,01.2.3.4,1.2.3,1.2.3.4.,::1,"1.2.3.4 "}'),
    ('date', -1, '{2000-01-01,2024-02-29,2023-02-29,0001-01-01,0000-01-01,9999-12-31,2024-13-01,2024-04-31,2024-1-1,20240101,"2024-01-01 BC",infinity}'),
    ('time', -1, '{00:00:00,23:59:59.999999,24:00:00,12:30,12:30:60,01:02:03.,01:02:03.1234567,"01:02:03 PM"}'),
    ('timestamp', -1, '{2026-01-05T09:30:00,"2026-01-05 09:30:00.5",2026-01-05T09:30:00Z,2026-01-05T09:30:00+02,"2026-01-05 09:30","1582-10-10 00:00:00","2026-01-05  09:30:00"}'),
    ('timestamptz', -1, '{2026-01-05T09:30:00Z,"2026-01-05 09:30:00.123456+00",2026-01-05T09:30:00-03:30,2026-01-05T09:30:00,2026-03-29T02:30:00+01:00,'
                        '2026-01-05T09:30:00+14:59,2026-01-05T09:30:00+24,2026-01-05T09:30:00+2,2026-01-05T09:30:00+02:,"2026-01-05T09:30:00 Z",2026-01-05t09:30:00z,0001-01-01T00:00:00+14}'),
    ('varchar', 3 + 4, '{"",a,abc,"ab ",abcd,"ab  ",ä,äö}');

-- every edge
SELECT type, typmod, input, fast_input(type, typmod, input)
  FROM subject, unnest(inputs) WITH ORDINALITY AS i (input, n) ORDER BY type::text, typmod, n;

-- at random, whatever the settings that dates depend on; the seed is in the log
\set count 1000000
\getenv count STREAM_INGEST_RANDOM_INPUTS
SELECT set_config('test.seed', (extract(epoch FROM clock_timestamp()) * 1000)::bigint::text, false) AS seed,
       set_config('test.count', :'count', false) AS count \gset
DO $$
DECLARE
    seed bigint = current_setting('test.seed');
    n integer = current_setting('test.count');
    styles text[] = '{"ISO, MDY","SQL, DMY","German","Postgres, YMD"}';
    zones text[] = '{UTC,Europe/Berlin,Asia/Kolkata,America/St_Johns}';
    s record;
    taken integer;
BEGIN
    RAISE LOG 'seed %', seed;
    FOR s IN SELECT type, typmod, row_number() OVER () AS number FROM subject LOOP
        FOR i IN 1 .. 4 LOOP
            PERFORM set_config('datestyle', styles[i], true), set_config('timezone', zones[i], true);
            taken = fast_input_random(s.type, s.typmod, n / 4, seed + 4 * s.number + i);
            IF taken < n / 100 THEN
                RAISE EXCEPTION 'of % texts of type % only % were taken (seed %)', n / 4, s.type, taken, seed;
            END IF;
        END LOOP;
    END LOOP;
END
$$;

DROP TABLE subject;
DROP FUNCTION fast_input, fast_input_random;
