/*-------------------------------------------------------------------------
 *
 * json_records.h
 *	  The records of a message that holds several: the elements of an array,
 *	  or JSON documents one after the other.
 *
 * Each record is handed out as a message of its own, whose value is a slice of
 * the whole one's; the decoder then takes it like any message.  The text is
 * checked as it is passed, so a reader that stops at an error may have been
 * given records before it: their message is refused as a whole.
 *
 * Pure C, no server.  Called by decoder.c; apply and the SQL function decode()
 * read the struct.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_JSON_RECORDS_H
#define SI_JSON_RECORDS_H

#include "format/decoder.h"
#include "format/json_scan.h"

struct SiRecords
{
	SiMessage	record;			/* the message, with this record as its value */
	int			number;			/* of the record, from 1; 0 before the first */

	/* json_records.c's own */
	bool		lines;
	bool		whole;			/* the array is the whole value */
	bool		more;			/* array: another element follows */
	bool		bare;			/* lines: nothing but its end ends the last
								 * record */
	SiJsonScan	scan;
	const char *next;
};

/*
 * Find the records of a message, which has a value without a frame.  False with
 * *error filled if it has none.
 */
extern bool si_json_records_begin(SiRecords *records, const SiRecordsPath *path,
								  const SiMessage *message, SiArena *arena,
								  SiDecodeError *error);

/*
 * Go to the next record; *found is false where there is none.  False with *error
 * filled if the text is wrong, or there are more than SI_MAX_RECORDS; number has
 * grown then if a record is at fault, and not what is behind the last.
 */
extern bool si_json_records_next(SiRecords *records, bool *found, SiDecodeError *error);

#endif							/* SI_JSON_RECORDS_H */
