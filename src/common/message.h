/*-------------------------------------------------------------------------
 *
 * message.h
 *	  What Kafka delivers, as a value.
 *
 * A message points into memory that belongs to whoever made it (the consumer,
 * or a dead letter being retried) and is valid until that owner releases it.
 * The file needs no server header, so that decoders and fuzzers can use it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_MESSAGE_H
#define SI_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

/* A header; value is NULL for a null value, and never NUL-terminated. */
typedef struct SiHeader
{
	const char *name;
	const char *value;
	size_t		value_len;
} SiHeader;

typedef struct SiMessage
{
	int32_t		partition;
	int32_t		leader_epoch;	/* -1 when the library does not tell */
	int64_t		offset;
	int64_t		timestamp;		/* milliseconds since 1970, -1 for none */
	const char *key;			/* NULL for a null key */
	size_t		key_len;
	const char *value;			/* NULL for a null value (a tombstone) */
	size_t		value_len;
	const SiHeader *headers;	/* filled only where headers were asked for */
	int			nheaders;
	void	   *handle;			/* the owner's, to release the message by */
} SiMessage;

#endif							/* SI_MESSAGE_H */
