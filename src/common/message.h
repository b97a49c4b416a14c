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

#include <stdbool.h>
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
	const char *value;			/* NULL for a null value (a tombstone), and of
								 * a reduced message */
	size_t		value_len;
	const SiHeader *headers;	/* filled only where headers were asked for */
	int			nheaders;
	void	   *handle;			/* the owner's, to release the message by */
} SiMessage;

/* All bytes of a message: key, value, and headers where they are filled in. */
extern size_t si_message_size(const SiMessage *message);

/*
 * Reduce a message that has more bytes than that (or 16 MB of headers) to what
 * tells which one it was: it loses its value, and a key or headers that alone
 * are as large.
 */
extern void si_message_reduce(SiMessage *message, size_t most);

/*
 * Has the message lost its value in this way?  It is no tombstone then.  Its
 * value_len says how large key and value were together.
 */
static inline bool
si_message_is_reduced(const SiMessage *message)
{
	return message->value == NULL && message->value_len > 0;
}

#endif							/* SI_MESSAGE_H */
