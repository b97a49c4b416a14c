/*-------------------------------------------------------------------------
 *
 * held.h
 *	  Messages of the library that are not released yet.
 *
 * A message that is never destroyed would make the library's destruction hang,
 * so every message is registered here until its user releases it.
 *
 * By the main thread alone.  Called by consumer, and for headers by apply.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_HELD_H
#define SI_HELD_H

#include "common/message.h"

struct rd_kafka_message_s;

typedef struct SiHeldSlot
{
	struct rd_kafka_message_s *rkmessage;	/* NULL if the slot is free */
	SiHeader   *headers;		/* NULL until they are read */
	int			nheaders;
	char	   *words;			/* of an error */
	int			next_free;		/* -1 ends the list */
} SiHeldSlot;

typedef struct SiHeld
{
	SiHeldSlot *slots;
	int			nslots;			/* allocated */
	int			nfree;			/* of these, free */
	int			first_free;
} SiHeld;

extern void si_held_init(SiHeld *held);

/* Release all messages, and the memory. */
extern void si_held_destroy(SiHeld *held);

/*
 * Make room for n messages before they are taken from the library.  Error
 * 53200 if there is none.
 */
extern void si_held_reserve(SiHeld *held, int n);

/* Hold a message, for which there is room; returns its SiMessage.handle. */
extern void *si_held_keep(SiHeld *held, struct rd_kafka_message_s *rkmessage);

/*
 * Fill in the headers of a message that is held, if the consumer was opened
 * without want_headers, or note that they cannot be read; valid until it is
 * released.  False when out of memory.
 */
extern bool si_held_read_headers(SiHeld *held, SiMessage *message);

/*
 * Copy words about a message, made printable; valid until it is released.  Never
 * NULL.
 */
extern const char *si_held_words(SiHeld *held, void *handle, const char *words);

/* Release a message to the library. */
extern void si_held_release(SiHeld *held, void *handle);

#endif							/* SI_HELD_H */
