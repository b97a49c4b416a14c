/* sql/stream_ingest--1.0--1.1.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION stream_ingest UPDATE TO '1.1'" to load this file. \quit

-- Columns are added at the end, in the order of stream_ingest--1.1.sql:
-- sql/upgrade.sql compares what an update gives with a new installation.

-- Offsets published to Kafka are left for Kafka to forget.
DROP TABLE stream_ingest.former_group;

-- without a unique index, updates and deletes fail as soon as a publication has
-- all tables
ALTER TABLE stream_ingest.progress REPLICA IDENTITY FULL;
ALTER TABLE stream_ingest.count_changes REPLICA IDENTITY FULL;
