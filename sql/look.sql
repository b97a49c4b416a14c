CREATE EXTENSION stream_ingest;

--
-- Looking before one leaps: topics, peek, infer_table.
--
\set VERBOSITY terse
\getenv bootstrap STREAM_INGEST_BOOTSTRAP
CREATE SERVER look FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'bootstrap');

\! test/mock_broker -c create look_a 3
\! test/mock_broker -c create look_empty 2
\! test/mock_broker -c create look_values 1

SELECT * FROM stream_ingest.topics('look') WHERE topic LIKE 'look%';

--
-- peek
--
\! printf '{"n": 1}\n{"n": 2}\n{"n": 3}\n' | test/produce -t look_a -p 0 >/dev/null
\! printf '{"n": 4}\n' | test/produce -t look_a -p 2 >/dev/null
\! printf '{"n": 5}\n{"n": 6}\n' | test/produce -t look_a -p 1 >/dev/null

SELECT partition, message_offset, value FROM stream_ingest.peek('look', 'look_a');
SELECT partition, message_offset, value FROM stream_ingest.peek('look', 'look_a', 3);
SELECT partition, message_offset, value FROM stream_ingest.peek('look', 'look_a', 1, 'latest');
SELECT partition, message_offset, value FROM stream_ingest.peek('look', 'look_a', 2, 'earliest');
SELECT partition, message_offset, value FROM stream_ingest.peek('look', 'look_a', 100, 'earliest');
SELECT count(*) FROM stream_ingest.peek('look', 'look_empty');
-- its arguments by name, and the time is the message's
SELECT count(*), bool_and(message_timestamp BETWEEN now() - interval '1 hour' AND now() + interval '1 minute') AS fresh
  FROM stream_ingest.peek(server => 'look', topic => 'look_a', max_messages => 6, "position" => 'earliest');

-- windows: more messages than the first one takes, unevenly spread
\! test/produce -t look_windows -p 0 -n 1 >/dev/null
\! test/produce -t look_windows -p 3 -n 500 -i 100 -s 40 >/dev/null
SELECT partition, count(*), min(message_offset), max(message_offset)
  FROM stream_ingest.peek('look', 'look_windows', 200) GROUP BY 1;
SELECT partition, count(*), min(message_offset), max(message_offset)
  FROM stream_ingest.peek('look', 'look_windows', 200, 'earliest') GROUP BY 1 ORDER BY 1;
SELECT partition, count(*), min(message_offset), max(message_offset)
  FROM stream_ingest.peek('look', 'look_windows', 1000) GROUP BY 1 ORDER BY 1;

-- bytes that are no text, nulls, and headers
\! printf 'k1=v1\nk2=\n\303\050=\377\000\376\n=empty key\n' | test/produce -t look_values -K = -Z -H 'a=1' -H 'b=x"y' -H 'a=2' >/dev/null
SELECT message_offset, key, value, headers FROM stream_ingest.peek('look', 'look_values');

-- errors
SELECT * FROM stream_ingest.peek('nowhere', 'look_a');
SELECT * FROM stream_ingest.peek(NULL, 'look_a');
SELECT * FROM stream_ingest.peek('look', NULL);
SELECT * FROM stream_ingest.peek('look', '');
SELECT * FROM stream_ingest.peek('look', 'no spaces');
SELECT * FROM stream_ingest.peek('look', 'look_a', 0);
SELECT * FROM stream_ingest.peek('look', 'look_a', NULL);
SELECT * FROM stream_ingest.peek('look', 'look_a', 1, 'soon');
SELECT * FROM stream_ingest.peek('look', 'look_a', 1, NULL);
SELECT * FROM stream_ingest.topics(NULL);
\! test/mock_broker -c topicerr look_gone 3
SELECT * FROM stream_ingest.peek('look', 'look_gone');
\! test/mock_broker -c topicerr look_secret 29
SELECT * FROM stream_ingest.peek('look', 'look_secret');

--
-- infer_table
--
CREATE FUNCTION infer(topic text, target text) RETURNS text
LANGUAGE sql AS $$SELECT stream_ingest.infer_table('look', topic, target)$$;
\pset tuples_only on
\pset format unaligned

\! printf '%s\n' '{"id": 1, "amount": 1, "ok": true, "at": "2026-01-05T09:30:00Z", "day": "2026-01-05", "u": "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "ip": "10.0.0.1", "tags": ["a"], "who": {"name": "Ada"}, "note": "x", "local": "2024-02-08 12:30:11.123456", "odd": 1, "never": null}' '{"id": 9223372036854775807, "amount": 1.50, "ok": null, "at": "2026-01-05 09:30:00.5+01:30", "day": "2026-02-28", "u": "1B4E28BA-2FA1-11D2-883F-0016D3CCA427", "ip": "::1", "tags": "none", "who": null, "note": "2026-01-05", "local": "2024-02-08", "odd": "1", "later": 1e400}' | test/produce -t look_infer -p 0 >/dev/null
SELECT infer('look_infer', 'public.orders');

-- a number too large for bigint, dates that are none, a time without a zone beside one with
\! printf '%s\n' '{"big": 9223372036854775808, "d": "2026-02-29", "t": "2026-01-05T09:30Z", "v": "1.2.3", "h": "24:00", "mixed": 1}' '{"t": "2026-01-05T09:30", "mixed": {"a": 1}}' | test/produce -t look_infer2 -p 0 >/dev/null
SELECT infer('look_infer2', '"Odd Name"');

-- names: quoted, or not to be had
\! printf '%s\n' '{"select": 1, "Ma\u0041x": 2, "a\"b": 3, "x;DROP TABLE t--": 4, "": 5, "ctid": 6, "l\u006fng_long_long_long_long_long_long_long_long_long_long_long_long_x": 7, "nul\u0000": 8, "two\nlines": 9, "\u00fc": 10}' '[1]' 'no json' | test/produce -t look_names -p 0 >/dev/null
SELECT infer('look_names', 'My.Table');
SELECT infer('look_names', 'names') \gexec
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
 WHERE attrelid = 'names'::regclass AND attnum > 0 ORDER BY attnum;

-- nothing but tombstones and scalars
\! printf '%s\n' 1 '"x"' '' | test/produce -t look_scalars -p 0 -Z >/dev/null
SELECT infer('look_scalars', 'scalars');

-- NOT NULL only on the word of many
\! test/produce -t look_many -p 0 -n 150 -s 40 >/dev/null
SELECT infer('look_many', 'many');

-- formats without names: values are looked at for what they are
\! printf '%s\n' '1,"a, b",true,2026-01-05,0123,1.5,,"12"' '2,c,f,2026-01-06,4567,2,x,13' '3,"broken' | test/produce -t look_csv -p 0 >/dev/null
SELECT stream_ingest.infer_table('look', 'look_csv', 'rows', 'csv');
\! printf '%s\n' 'GET /index.html 200' 'GET / 404' | test/produce -t look_text -p 0 >/dev/null
SELECT stream_ingest.infer_table('look', 'look_text', 'lines', 'text');
SELECT stream_ingest.infer_table('look', 'look_text', 'blobs', 'raw');
-- each proposal is what a subscription takes
SELECT stream_ingest.infer_table('look', 'look_csv', 'rows', 'csv') \gexec
SELECT stream_ingest.create_subscription('rows', 'look', 'look_csv', 'rows', format => 'csv', enabled => false);
SELECT stream_ingest.infer_table('look', 'look_text', 'lines', 'text') \gexec
SELECT stream_ingest.create_subscription('lines', 'look', 'look_text', 'lines', format => 'text', enabled => false);
SELECT stream_ingest.infer_table('look', 'look_text', 'blobs', 'raw') \gexec
SELECT stream_ingest.create_subscription('blobs', 'look', 'look_text', 'blobs', format => 'raw',
  mapping => '{"value": "$value"}', enabled => false);
SELECT infer('look_scalars', 'scalars') \gexec
SELECT stream_ingest.create_subscription('scalars', 'look', 'look_scalars', 'scalars',
  mapping => '{"value": "$value"}', enabled => false);

SELECT infer('look_empty', 't');
SELECT stream_ingest.infer_table('look', 'look_many', 't', 'xml');
SELECT stream_ingest.infer_table('look', 'look_many', 'a.b.c.d');
SELECT stream_ingest.infer_table('look', 'look_many', '');
SELECT stream_ingest.infer_table('look', 'look_many', NULL);
SELECT stream_ingest.infer_table('look', 'look_many', 't', max_messages => 0);
\pset tuples_only off
\pset format aligned

--
-- rights: USAGE on the server
--
CREATE ROLE regress_si_look;
SET ROLE regress_si_look;
SELECT * FROM stream_ingest.topics('look');
SELECT * FROM stream_ingest.peek('look', 'look_a');
SELECT stream_ingest.infer_table('look', 'look_many', 't');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER look TO regress_si_look;
SET ROLE regress_si_look;
SELECT count(*) FROM stream_ingest.peek('look', 'look_a');
RESET ROLE;

-- a slow broker is waited for
\! test/mock_broker -c rtt 300
SELECT count(*) FROM stream_ingest.peek('look', 'look_a');
\! test/mock_broker -c rtt 0

-- and one that is away, but no longer than one wants to wait
\! test/mock_broker -c down
SET statement_timeout = '500ms';
SELECT * FROM stream_ingest.peek('look', 'look_a');
RESET statement_timeout;
\! test/mock_broker -c up

-- what is no regular file may never end, and is not opened
CREATE SERVER look_device FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers :'bootstrap', security_protocol 'SSL', ssl_ca_location '/dev/null');
SELECT * FROM stream_ingest.topics('look_device');
DROP SERVER look_device;

REVOKE USAGE ON FOREIGN SERVER look FROM regress_si_look;
DROP ROLE regress_si_look;
DROP FUNCTION infer(text, text);
DROP TABLE names, rows, lines, blobs, scalars;
DROP EXTENSION stream_ingest CASCADE;
