/*-------------------------------------------------------------------------
 *
 * message.h
 *	  A message as a value, and as an entry of a batch.
 *
 * A message points into memory of its owner (the consumer, or a dead letter that
 * is retried) and is valid until the owner releases it.  A batch is an array of
 * entries: worker_fetch fills it, convert_batch and write set the failures, and
 * outcome.c and the worker read them.
 *
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

/* Instead of the number of headers. */
#define SI_UNREADABLE_HEADERS	(-1)

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
	int			nheaders;		/* SI_UNREADABLE_HEADERS: it has some that
								 * cannot be read */
	void	   *handle;			/* by which the consumer releases it */
} SiMessage;

struct SiFailure;

/* A message of a batch, and what has become of it. */
typedef struct SiEntry
{
	SiMessage	message;
	size_t		memory;			/* set by the worker: what it holds */
	struct SiFailure *failure;	/* why it was refused; NULL if it was not */
	bool		already_dead;	/* it was a dead letter before this batch */
} SiEntry;

/* All bytes of a message: key, value, and headers where they are filled in. */
extern size_t si_message_size(const SiMessage *message);

/*
 * What it takes of memory: of many small headers most is what the consumer and the
 * library need to keep them apart.
 */
extern size_t si_message_memory(const SiMessage *message);

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
