/*-------------------------------------------------------------------------
 *
 * option_values.h
 *	  A subscription's options, checked: the values that other folders read.
 *
 * Set by options alone.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_OPTION_VALUES_H
#define SI_OPTION_VALUES_H

#include "format/binary_text.h"
#include "format/decoder.h"
#include "kafka/consumer.h"
#include "datatype/timestamp.h"
#include "format/key_format.h"

typedef enum SiOnError
{
	SI_ON_ERROR_DEAD_LETTER,
	SI_ON_ERROR_STOP,
	SI_ON_ERROR_IGNORE
} SiOnError;

typedef enum SiOnGap
{
	SI_ON_GAP_STOP,
	SI_ON_GAP_CONTINUE
} SiOnGap;

typedef enum SiMissingFields
{
	SI_MISSING_DEFAULT,
	SI_MISSING_NULL,
	SI_MISSING_ERROR
} SiMissingFields;

typedef enum SiUnknownFields
{
	SI_UNKNOWN_IGNORE,
	SI_UNKNOWN_ERROR,
	SI_UNKNOWN_ADD_COLUMNS
} SiUnknownFields;

/* What becomes of a change event that truncates the table. */
typedef enum SiTruncate
{
	SI_TRUNCATE_ERROR,
	SI_TRUNCATE_IGNORE
} SiTruncate;

typedef enum SiEpochUnit
{
	SI_EPOCH_NONE,				/* a bare number is not a date: an error */
	SI_EPOCH_SECONDS,
	SI_EPOCH_MILLISECONDS,
	SI_EPOCH_MICROSECONDS
} SiEpochUnit;

typedef enum SiTombstones
{
	SI_TOMBSTONES_AUTO,			/* delete in upsert mode, else ignore */
	SI_TOMBSTONES_DELETE,
	SI_TOMBSTONES_IGNORE,
	SI_TOMBSTONES_ERROR
} SiTombstones;

/* Where a partition begins. */
typedef enum SiStartKind
{
	SI_START_EARLIEST,
	SI_START_LATEST,
	SI_START_TIMESTAMP,
	SI_START_OFFSET
} SiStartKind;

typedef struct SiStart
{
	int32		partition;		/* -1: all that have no entry of their own */
	SiStartKind kind;
	int64		value;			/* milliseconds since 1970, or the offset */
} SiStart;

/* After how many dead letters a subscription stops; both 0: never. */
typedef struct SiRejectLimit
{
	int			count;
	double		percent;		/* of the last messages */
} SiRejectLimit;

/* A run of partitions, both ends included. */
typedef struct SiPartitionRange
{
	int32		first;
	int32		last;
} SiPartitionRange;

typedef struct SiOptions
{
	/* start: entries for single partitions first, the one for all last */
	int			nstarts;
	SiStart    *starts;

	/* partitions, in ascending order: none means all */
	int			nranges;
	SiPartitionRange *ranges;

	int			workers;
	int			batch_size;		/* messages */
	int64		batch_bytes;
	int			batch_interval; /* milliseconds; 0 = apply what is there */
	char	   *synchronous_commit; /* NULL = as the target needs it: "on" if
									 * it is remote, else "off" */
	SiOnError	on_error;
	SiOnGap		on_gap;
	SiMissingFields missing_fields;
	SiUnknownFields unknown_fields;

	SiRejectLimit reject_limit;
	int			breaker;		/* 0 = never */
	int			fk_retries;
	bool		run_as_owner;
	char	   *filter;			/* NULL = none */
	char	   *version_column; /* NULL = none */

	/*
	 * stop_at: entries for single partitions, or one for all; none means
	 * never
	 */
	int			nstops;
	SiStart    *stops;
	int			rate_limit;		/* messages per second; 0 = none */
	SiEpochUnit epoch_unit;
	SiTombstones tombstones;
	char	   *delimiter;		/* csv and text: NULL = as in COPY */
	char	   *quote;
	char	   *escape;
	char	   *null_text;		/* the option "null" */
	int			nheader_columns;
	char	  **header_columns;
	int			encoding;		/* pg_enc, of the messages */
	SiWireFormat wire_format;
	SiKeyFormat key_format;
	char	   *schema;			/* of all messages, as text; NULL = none */
	char	   *message;		/* the schema's, of all messages; NULL = none */
	SiMatchNames match_names;
	bool		extended_json;
	char	   *records;		/* a path, "$" or "lines"; NULL = a message is
								 * one record */
	int			nschemas;		/* of messages by their ids */
	SiGivenSchema *schemas;		/* as texts in the server's encoding */
	SiEnvelopeKind envelope;
	SiTruncate	truncate;
	bool		bare_integers;	/* settled by the format: its schemas do not
								 * tell which integers are dates or times */
	char	   *unavailable_value;
	char	   *deleted_field;	/* NULL = none */
	SiBinaryText binary_text;
	char	   *group_id;		/* NULL = <group_prefix><database>.<name> */
	bool		publish_offsets;
	int64		max_message_bytes;
	bool		deletes_nothing;	/* not an option: a retry of dead letters */
	bool		of_upsert;		/* the same, which inserts instead */

	/* librdkafka properties, by their own names */
	int			nproperties;
	SiProperty *properties;
} SiOptions;

#endif							/* SI_OPTION_VALUES_H */
