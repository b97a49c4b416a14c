/*-------------------------------------------------------------------------
 *
 * avro_read.h
 *	  Single values out of an Avro message, checked.
 *
 * A message is a stranger's bytes: every length, count and number in it is
 * checked before it is used, nothing is allocated by what it claims, and there
 * is a bound on the work that values without any bytes make.
 *
 * Steps take the position p of the next byte to read and return the position
 * behind what they read, or NULL with the reader's fault set.  (The position is
 * no member of the reader: it would go through memory at every step.)
 *
 * Pure C, no server.  Called by decode_avro and avro_document.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_AVRO_READ_H
#define SI_AVRO_READ_H

#include "format/avro_schema.h"
#include "format/decoder.h"

/* So many records, arrays and maps may be within one another. */
#define SI_AVRO_MAX_DEPTH		200

/* So many values of a message may take no bytes. */
#define SI_AVRO_MAX_EMPTY		1000000

/* What is wrong with a message. */
typedef enum SiAvroFault
{
	SI_AVRO_NO_FAULT,
	SI_AVRO_TRUNCATED,
	SI_AVRO_TRAILING_BYTES,
	SI_AVRO_LONG_NUMBER,
	SI_AVRO_INT_RANGE,
	SI_AVRO_BAD_BOOLEAN,
	SI_AVRO_NEGATIVE_LENGTH,
	SI_AVRO_BAD_BRANCH,
	SI_AVRO_BAD_SYMBOL,
	SI_AVRO_BLOCK_SIZE,
	SI_AVRO_BAD_UTF8,
	SI_AVRO_TIME_RANGE,
	SI_AVRO_LARGE_DECIMAL,
	SI_AVRO_SCALE_RANGE,
	SI_AVRO_TOO_MANY,
	SI_AVRO_TOO_DEEP,
	SI_AVRO_LARGE_DOCUMENT,
	SI_AVRO_NO_MEMORY
} SiAvroFault;

typedef struct SiAvroReader
{
	const char *start;
	const char *end;
	SiArena    *arena;			/* for what is not in the message as it is */
	int			depth;			/* records, arrays and maps entered */
	size_t		spare;			/* records and values without bytes that may
								 * still come */
	SiAvroFault fault;
	const char *fault_pos;
} SiAvroReader;

/* Items of an array or map, as the message has them in blocks. */
typedef struct SiAvroBlock
{
	uint64_t	count;			/* items in this block; 0 ends the array */
	const char *end;			/* where the block ends, if that is given */
} SiAvroBlock;

/* Begin with a message; returns where to read. */
extern const char *si_avro_begin(SiAvroReader *reader, const char *data, size_t len,
								 SiArena *arena);

/* Set the fault, found at p, and return NULL. */
extern const char *si_avro_refuse(SiAvroReader *reader, const char *p, SiAvroFault fault);

/* Word the fault; returns false. */
extern bool si_avro_report(const SiAvroReader *reader, SiDecodeError *error);

/* Read a value that is no record, union, array or map. */
extern const char *si_avro_read_scalar(SiAvroReader *reader, const SiAvroType *type,
									   const char *p, SiValue *value);

/* Read a string, such as a map's key. */
extern const char *si_avro_read_string(SiAvroReader *reader, const char *p,
									   SiValue *value);

/* Read which branch of a union follows. */
extern const char *si_avro_read_branch(SiAvroReader *reader, const SiAvroType *type,
									   const char *p, int *branch);

/* Read the beginning of the next block of an array or map. */
extern const char *si_avro_read_block(SiAvroReader *reader, const char *p,
									  SiAvroBlock *block);

/* After a block's items: do they end where its size puts the end? */
static inline const char *
si_avro_end_block(SiAvroReader *reader, const char *p, const SiAvroBlock *block)
{
	if (p != NULL && block->end != NULL && p != block->end)
		return si_avro_refuse(reader, p, SI_AVRO_BLOCK_SIZE);
	return p;
}

/* Enter a record, array or map; false, with the fault set, if it is too much. */
static inline bool
si_avro_enter(SiAvroReader *reader, const char *p)
{
	if (reader->depth >= SI_AVRO_MAX_DEPTH)
		return si_avro_refuse(reader, p, SI_AVRO_TOO_DEEP) != NULL;
	if (reader->spare == 0)
		return si_avro_refuse(reader, p, SI_AVRO_TOO_MANY) != NULL;
	reader->spare--;
	reader->depth++;
	return true;
}

static inline void
si_avro_leave(SiAvroReader *reader)
{
	reader->depth--;
}

/*
 * Skip a value that no field takes.  Its bounds are checked, and whatever gives
 * its end; its text and its enums' numbers are not.
 */
extern const char *si_avro_skip(SiAvroReader *reader, const SiAvroType *type,
								const char *p);

#endif							/* SI_AVRO_READ_H */
