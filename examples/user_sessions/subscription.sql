-- One subscription instead of a consumer process: every message of the topic
-- becomes a row, exactly once.  psql variables:
--   bootstrap  the brokers' addresses
--   topic      the topic's name
--   workers    how many processes share the topic's partitions
CREATE SERVER sessions_kafka FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers :'bootstrap');

SELECT stream_ingest.create_subscription('user_sessions', 'sessions_kafka', :'topic',
    'streaming_layer.streaming_data',
    options => pg_catalog.jsonb_build_object('workers', :workers::int));
