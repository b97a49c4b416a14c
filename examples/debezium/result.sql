-- Every row of both copies, as generate.py --expected prints them.
SELECT concat_ws('|', 'customers', id, name, md5(bio), active::text, born,
           to_char(since, 'YYYY-MM-DD HH24:MI:SS.US'), coalesce(balance::text, 'NULL'),
           array_to_string(tags, ','), encode(photo, 'hex'), lsn)
  FROM shop.customers ORDER BY id;
SELECT concat_ws('|', 'orders', id, customer, total, coalesce(rate::text, 'NULL'), placed_on,
           to_char(placed_at, 'YYYY-MM-DD HH24:MI:SS.US'),
           coalesce(to_char(paid_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), 'NULL'),
           to_char(pickup, 'HH24:MI:SS.US'), (extract(epoch FROM waited) * 1000000)::bigint,
           encode(signature, 'hex'), md5(lines::text), lsn)
  FROM shop.orders ORDER BY id;
