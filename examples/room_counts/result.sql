-- What generate.py --expected says: the sums, the number of messages of each
-- day (by the partition that they lie in), and "archive|rows|checksum" of the
-- messages as they came.
SELECT room, count FROM rooms.room_counts ORDER BY room COLLATE "C";
SELECT right(tableoid::regclass::text, 8), count(*) FROM rooms.coldstorage GROUP BY 1 ORDER BY 1;
SELECT 'archive', count(*),
       coalesce(sum(('x' || left(md5(message::text), 15))::bit(60)::bigint), 0)
  FROM rooms.coldstorage;
