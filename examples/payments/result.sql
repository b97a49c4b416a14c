-- What generate.py --expected says: "rows|processed|checksum".
SELECT count(*), count(processed_at),
       coalesce(sum(('x' || left(md5(concat_ws('|',
           payment_id, amount, currency, payer,
           to_char(received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'),
           coalesce(account, 'NULL'))), 15))::bit(60)::bigint), 0)
  FROM payments.payments;
