CREATE EXTENSION stream_ingest;
SELECT * FROM stream_ingest.decode('avro', '\x02', options => '{"schema": {"type":"record","name":"r","fields":[{"name":"a","type":"int"}]}}');
