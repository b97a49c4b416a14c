-- What generate.py --expected says: "table|rows|checksum" of the raw messages,
-- and of both tables of clean pins, with the columns in their order.
SELECT 'raw_pins', count(*),
       coalesce(sum(('x' || left(md5(pin->>'unique_id'), 15))::bit(60)::bigint), 0)
  FROM pinterest.raw_pins;

WITH clean AS (
    SELECT 'pins' AS name, row_to_json(p) AS pin FROM pinterest.pins AS p
    UNION ALL
    SELECT 'experimental_streaming', row_to_json(p) FROM pinterest.experimental_streaming AS p
), pin_text AS (
    SELECT name, (SELECT string_agg(key || '=' || coalesce(value, 'NULL'), '|' ORDER BY n)
                    FROM json_each_text(pin) WITH ORDINALITY AS field (key, value, n)) AS pin
      FROM clean
)
SELECT name, count(*), sum(('x' || left(md5(pin), 15))::bit(60)::bigint)
  FROM pin_text GROUP BY name ORDER BY name DESC;
