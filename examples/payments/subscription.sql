-- What the two agents were.  psql variables:
--   bootstrap        the brokers' addresses
--   received_topic   incoming_payment_received
--   processed_topic  incoming_payment_processed
CREATE SERVER payments_kafka FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers :'bootstrap');
GRANT USAGE ON FOREIGN SERVER payments_kafka TO payments;
SET ROLE payments;

-- Records the payments, attributes them, and tells so.  The messages leave
-- with the batch's transaction: a batch that is rolled back sends nothing.
-- After a crash it may send them again, so both sides update what is there.
SELECT stream_ingest.create_subscription('payments_received', 'payments_kafka', :'received_topic',
    fields => 'payment_id uuid, amount numeric, currency text, payer text, received_at timestamptz',
    apply => pg_catalog.format($$
        WITH recorded AS (
            INSERT INTO payments.payments AS p (payment_id, amount, currency, payer, received_at)
            SELECT payment_id, amount, currency, payer, received_at FROM batch ORDER BY payment_id
            ON CONFLICT (payment_id) DO UPDATE
               SET amount = excluded.amount, currency = excluded.currency,
                   payer = excluded.payer, received_at = excluded.received_at
            RETURNING p.payment_id, p.payer)
        SELECT stream_ingest.produce('payments_kafka', %L,
                   json_build_object('payment_id', payment_id, 'account', account,
                                     'processed_at', clock_timestamp())::text,
                   key => payment_id::text)
          FROM recorded LEFT JOIN payments.accounts USING (payer)
    $$, :'processed_topic'));

-- A message has three of the seven columns; upsert leaves the others alone.
SELECT stream_ingest.create_subscription('payments_processed', 'payments_kafka', :'processed_topic',
    'payments.payments', insert_mode => 'upsert');

RESET ROLE;
