/* sql/stream_ingest--1.0--1.1.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION stream_ingest UPDATE TO '1.1'" to load this file. \quit

-- Columns are added at the end, in the order of stream_ingest--1.1.sql:
-- sql/upgrade.sql compares what an update gives with a new installation.

-- Offsets published to Kafka are left for Kafka to forget.
DROP TABLE stream_ingest.former_group;

-- without a unique index, updates and deletes fail as soon as a publication has
-- all tables, and so would the updates below
ALTER TABLE stream_ingest.progress REPLICA IDENTITY FULL;
ALTER TABLE stream_ingest.count_changes REPLICA IDENTITY FULL;

--
-- Messages whose time timestamptz does not hold, or that are too large
--

ALTER TABLE stream_ingest.dead_letter ADD COLUMN reduced_from bigint;
COMMENT ON COLUMN stream_ingest.dead_letter.message_timestamp IS
'timestamp of the message, null where it has none, an infinity where timestamptz does not reach it';
COMMENT ON COLUMN stream_ingest.dead_letter.reduced_from IS
'the bytes of a message that was too large to be kept whole: it has lost its value, and is no tombstone';

-- version 1.0 stored such times as they came, and neither SELECT nor pg_dump
-- can print them
UPDATE stream_ingest.dead_letter SET message_timestamp = 'infinity'
 WHERE message_timestamp OPERATOR(pg_catalog.>) '294276-12-31 23:59:59.999999+00';
UPDATE stream_ingest.dead_letter SET message_timestamp = '-infinity'
 WHERE message_timestamp OPERATOR(pg_catalog.<) '4714-11-24 00:00:00+00 BC';
UPDATE stream_ingest.progress SET last_message_at = NULL
 WHERE last_message_at OPERATOR(pg_catalog.>) '294276-12-31 23:59:59.999999+00'
    OR last_message_at OPERATOR(pg_catalog.<) '4714-11-24 00:00:00+00 BC';

-- what may quote a payload is for those with the owner's privileges
CREATE OR REPLACE VIEW stream_ingest.dead_letters WITH (security_barrier) AS
SELECT d.id, s.name, d.topic, d.partition, d.message_offset,
       CASE WHEN pg_catalog.isfinite(d.message_timestamp) THEN d.message_timestamp END AS message_timestamp,
       CASE WHEN o.is_owner THEN d.key END AS key,
       CASE WHEN o.is_owner THEN d.value END AS value,
       CASE WHEN o.is_owner THEN stream_ingest.headers_json(d.header_names, d.header_values) END AS headers,
       d.sqlstate,
       CASE WHEN o.is_owner THEN d.error END AS error,
       CASE WHEN o.is_owner THEN d.detail END AS detail,
       d.column_name, d.constraint_name, d.attempts, d.failed_at
  FROM stream_ingest.dead_letter d
  JOIN stream_ingest.subscription s ON s.id OPERATOR(pg_catalog.=) d.subscription
 CROSS JOIN LATERAL (SELECT pg_catalog.pg_has_role(s.owner, 'USAGE') AS is_owner OFFSET 0) o
 WHERE stream_ingest.may_see(s.owner);
COMMENT ON COLUMN stream_ingest.dead_letters.message_timestamp IS
'timestamp of the message, null where it has none or timestamptz does not reach it';
COMMENT ON COLUMN stream_ingest.dead_letters.value IS
'value of the message, null for a tombstone and of a message larger than max_message_bytes';

--
-- Stored options that are not valid are no error of the view subscriptions:
-- they are read in a subtransaction
--

ALTER FUNCTION stream_ingest.effective_options(jsonb) PARALLEL UNSAFE;
COMMENT ON FUNCTION stream_ingest.effective_options(jsonb) IS
'private: every option with the value that it has when these are set; null if they are not valid';

ALTER TABLE stream_ingest.progress ADD COLUMN first_offset bigint;
COMMENT ON COLUMN stream_ingest.progress.first_offset IS
'where the rows of the target begin, for the gap that a crash makes in an unlogged one; null while crash_marker has never had a row of the subscription';

ALTER TABLE stream_ingest.dead_letter
  ADD COLUMN former_log bigint NOT NULL DEFAULT 0,
  DROP CONSTRAINT dead_letter_subscription_topic_partition_message_offset_key;
ALTER TABLE stream_ingest.dead_letter
  ADD CONSTRAINT dead_letter_place_key UNIQUE (subscription, topic, partition, message_offset, former_log);
COMMENT ON COLUMN stream_ingest.dead_letter.former_log IS
'0, or its id: the subscription has left the log (another topic, server or cluster, or the topic was recreated), where the same offset is another message';
-- those of topics that were left before
UPDATE stream_ingest.dead_letter d SET former_log = d.id
 WHERE NOT EXISTS (SELECT FROM stream_ingest.subscription s
                    WHERE s.id OPERATOR(pg_catalog.=) d.subscription AND s.topic OPERATOR(pg_catalog.=) d.topic);

CREATE UNLOGGED TABLE stream_ingest.crash_marker (
    subscription      integer PRIMARY KEY
);
COMMENT ON TABLE stream_ingest.crash_marker IS
'subscriptions that have been at work since the last crash; a crash empties it together with all other unlogged tables';
COMMENT ON COLUMN stream_ingest.crash_marker.subscription IS
'subscription.id';
REVOKE ALL ON stream_ingest.crash_marker FROM PUBLIC;

COMMENT ON VIEW stream_ingest.gaps IS
'ranges of offsets that were passed over: the broker no longer had them, a forward seek left them out, or their rows were lost in a crash with an unlogged target';
