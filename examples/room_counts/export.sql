-- A day of the archive as CSV, one message a row.  psql variable:
--   day  such as 2024-02-05; its partition must exist
-- Once it lies where it shall stay: DROP TABLE rooms.coldstorage_<day>.
SELECT pg_catalog.format('rooms.coldstorage_%s', to_char(:'day'::date, 'YYYYMMDD')) AS day_table \gset
COPY (SELECT message FROM :day_table ORDER BY message_partition, message_offset)
    TO STDOUT WITH (FORMAT csv);
