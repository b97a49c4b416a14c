-- A topic for each table, as Debezium writes them.  psql variables:
--   bootstrap   the brokers' addresses
--   customers   the topic shop.public.customers
--   orders      the topic shop.public.orders
CREATE SERVER shop_kafka FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers :'bootstrap');
GRANT USAGE ON FOREIGN SERVER shop_kafka TO shop;
SET ROLE shop;

-- Events without schemas: in dates they count days, in timestamps what the
-- connector's time.precision.mode says.
SELECT stream_ingest.create_subscription('customers', 'shop_kafka', :'customers', 'shop.customers',
    insert_mode => 'upsert', mapping => '{"lsn": "$source.lsn"}',
    options => '{"envelope": "debezium", "epoch_unit": "microseconds"}');

-- Events with schemas need nothing of that.  When the source is truncated, this
-- copy keeps its rows.
SELECT stream_ingest.create_subscription('orders', 'shop_kafka', :'orders', 'shop.orders',
    insert_mode => 'upsert', mapping => '{"lsn": "$source.lsn"}',
    options => '{"envelope": "debezium", "truncate": "ignore"}');

RESET ROLE;
