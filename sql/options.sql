CREATE EXTENSION stream_ingest;

--
-- A subscription's options: accepted forms, effective values, and the text of
-- each error.  The subscriptions are disabled; nothing connects to a broker.
--
\pset format unaligned
\pset tuples_only on

CREATE TABLE si_target (id int PRIMARY KEY, name text);
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers 'localhost:1');

-- What becomes of these options: the effective value of each, or the error.
CREATE FUNCTION try_options(options jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text;
    message text;
    detail text;
    hint text;
    outcome text;
BEGIN
    PERFORM stream_ingest.create_subscription('si_try', 'si_kafka', 'topic',
        target => 'si_target', options => try_options.options, enabled => false);
    SELECT string_agg(key || ' = ' || (s.settings -> key)::text, ', ' ORDER BY n)
        INTO outcome
        FROM stream_ingest.subscriptions s,
            jsonb_object_keys(try_options.options) WITH ORDINALITY AS k (key, n)
        WHERE s.name = 'si_try';
    PERFORM stream_ingest.drop_subscription('si_try');
    RETURN outcome;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    -- the list grows with every option
    hint := regexp_replace(hint, '(Valid options are: start, ).*(; and)', '\1...\2');
    RETURN state || ': ' || message
        || CASE WHEN detail <> '' THEN E'\n    detail: ' || detail ELSE '' END
        || CASE WHEN hint <> '' THEN E'\n    hint: ' || hint ELSE '' END;
END $$;

--
-- defaults
--
SELECT stream_ingest.create_subscription('si_defaults', 'si_kafka', 'topic',
    target => 'si_target', enabled => false);
SELECT options FROM stream_ingest.subscriptions WHERE name = 'si_defaults';
SELECT key || ' = ' || value FROM stream_ingest.subscriptions, jsonb_each(settings)
WHERE name = 'si_defaults' AND key IN ('start', 'partitions', 'workers', 'batch_size',
    'batch_bytes', 'batch_interval', 'synchronous_commit', 'on_error', 'on_gap',
    'missing_fields', 'unknown_fields')
ORDER BY key COLLATE "C";

--
-- numbers
--
SELECT try_options(o) FROM (VALUES
    (1, '{"batch_size": 1}'::jsonb),
    (2, '{"batch_size": 1000000}'),
    (3, '{"batch_size": "500"}'),
    (4, '{"workers": 1024}'),
    (5, '{"batch_size": null}')) AS t (n, o) ORDER BY n;
SELECT try_options(o) FROM (VALUES
    (1, '{"batch_size": 0}'::jsonb),
    (2, '{"batch_size": 1000001}'),
    (3, '{"batch_size": 10.5}'),
    (4, '{"batch_size": "many"}'),
    (5, '{"batch_size": "16MB"}'),
    (6, '{"batch_size": true}'),
    (7, '{"batch_size": [1]}'),
    (8, '{"batch_size": 12345678901234567890}'),
    (9, '{"workers": 0}'),
    (10, '{"workers": 1025}'),
    (11, '{"workers": -1}')) AS t (n, o) ORDER BY n;

SELECT try_options(o) FROM (VALUES
    (1, '{"breaker": 0}'::jsonb),
    (2, '{"fk_retries": 3}'),
    (3, '{"reject_limit": 10}'),
    (4, '{"reject_limit": "10"}'),
    (5, '{"reject_limit": "0.5%"}'),
    (6, '{"reject_limit": null}'),
    (7, '{"breaker": -1}'),
    (8, '{"fk_retries": 101}'),
    (9, '{"reject_limit": 0}'),
    (10, '{"reject_limit": "0%"}'),
    (11, '{"reject_limit": "101%"}'),
    (12, '{"reject_limit": "few"}')) AS t (n, o) ORDER BY n;

--
-- sizes
--
SELECT try_options(o) FROM (VALUES
    (1, '{"batch_bytes": "1kB"}'::jsonb),
    (2, '{"batch_bytes": "1GB"}'),
    (3, '{"batch_bytes": " 64 MB "}'),
    (4, '{"batch_bytes": 1048576}'),
    (5, '{"batch_bytes": "1500"}'),
    (6, '{"batch_bytes": 1500}')) AS t (n, o) ORDER BY n;
SELECT try_options(o) FROM (VALUES
    (1, '{"batch_bytes": 1023}'::jsonb),
    (2, '{"batch_bytes": "1025MB"}'),
    (3, '{"batch_bytes": "8GB"}'),
    (4, '{"batch_bytes": "16mb"}'),
    (5, '{"batch_bytes": "16 potatoes"}'),
    (6, '{"batch_bytes": ""}'),
    (7, '{"batch_bytes": {"MB": 16}}')) AS t (n, o) ORDER BY n;

--
-- durations
--
SELECT try_options(o) FROM (VALUES
    (1, '{"batch_interval": 0}'::jsonb),
    (2, '{"batch_interval": 250}'),
    (3, '{"batch_interval": "100 ms"}'),
    (4, '{"batch_interval": "1.5 s"}'),
    (5, '{"batch_interval": "00:00:30"}'),
    (6, '{"batch_interval": "PT2M"}'),
    (7, '{"batch_interval": "1 hour"}'),
    (8, '{"batch_interval": "10 us"}')) AS t (n, o) ORDER BY n;
SELECT try_options(o) FROM (VALUES
    (1, '{"batch_interval": -1}'::jsonb),
    (2, '{"batch_interval": 3600001}'),
    (3, '{"batch_interval": "-1 s"}'),
    (4, '{"batch_interval": "1 day"}'),
    (5, '{"batch_interval": "1 month"}'),
    (6, '{"batch_interval": "100"}'),
    (7, '{"batch_interval": "soon"}'),
    (8, '{"batch_interval": ""}'),
    (9, '{"batch_interval": 0.5}'),
    (10, '{"batch_interval": false}')) AS t (n, o) ORDER BY n;

--
-- words
--
SELECT try_options(o) FROM (VALUES
    (1, '{"synchronous_commit": "off"}'::jsonb),
    (2, '{"synchronous_commit": "local"}'),
    (3, '{"synchronous_commit": "ON"}'),
    (4, '{"synchronous_commit": "remote_write"}'),
    (5, '{"synchronous_commit": "remote_apply"}'),
    (6, '{"on_error": "dead_letter"}'),
    (7, '{"on_error": "ignore"}'),
    (8, '{"on_error": "stop"}'),
    (9, '{"on_gap": "stop"}'),
    (10, '{"on_gap": "continue"}'),
    (11, '{"missing_fields": "default", "unknown_fields": "ignore"}'),
    (12, '{"missing_fields": "null", "unknown_fields": "error"}'),
    (13, '{"missing_fields": "error"}')) AS t (n, o) ORDER BY n;
SELECT try_options(o) FROM (VALUES
    (1, '{"synchronous_commit": "maybe"}'::jsonb),
    (2, '{"synchronous_commit": true}'),
    (3, '{"on_error": "retry"}'),
    (4, '{"on_gap": ""}'),
    (5, '{"missing_fields": "ignore"}'),
    (6, '{"unknown_fields": 1}')) AS t (n, o) ORDER BY n;

SELECT try_options(o) FROM (VALUES
    (1, '{"epoch_unit": "milliseconds"}'::jsonb),
    (2, '{"epoch_unit": "hours"}'),
    (3, '{"encoding": "latin1"}'),
    (4, '{"encoding": "EBCDIC"}')) AS t (n, o) ORDER BY n;

--
-- start
--
SET TimeZone = 'Europe/Berlin';
SELECT try_options(o) FROM (VALUES
    (1, '{"start": "earliest"}'::jsonb),
    (2, '{"start": "Latest"}'),
    (3, '{"start": "2026-07-01 12:00:00+00"}'),
    (4, '{"start": "2026-07-01 12:00"}'),
    (5, '{"start": "2026-07-01T12:00:00.0015Z"}'),
    (6, '{"start": "1969-12-31 00:00:00+00"}'),
    (7, '{"start": {"0": 42, "1": "latest"}}'),
    (8, '{"start": {"10": "earliest", "9": 0, "2": "2026-01-01", "2147483647": 9223372036854775807}}')) AS t (n, o) ORDER BY n;
SELECT try_options(o) FROM (VALUES
    (1, '{"start": "earlest"}'::jsonb),
    (2, '{"start": "infinity"}'),
    (3, '{"start": "2026-13-01"}'),
    (4, '{"start": "2026-01-01 Nowhere/Land"}'),
    (5, '{"start": ""}'),
    (6, '{"start": 42}'),
    (7, '{"start": [1, 2]}'),
    (8, '{"start": {}}'),
    (9, '{"start": {"0": -1}}'),
    (10, '{"start": {"0": 1.5}}'),
    (11, '{"start": {"0": null}}'),
    (12, '{"start": {"0": "42"}}'),
    (13, '{"start": {"zero": 42}}'),
    (14, '{"start": {"-1": 42}}'),
    (15, '{"start": {"00": 42}}'),
    (16, '{"start": {"2147483648": 42}}')) AS t (n, o) ORDER BY n;

-- a time without a zone is this session's, and "now" is now
SELECT stream_ingest.create_subscription('si_start', 'si_kafka', 'topic',
    target => 'si_target', options => '{"start": "2026-07-01 12:00"}', enabled => false);
SELECT options FROM stream_ingest.subscriptions WHERE name = 'si_start';
SELECT stream_ingest.alter_subscription('si_start', options => '{"start": "now"}');
SELECT (options ->> 'start')::timestamptz - now() < '1 min' AND options ->> 'start' <> 'now'
FROM stream_ingest.subscriptions WHERE name = 'si_start';
SELECT stream_ingest.drop_subscription('si_start');
RESET TimeZone;

--
-- partitions
--
SELECT try_options(o) FROM (VALUES
    (1, '{"partitions": "0-7,12"}'::jsonb),
    (2, '{"partitions": " 12 , 0 - 7 "}'),
    (3, '{"partitions": "3"}'),
    (4, '{"partitions": 3}'),
    (5, '{"partitions": "5-5,0-2147483647"}'),
    (6, '{"partitions": "0-2147483647"}'),
    (7, '{"partitions": null}')) AS t (n, o) ORDER BY n;
SELECT try_options(o) FROM (VALUES
    (1, '{"partitions": ""}'::jsonb),
    (2, '{"partitions": "7-0"}'),
    (3, '{"partitions": "0-7,7"}'),
    (4, '{"partitions": "1,1"}'),
    (5, '{"partitions": "0-7,"}'),
    (6, '{"partitions": "-1"}'),
    (7, '{"partitions": -1}'),
    (8, '{"partitions": "0-"}'),
    (9, '{"partitions": "1 2"}'),
    (10, '{"partitions": "2147483648"}'),
    (11, '{"partitions": "all"}'),
    (12, '{"partitions": [0, 1]}')) AS t (n, o) ORDER BY n;

--
-- names
--
SELECT try_options(o) FROM (VALUES
    (1, '{"btach_size": 1}'::jsonb),
    (2, '{"BATCH_SIZE": 1}'),
    (3, '{"fetch_min_bytes": 1}'),
    (4, '{"btach_size": null}'),
    (5, '{"compression": "lz4"}'),
    (6, '{"": 1}'),
    (7, '{"format": "json"}'),
    (8, '{"mapping": {}}'),
    (9, '[]'),
    (10, '"batch_size"'),
    (11, '1')) AS t (n, o) ORDER BY n;

--
-- where a run ends
--
SELECT try_options(o) FROM (VALUES
    (1, '{"stop_at": "latest"}'::jsonb),
    (2, '{"stop_at": "Latest"}'),
    (3, '{"stop_at": {"0": 42, "1": 17}}'),
    (4, '{"stop_at": {"10": 0, "9": 9223372036854775807}}'),
    (5, '{"stop_at": {"7": 1}, "partitions": "0-7,12"}'),
    (6, '{"stop_at": null, "batch_size": 7}')) AS t (n, o) ORDER BY n;
SELECT try_options(o) FROM (VALUES
    (1, '{"stop_at": 42}'::jsonb),
    (2, '{"stop_at": "earliest"}'),
    (3, '{"stop_at": "2026-01-01"}'),
    (4, '{"stop_at": ""}'),
    (5, '{"stop_at": true}'),
    (6, '{"stop_at": [0, 1]}'),
    (7, '{"stop_at": {}}'),
    (8, '{"stop_at": {"0": -1}}'),
    (9, '{"stop_at": {"0": 1.5}}'),
    (10, '{"stop_at": {"0": "42"}}'),
    (11, '{"stop_at": {"0": 42, "1": "latest"}}'),
    (12, '{"stop_at": {"0": null}}'),
    (13, '{"stop_at": {"0": 9223372036854775808}}'),
    (14, '{"stop_at": {"zero": 1}}'),
    (15, '{"stop_at": {"-1": 1}}'),
    (16, '{"stop_at": {"00": 1}}'),
    (17, '{"stop_at": {"8": 1}, "partitions": "0-7,12"}'),
    (18, '{"stopat": "latest"}')) AS t (n, o) ORDER BY n;

--
-- properties of librdkafka
--
SELECT try_options(o) FROM (VALUES
    (1, '{"fetch.min.bytes": 1000}'::jsonb),
    (2, '{"fetch.min.bytes": "1000"}'),
    (3, '{"fetch.wait.max.ms": 100, "fetch.max.bytes": 1000000, "max.partition.fetch.bytes": 1048576}'),
    (4, '{"fetch.error.backoff.ms": 10, "queued.min.messages": 1000, "queued.max.messages.kbytes": 32768}'),
    (5, '{"isolation.level": "read_uncommitted", "client.rack": "eu-1a"}'),
    (6, '{"fetch.min.bytes": null}')) AS t (n, o) ORDER BY n;
SELECT try_options(o) FROM (VALUES
    (1, '{"fetch.min.byte": 1}'::jsonb),
    (2, '{"no.such.property": 1}'),
    (3, '{"no.such.property": null}'),
    (4, '{"fetch.min.bytes": "few"}'),
    (5, '{"fetch.min.bytes": 0}'),
    (6, '{"fetch.min.bytes": 1.5}'),
    (7, '{"fetch.min.bytes": [1]}'),
    (8, '{"fetch.wait.max.ms": 5001}'),
    (9, '{"fetch.max.bytes": 1000}'),
    (10, '{"queued.max.messages.kbytes": 2000000}'),
    (11, '{"queued.min.messages": 10000000}'),
    (12, '{"isolation.level": "dirty"}'),
    (13, '{"isolation.level": true}'),
    (14, '{"fetch.message.max.bytes": 1, "max.partition.fetch.bytes": 1}'),
    (15, '{"bootstrap.servers": "elsewhere:9092"}'),
    (16, '{"security.protocol": "plaintext"}'),
    (17, '{"sasl.password": "regress-secret"}'),
    (18, '{"ssl.ca.location": "/etc/passwd"}'),
    (19, '{"plugin.library.paths": "/tmp/evil.so"}'),
    (20, '{"sasl.kerberos.kinit.cmd": "touch /tmp/evil"}'),
    (21, '{"auto.offset.reset": "earliest"}'),
    (22, '{"group.id": "mine"}'),
    (23, '{"enable.auto.commit": true}'),
    (24, '{"debug": "all"}'),
    (25, '{"statistics.interval.ms": 1}')) AS t (n, o) ORDER BY n;

--
-- alter_subscription merges; null resets one, '{}' resets all
--
SELECT stream_ingest.alter_subscription('si_defaults',
    options => '{"batch_size": 5, "fetch.message.max.bytes": 4096, "workers": null}');
SELECT options FROM stream_ingest.subscriptions WHERE name = 'si_defaults';
SELECT stream_ingest.alter_subscription('si_defaults',
    options => '{"batch_interval": "1 s", "batch_size": null}');
SELECT options FROM stream_ingest.subscriptions WHERE name = 'si_defaults';
SELECT settings -> 'batch_size', settings -> 'batch_interval', settings -> 'max.partition.fetch.bytes'
FROM stream_ingest.subscriptions WHERE name = 'si_defaults';
SELECT stream_ingest.alter_subscription('si_defaults', options => NULL);
SELECT options FROM stream_ingest.subscriptions WHERE name = 'si_defaults';
-- a mistake changes nothing
SELECT stream_ingest.alter_subscription('si_defaults', options => '{"workers": 2, "batch_size": 0}');
SELECT stream_ingest.alter_subscription('si_defaults', options => '{"wokers": null}');
SELECT stream_ingest.alter_subscription('si_defaults',
    options => '{"fetch.message.max.bytes": 1, "max.partition.fetch.bytes": null}');
SELECT stream_ingest.alter_subscription('si_defaults', options => '[]');
SELECT options FROM stream_ingest.subscriptions WHERE name = 'si_defaults';
SELECT stream_ingest.alter_subscription('si_defaults', options => '{}');
SELECT options FROM stream_ingest.subscriptions WHERE name = 'si_defaults';

SELECT stream_ingest.drop_subscription('si_defaults');
DROP FUNCTION try_options;
DROP SERVER si_kafka;
DROP TABLE si_target;
DROP EXTENSION stream_ingest;
