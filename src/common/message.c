/*-------------------------------------------------------------------------
 *
 * message.c
 *	  The size of a message, and reducing one that is too large.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "common/message.h"

/* More bytes of headers, in hex, would be beyond what jsonb holds. */
#define MOST_HEADERS	((size_t) 16 * 1024 * 1024)

/* A header is a struct here and an allocation of about 64 bytes in the library. */
#define MEMORY_OF_HEADER	(sizeof(SiHeader) + 64)

/* Headers that cannot be read, which are more than 100,000 most of the time. */
#define MEMORY_OF_UNREADABLE_HEADERS	300000

/* The bytes of its headers, as far as they were read. */
static size_t
headers_size(const SiMessage *message)
{
	size_t		size = 0;
	int			i;

	for (i = 0; i < message->nheaders; i++)
		size += strlen(message->headers[i].name) + message->headers[i].value_len;
	return size;
}

size_t
si_message_size(const SiMessage *message)
{
	return message->key_len + message->value_len + headers_size(message);
}

size_t
si_message_memory(const SiMessage *message)
{
	if (message->nheaders == SI_UNREADABLE_HEADERS)
		return si_message_size(message) + MEMORY_OF_UNREADABLE_HEADERS;
	return si_message_size(message) + (size_t) message->nheaders * MEMORY_OF_HEADER;
}

void
si_message_reduce(SiMessage *message, size_t most)
{
	size_t		size = si_message_size(message);
	size_t		most_headers = most < MOST_HEADERS ? most : MOST_HEADERS;

	if (si_message_is_reduced(message) ||
		(size <= most && headers_size(message) <= most_headers))
		return;
	message->value = NULL;
	message->value_len += message->key_len;
	if (message->value_len == 0)
		message->value_len = size;
	if (message->key_len > most)
	{
		message->key = NULL;
		message->key_len = 0;
	}
	if (headers_size(message) > most_headers)
	{
		message->headers = NULL;
		message->nheaders = 0;
	}
}
