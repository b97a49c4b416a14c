/*-------------------------------------------------------------------------
 *
 * record.h
 *	  A decoded message, as a value: an operation and the fields that were
 *	  asked for.
 *
 * Values point into the message or into the batch's arena.  Text is in the
 * messages' encoding and never NUL-terminated.  The file needs no server
 * header.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_RECORD_H
#define SI_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum SiOperation
{
	SI_OP_WRITE,
	SI_OP_DELETE,				/* a tombstone, or a change event that deletes */
	SI_OP_IGNORE				/* a change event that concerns no row */
} SiOperation;

typedef enum SiValueKind
{
	SI_VALUE_ABSENT,			/* the message has no such field */
	SI_VALUE_NULL,
	SI_VALUE_TRUE,
	SI_VALUE_FALSE,
	SI_VALUE_NUMBER,			/* data: the number as written, every digit */
	SI_VALUE_STRING,			/* data: the text, escapes resolved */
	SI_VALUE_OBJECT,			/* data: JSON text */
	SI_VALUE_ARRAY,				/* data: JSON text */
	SI_VALUE_BYTES,				/* data: bytes without an encoding */
	SI_VALUE_TEXT,				/* data: text in the notation of whatever type
								 * takes it, as COPY has it */
	SI_VALUE_WRITTEN,			/* data: a JSON string as it is written, with
								 * its quotes */
	SI_VALUE_STORED,			/* no decoder's: integer is what the column
								 * stores; see convert_ahead.h */

	/* typed values, of formats that are not text; see si_value_is_typed */
	SI_VALUE_INTEGER,			/* integer / 10^scale */
	SI_VALUE_REAL,				/* real */
	SI_VALUE_DATE,				/* integer: days since 1970 */
	SI_VALUE_TIME,				/* integer: microseconds since midnight */
	SI_VALUE_TIMESTAMP,			/* integer: microseconds since 1970, no zone */
	SI_VALUE_INSTANT			/* integer: microseconds since 1970, UTC */
} SiValueKind;

/* The greatest scale of an INTEGER; a NUMBER holds what is beyond it. */
#define SI_VALUE_MAX_SCALE	18

typedef struct SiValue
{
	SiValueKind kind;
	int32_t		scale;
	union
	{
		const char *data;
		int64_t		integer;
		double		real;
	};
	size_t		len;			/* of data */
} SiValue;

/* Does the value lie in the struct itself, and not in data? */
static inline bool
si_value_is_typed(const SiValue *value)
{
	return value->kind >= SI_VALUE_INTEGER;
}

typedef struct SiRecord
{
	SiOperation op;
	int			number;			/* of the record in its message, from 1; 0 of
								 * a tombstone */
	int			nfields;
	SiValue    *fields;			/* by the number of the wanted field */
	SiValue    *old_fields;		/* the same of the row before an update; NULL
								 * where it does not count */
	bool		any_field;		/* is one of them present? */
	SiValue		unknown;		/* name of a top-level field that no column
								 * takes; ABSENT if none, or if not asked for */
} SiRecord;

/* Why a message could not be decoded. */
typedef struct SiDecodeError
{
	char		sqlstate[6];
	char		message[192];	/* our own words, never a byte of the payload */
	char		detail[256];	/* may quote bytes of the payload, not always
								 * valid in any encoding; empty if there is
								 * none */
} SiDecodeError;

#endif							/* SI_RECORD_H */
