-- The daily job by hand: cleans the pins of a day, in one statement.  Doing a
-- day again adds what has come since, and nothing twice.  psql variable:
--   day  such as 2024-02-05, in UTC
INSERT INTO pinterest.pins
SELECT clean.*
  FROM pinterest.raw_pins AS raw CROSS JOIN LATERAL pinterest.clean(raw.pin) AS clean
 WHERE raw.received_at >= :'day'::date::timestamp AT TIME ZONE 'UTC'
   AND raw.received_at < (:'day'::date + 1)::timestamp AT TIME ZONE 'UTC'
ON CONFLICT (unique_id) DO NOTHING;

-- The same with pg_cron, at 10:00 for the day before (its clock is GMT, unless
-- cron.timezone says otherwise), and partitions ahead of time:
--
-- SELECT cron.schedule('clean pins', '0 10 * * *', $$
--     INSERT INTO pinterest.pins
--     SELECT clean.*
--       FROM pinterest.raw_pins AS raw CROSS JOIN LATERAL pinterest.clean(raw.pin) AS clean
--      WHERE raw.received_at >= date_trunc('day', now(), 'UTC') - interval '1 day'
--        AND raw.received_at < date_trunc('day', now(), 'UTC')
--     ON CONFLICT (unique_id) DO NOTHING $$);
-- SELECT cron.schedule('days of pins', '0 12 * * *',
--     $$ SELECT pinterest.add_days((now() AT TIME ZONE 'UTC')::date, 7) $$);
