/*-------------------------------------------------------------------------
 *
 * held.c
 *	  Messages of the library that are not released yet.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <librdkafka/rdkafka.h>

#include "common/compat.h"
#include "common/words.h"
#include "kafka/held.h"

/* The length at which words about a message are cut. */
#define WORDS_LEN	256

/* A handle is a slot's number plus one, so that it is never NULL. */
static int
slot_of(void *handle)
{
	return (int) (intptr_t) handle - 1;
}

void
si_held_init(SiHeld *held)
{
	memset(held, 0, sizeof(SiHeld));
	held->first_free = -1;
}

void
si_held_destroy(SiHeld *held)
{
	int			slot;

	for (slot = 0; slot < held->nslots; slot++)
	{
		if (held->slots[slot].rkmessage != NULL)
			si_held_release(held, (void *) (intptr_t) (slot + 1));
	}
	free(held->slots);
	si_held_init(held);
}

void
si_held_reserve(SiHeld *held, int n)
{
	SiHeldSlot *slots;
	int			size;
	int			slot;

	if (held->nfree >= n)
		return;
	size = held->nslots + Max(n, held->nslots);
	slots = realloc(held->slots, size * sizeof(SiHeldSlot));
	if (slots == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	held->slots = slots;
	for (slot = size - 1; slot >= held->nslots; slot--)
	{
		slots[slot].rkmessage = NULL;
		slots[slot].headers = NULL;
		slots[slot].words = NULL;
		slots[slot].next_free = held->first_free;
		held->first_free = slot;
	}
	held->nfree += size - held->nslots;
	held->nslots = size;
}

void *
si_held_keep(SiHeld *held, rd_kafka_message_t *rkmessage)
{
	int			slot = held->first_free;

	Assert(held->nfree > 0);
	held->first_free = held->slots[slot].next_free;
	held->nfree--;
	held->slots[slot].rkmessage = rkmessage;
	return (void *) (intptr_t) (slot + 1);
}

/* The library parses headers only on this request. */
bool
si_held_read_headers(SiHeld *held, SiMessage *message)
{
	SiHeldSlot *slot = &held->slots[slot_of(message->handle)];
	rd_kafka_headers_t *headers;
	rd_kafka_resp_err_t err;
	int			count;
	int			i;

	/* a batch that is retried asks again */
	if (slot->headers != NULL)
	{
		message->headers = slot->headers;
		message->nheaders = slot->nheaders;
		return true;
	}
	err = rd_kafka_message_headers(slot->rkmessage, &headers);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		/* the library takes no malformed ones, and no more than 100,000 */
		message->nheaders = err == RD_KAFKA_RESP_ERR__NOENT ? 0 : SI_UNREADABLE_HEADERS;
		return true;
	}
	count = rd_kafka_header_cnt(headers);
	if (count == 0)
		return true;
	slot->headers = malloc(count * sizeof(SiHeader));
	if (slot->headers == NULL)
		return false;
	for (i = 0; i < count; i++)
	{
		SiHeader   *header = &slot->headers[i];
		const void *value = NULL;

		header->value_len = 0;
		if (rd_kafka_header_get_all(headers, i, &header->name, &value,
									&header->value_len) != RD_KAFKA_RESP_ERR_NO_ERROR)
			break;
		header->value = value;
	}
	slot->nheaders = i;
	message->headers = slot->headers;
	message->nheaders = i;
	return true;
}

const char *
si_held_words(SiHeld *held, void *handle, const char *words)
{
	SiHeldSlot *slot = &held->slots[slot_of(handle)];

	if (slot->words == NULL)
		slot->words = malloc(WORDS_LEN);
	if (slot->words == NULL)
		return "out of memory";
	si_words_copy(slot->words, WORDS_LEN, words);
	return slot->words;
}

void
si_held_release(SiHeld *held, void *handle)
{
	int			number = slot_of(handle);
	SiHeldSlot *slot;

	Assert(number >= 0 && number < held->nslots);
	slot = &held->slots[number];
	Assert(slot->rkmessage != NULL);
	rd_kafka_message_destroy(slot->rkmessage);
	slot->rkmessage = NULL;
	if (slot->headers != NULL)
	{
		free(slot->headers);
		slot->headers = NULL;
	}
	free(slot->words);
	slot->words = NULL;
	slot->next_free = held->first_free;
	held->first_free = number;
	held->nfree++;
}
