-- What the two consumer groups were: two subscriptions on one topic, each with
-- its own offsets.  psql variables:
--   bootstrap  the brokers' addresses
--   topic      the topic's name
CREATE SERVER rooms_kafka FOREIGN DATA WRAPPER stream_ingest
    OPTIONS (bootstrap_servers :'bootstrap');
GRANT USAGE ON FOREIGN SERVER rooms_kafka TO rooms;
SET ROLE rooms;

SELECT stream_ingest.create_subscription('coldstorage', 'rooms_kafka', :'topic', 'rooms.coldstorage',
    mapping => '{"message": "$value", "message_partition": "$partition", "message_offset": "$offset"}');

-- Two workers update the same rows: sorted, they lock them in one order.
SELECT stream_ingest.create_subscription('reckoning', 'rooms_kafka', :'topic',
    fields => 'room text, count int',
    apply => $$
        INSERT INTO rooms.room_counts AS r (room, count)
        SELECT room, sum(count) FROM batch GROUP BY room ORDER BY room
        ON CONFLICT (room) DO UPDATE SET count = r.count + excluded.count
    $$,
    options => '{"workers": 2}');

RESET ROLE;
