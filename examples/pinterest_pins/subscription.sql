-- The batch half and the streaming half, each with its own offsets.  psql
-- variables:
--   bootstrap  the brokers' addresses
--   topic      the topic's name
CREATE SERVER pinterest_kafka FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers :'bootstrap');
GRANT USAGE ON FOREIGN SERVER pinterest_kafka TO pinterest;
SET ROLE pinterest;

SELECT stream_ingest.create_subscription('raw_pins', 'pinterest_kafka', :'topic', 'pinterest.raw_pins',
    mapping => '{"pin": "$value", "received_at": "$timestamp",
                 "message_partition": "$partition", "message_offset": "$offset"}');

-- Without "fields" the batch has the whole message in its column "value".
SELECT stream_ingest.create_subscription('experimental_streaming', 'pinterest_kafka', :'topic',
    apply => $$
        INSERT INTO pinterest.experimental_streaming
        SELECT clean.* FROM batch CROSS JOIN LATERAL pinterest.clean(batch.value) AS clean
        ON CONFLICT (unique_id) DO NOTHING
    $$);

RESET ROLE;
