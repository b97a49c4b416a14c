CREATE EXTENSION stream_ingest;

--
-- The decoders on their own: every case of every format, without Kafka.  In a
-- database of its own, whose encoding is known.
--
SELECT current_database() AS home \gset
CREATE DATABASE regress_si_utf8 TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_si_utf8
SET client_encoding = 'UTF8';
CREATE EXTENSION stream_ingest;
\pset format unaligned
\pset tuples_only on

-- what a message becomes: w its fields, d what it deletes, ! its error
CREATE FUNCTION d(format text, value bytea, options jsonb DEFAULT '{}', key bytea DEFAULT NULL)
RETURNS text LANGUAGE sql AS $$
    SELECT coalesce('! ' || error, left(operation, 1) || coalesce(' ' || fields::text, ''))
    FROM stream_ingest.decode(format, value, key, options);
$$;
-- the same of texts
CREATE FUNCTION t(format text, value text, options jsonb DEFAULT '{}', key text DEFAULT NULL)
RETURNS text LANGUAGE sql AS $$
    SELECT d(format, convert_to(value, 'UTF8'), options, convert_to(key, 'UTF8'));
$$;

--
-- json: values
--
SELECT v || ' -> ' || t('json', v) FROM (VALUES
    (1, '{}'), (2, '{"a":1}'), (3, ' { "a" : null , "b":true, "c" : [ false ] } '),
    (4, '[]'), (5, '[1,"2",{"3":4}]'), (6, '"text"'), (7, '""'), (8, '12'), (9, 'true'), (10, 'false'),
    (11, 'null'), (12, '{"$value":1}'), (13, '{"value":{"value":[]}}')) AS c (n, v) ORDER BY n;
-- numbers, digit for digit
SELECT v, (fields ->> '$value') = v AS same FROM unnest(ARRAY[
    '0', '-1', '1.0', '1.10', '0.000', '12345678901234567890.10', '9223372036854775808',
    '123456789012345678901234567890123456789012345678901234567890', '0.1234567890123456789012345678901234567890',
    '-0.00000000000000000000000000000000000001']) AS v, stream_ingest.decode('json', v::bytea);
SELECT v, fields ->> '$value' = (v::numeric)::text AS as_numeric FROM unnest(ARRAY[
    '-0', '1e5', '1E+2', '-1.5e-10', '1e400', '-2.50e-400', '1e131071']) AS v, stream_ingest.decode('json', v::bytea);
SELECT v || ' -> ' || t('json', v) FROM unnest(ARRAY['1e131072', '1e999999', '-', '+1', '01', '.5', '1.', '1e', '0x1',
    'NaN', 'Infinity', '-Infinity', '1_000']) AS v;
-- of equal keys the last wins
SELECT v || ' -> ' || t('json', v) FROM unnest(ARRAY['{"a":1,"a":2}', '{"a":1,"b":0,"\u0061":"x"}', '{"a":{"b":1,"c":2},"a":{"c":3}}',
    '{"a":1,"a":null}']) AS v;
-- strings
SELECT v || ' -> ' || t('json', v) FROM unnest(ARRAY['"\"\\\/\b\f\n\r\t"', '"\u0041\u00e9\u20AC"', '"\ud83d\ude00"', '"\\u0000"',
    '"é€😀"', '"\u0000"', '{"a":"\u0000"}', '{"\u0000":1}', '"\ud800"', '"\udc00x"', '"\ud800\u0041"', '"\x"', '"\u12g4"', '"', '"\', '"\"']) AS v;
SELECT v, d('json', v) FROM unnest(ARRAY['\x22610a6222', '\x2261096222', '\x2261016222']::bytea[]) AS v;
-- structure
SELECT v || ' -> ' || t('json', v) FROM unnest(ARRAY['', ' ', '{', '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', '{,}', '{a:1}',
    '{''a'':1}', '{"a":1}}', '{"a" 1}', '[', '[1', '[1,', '[1,]', '[1 2]', ']', '1 2', 'nul', 'True', '{"a":tru}', '// c
1', '/* c */1', '{}x', '{"a":1}{"a":2}', '[1}', '{"a":"b]', '<a/>']) AS v;
-- depth
SELECT n, t('json', repeat('[', n) || repeat(']', n)) LIKE 'w {"$value": [[[%' AS ok,
    t('json', repeat('{"a":', n) || '0' || repeat('}', n)) LIKE 'w {"a": {"a": %' AS ok
FROM unnest(ARRAY[100, 1000]) AS n;
SELECT n, t('json', repeat('[', n) || repeat(']', n)), t('json', repeat('[', n)), t('json', repeat('{"a":', n))
FROM unnest(ARRAY[1001, 3000, 100000]) AS n;
-- bytes
SELECT v, d('json', v) FROM unnest(ARRAY[
    '\x22c3a922', '\x22e922', '\x22c322', '\x22c0af22', '\x22eda08022', '\x22f490808022', '\x22ff22', '\x2280c3a922',
    '\xff', '\xefbbbf7b7d', '\x2200', '\x220022', '\x3100', '\x0031', '\x7b00', '\xfeff0022', '\x220061002200']::bytea[]) AS v;
-- encodings
SELECT e, v, d('json', v, jsonb_build_object('encoding', e)) FROM (VALUES
    ('LATIN1', '\x7b22e9223a22fc227d'::bytea), ('WIN1252', '\x228022'), ('WIN1252', '\x228122'), ('LATIN1', '\x220022'),
    ('SJIS', '\x22835c22'), ('SJIS', '\x228322'), ('EUC_JP', '\x22a4a222'), ('GB18030', '\x2281308a3022'), ('UTF8', '\x22e922'),
    ('SQL_ASCII', '\x22c3a922'), ('SQL_ASCII', '\x22e922'), ('latin1', '\x22e9'), ('LATIN1', ''), ('BIG5', '\x22a55c22')) AS c (e, v);

--
-- text: COPY's text format
--
SELECT v || ' -> ' || t('text', v) FROM (VALUES
    (1, 'a'), (2, E'a\tb\tc'), (3, E'a\t\tc'), (4, E'\t'), (5, ''), (6, ' a '), (7, E'a\tb\n'), (8, E'a\tb\r\n'), (9, E'a\tb\r'), (10, E'\n'),
    (11, '\N'), (12, E'\\N\t\\N'), (13, E'\\N \t\\n'), (14, E'a\\\tb'), (15, 'a\\b'), (16, '\b\f\n\r\t\v'), (17, '\a\z\"\N'), (18, E'a\\\nb'),
    (19, E'a\\\r\nb'), (20, E'a\\\r\\\nb'), (21, 'a\'), (22, '\\N'), (23, E'é\t€'), (24, '"a,b"'), (25, E'a,b')) AS c (n, v) ORDER BY n;
-- escapes by number
SELECT v || ' -> ' || t('text', v) FROM unnest(ARRAY['\101\x41\x4a\x4A\x4g', '\7\12\1234', '\x', '\xg', '\x7', '\8', '\303\251 \xc3\xa9', '\xc3', '\303', '\351',
    '\0', '\000', '\x00', '\x0', '\x2g', '\\x00', '\400\101', '\c3']) AS v;
-- bad ones
SELECT v || ' -> ' || t('text', v) FROM unnest(ARRAY[E'a\nb', E'a\n\n', E'a\n\r', E'a\r\r', E'\n\n', E'a\r\n\r\n', '\.', 'a\.b', E'a\n\\.\n', '\x00']) AS v;
SELECT v, d('text', v) FROM unnest(ARRAY['\x00', '\x6100', '\xc3', '\x61e962', '\x61c3a9']::bytea[]) AS v;
-- names, delimiter, null
SELECT v || ' -> ' || t('text', v, '{"header_columns":["a","b"]}') FROM unnest(ARRAY[E'1\t2', '1', E'1\t', E'1\t2\t', E'1\t2\t3', '', E'1\t2\n', E'1\n2']) AS v;
SELECT v || ' -> ' || t('text', v, '{"delimiter":"|","null":"NULL"}') FROM unnest(ARRAY['a|b', '|', 'a\|b', E'a\tb|\\N', 'NULL|null', 'NULLx|\NULL', '\|']) AS v;
SELECT v || ' -> ' || t('text', v, '{"null":""}') FROM unnest(ARRAY[E'\t', '', E'a\t', E'\\N\t\\', E' \t']) AS v;
-- a single column is the whole message
SELECT v || ' -> ' || t('text', v, '{"header_columns":["line"]}') FROM unnest(ARRAY[E'a\tb\\t', '\N', '', E'a\nb\n', '\.', '\']) AS v;
SELECT d('text', '\x00', '{"header_columns":["line"]}'), d('text', '\xff', '{"header_columns":["line"]}');
SELECT d('text', '\xe909fc', '{"encoding":"LATIN1"}'), d('text', '\x835c09835c', '{"encoding":"SJIS"}');

--
-- csv: COPY's CSV
--
SELECT v || ' -> ' || t('csv', v) FROM (VALUES
    (1, 'a'), (2, 'a,b,c'), (3, 'a,,c'), (4, ','), (5, ''), (6, '""'), (7, '"",'), (8, ' a ,b '), (9, 'a,b
'), (10, E'a,b\r\n'), (11, E'a,b\r'), (12, E'\n'),
    (13, '"a,b",c'), (14, '"a ""b"" c"'), (15, '"a
b",c'), (16, E'"a\r\nb",c\r\n'), (17, 'a"b,c"d'), (18, '"a"b"c"'), (19, '"a" ,b'), (20, ' "a"'), (21, '\N,\t'), (22, 'NULL,"NULL"'), (23, '\.'), (24, 'a,\.'),
    (25, '"""",""""""'), (26, 'é,"€"'), (27, E'a\tb'), (28, '{"j":1}'), (29, '"{""j"":1}"')) AS c (n, v) ORDER BY n;
-- bad ones
SELECT v || ' -> ' || t('csv', v) FROM unnest(ARRAY['a
b', 'a,b

', E'a\n\r', '"a', 'a,"', 'a,"b""', '"a"",b', 'a"b,c', '"a
b"
c', '"a
']) AS v;
SELECT v, d('csv', v) FROM unnest(ARRAY['\x00', '\x612c00', '\x22612c0022', '\xc3', '\x61e962', '\x61c3a9']::bytea[]) AS v;
-- names, delimiter, quote, escape, null
SELECT v || ' -> ' || t('csv', v, '{"header_columns":["a","é \" \\"]}') FROM unnest(ARRAY['1,2', '1', '1,', '1,2,', '1,2,3', '', '"1,2"', '1,2
', '1
2']) AS v;
SELECT v || ' -> ' || t('csv', v, '{"header_columns":["a"]}') FROM unnest(ARRAY['1', '', '""', '1,']) AS v;
SELECT v || ' -> ' || t('csv', v, '{"delimiter":";","quote":"''","escape":"\\","null":"-"}') FROM unnest(ARRAY['a;b,c', '''a;b'';-', '''-'';', '''it\''s'';''\\''',
    '''a''''b''', 'a\;b', '''a\b'';\', '''a\''', '''a\\''']) AS v;
SELECT v || ' -> ' || t('csv', v, '{"delimiter":"\t","null":"NULL"}') FROM unnest(ARRAY[E'a,b\t', E'NULL\t"NULL"\tnull', E'"a\tb"']) AS v;
SELECT d('csv', '\xe92cfc', '{"encoding":"LATIN1"}'), d('csv', '\x835c2c835c', '{"encoding":"SJIS"}'), d('csv', '\x83', '{"encoding":"SJIS"}'),
    d('csv', '\x6100', '{"encoding":"LATIN1"}');

--
-- raw
--
SELECT v, d('raw', v) FROM unnest(ARRAY['', '\x00', '\x00ff80', '{"a":1}']::bytea[]) AS v;

--
-- tombstones: what the key says
--
SELECT f, k, d(f, NULL, '{}', k) FROM unnest(ARRAY['json', 'csv', 'text', 'raw']) AS f,
    unnest(ARRAY[NULL, '{"id":1,"n":{"a":[]}}', '42', '007', '"k"', 'plain', '[1]', '{"id":', '', '\x00ff', '\xe9']::bytea[]) AS k;
SELECT d('json', NULL, '{"encoding":"LATIN1"}', '\xe9'), d('json', NULL, '{"encoding":"LATIN1"}', '\x7b22e9223a317d');
-- the key of what is no tombstone is not looked at
SELECT d('json', '{"a":1}', '{}', '{'), d('json', '{"a":1}', '{"encoding":"LATIN1"}', '\x00');

--
-- arguments
--
SELECT d(NULL, 'x');
SELECT d('xml', 'x');
SELECT d('JSON', 'x');
SELECT d('csv', 'x', NULL);
SELECT d('csv', 'x', '{"delimeter":";"}');
SELECT d('json', 'x', '{"delimiter":";"}');
SELECT d('json', 'x', '{"header_columns":["a"]}');
SELECT d('text', 'x', '{"quote":"x"}');
SELECT d('text', 'x', '{"escape":"x"}');
SELECT d('raw', 'x', '{"null":""}');
SELECT d('raw', 'x', '{"encoding":"LATIN1"}');
SELECT d('csv', 'x', '{"delimiter":";;"}');
SELECT d('csv', 'x', '{"delimiter":"é"}');
SELECT d('csv', 'x', '{"delimiter":"\n"}');
SELECT d('csv', 'x', '{"delimiter":"\""}');
SELECT d('csv', 'x', '{"quote":","}');
SELECT d('csv', 'x', '{"null":"a,b"}');
SELECT d('csv', 'x', '{"null":"\""}');
SELECT d('csv', 'x', '{"null":"a\nb"}');
SELECT d('text', 'x', '{"delimiter":"a"}');
SELECT d('text', 'x', '{"delimiter":"\\"}');
SELECT d('text', 'x', '{"null":"a\tb"}');
SELECT d('text', 'x', '{"delimiter":";","header_columns":["a"]}');
SELECT d('csv', 'x', '{"header_columns":["a","a"]}');
SELECT d('csv', 'x', '{"encoding":"KLINGON"}');
SELECT d('csv', 'x', '{"encoding":"MULE_INTERNAL"}');

--
-- The verdicts are COPY's.  Messages are put together at random from the bytes
-- that matter; what differs is shown, so that nothing is.  Known differences
-- are left out: COPY takes many lines, which are an error here, and \. as the
-- end of its input, as versions have it.
--
CREATE TEMP TABLE row2 (c1 text, c2 text);
CREATE FUNCTION copy_says(format text, value bytea, with_options text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    lob oid := lo_from_bytea(0, CASE value WHEN '' THEN '\x0a' ELSE value END);
BEGIN
    DELETE FROM row2;
    PERFORM lo_export(lob, 'regress_si_message');
    PERFORM lo_unlink(lob);
    EXECUTE format('COPY row2 FROM ''regress_si_message'' (FORMAT %s%s)', format, with_options);
    IF (SELECT count(*) FROM row2) <> 1 THEN
        RETURN '!';
    END IF;
    RETURN (SELECT 'w ' || to_jsonb(row2)::text FROM row2);
EXCEPTION WHEN OTHERS THEN
    RETURN '!';
END $$;
CREATE FUNCTION random_message(alphabet text[]) RETURNS bytea LANGUAGE sql AS $$
    SELECT coalesce(string_agg(convert_to(alphabet[1 + floor(random() * cardinality(alphabet))], 'UTF8'), ''), '')
    FROM generate_series(1, (random() * 8)::int);
$$;
CREATE FUNCTION differences(format text, alphabet text[], copy_options text, our_options jsonb, messages int)
RETURNS TABLE (message bytea, ours text, copys text) LANGUAGE sql AS $$
    WITH m AS MATERIALIZED (SELECT random_message(alphabet) AS message FROM generate_series(1, messages))
    SELECT * FROM (SELECT message, d(format, message, '{"header_columns":["c1","c2"]}' || our_options) AS ours,
        copy_says(format, message, copy_options) AS copys FROM m) AS both_say
    WHERE CASE WHEN ours LIKE '!%' THEN copys <> '!' ELSE ours IS DISTINCT FROM copys END;
$$;
SELECT setseed(0.25) \g /dev/null
SET synchronous_commit = off;
SELECT * FROM differences('text', ARRAY[E'\t', E'\t', E'\t', '\', '\', E'\n', E'\r', 'N', 'a', 'x', '4', '1', '0', 'n', 'é', '3'], '', '{}', 1000);
SELECT * FROM differences('text', ARRAY['|', '|', '\', E'\n', 'N', 'U', 'x', '7'], ', DELIMITER ''|'', NULL ''NU''', '{"delimiter":"|","null":"NU"}', 500);
SELECT * FROM differences('csv', ARRAY[',', ',', ',', '"', '"', E'\n', E'\r', 'a', ' ', 'N', '\', 'é'], '', '{}', 1000);
SELECT * FROM differences('csv', ARRAY[',', ',', '"', '\', '\', E'\n', 'a', 'N'], ', ESCAPE ''\'', NULL ''N''', '{"escape":"\\","null":"N"}', 700);
SELECT * FROM differences('csv', ARRAY[';', ';', '''', '#', E'\r', 'a', '"'], ', DELIMITER '';'', QUOTE '''''''', ESCAPE ''#''',
    '{"delimiter":";","quote":"''","escape":"#"}', 500);
-- and many of them are good
SELECT count(*) > 100 FROM (SELECT d('csv', random_message(ARRAY[',', ',', '"', 'a']), '{"header_columns":["c1","c2"]}') AS said
    FROM generate_series(1, 1000)) AS s WHERE said LIKE 'w%';

--
-- A database in another encoding
--
CREATE DATABASE regress_si_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_si_latin1
SET client_encoding = 'UTF8';
CREATE EXTENSION stream_ingest;
SELECT fields ->> '$value', error FROM stream_ingest.decode('json', '\x22c3a922');
SELECT fields ->> '$value', error FROM stream_ingest.decode('json', convert_to('"\u00e9"', 'UTF8'));
SELECT fields, error FROM stream_ingest.decode('json', '\x22e282ac22');
SELECT fields, error FROM stream_ingest.decode('csv', '\xe9', NULL, '{"encoding":"LATIN1","header_columns":["é"]}');
SELECT fields, error FROM stream_ingest.decode('csv', '\xe92ce9', NULL, '{"encoding":"LATIN1","header_columns":["é"]}');
SELECT fields, error FROM stream_ingest.decode('csv', 'x', NULL, '{"header_columns":["a", "é"]}');
SELECT fields, error FROM stream_ingest.decode('csv', '\xe9');
SELECT fields, error FROM stream_ingest.decode('csv', 'x', NULL, '{"delimiter":"é"}');

\c :"home"
DROP DATABASE regress_si_latin1;
DROP DATABASE regress_si_utf8;
DROP EXTENSION stream_ingest CASCADE;
