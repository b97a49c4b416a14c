/*-------------------------------------------------------------------------
 *
 * source_kind.h
 *	  The kinds of sources that a column's value can come from.
 *
 * A header of its own, because mapping and mapping_source both need it, and
 * mapping_source.h includes jansson.h.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_SOURCE_KIND_H
#define SI_SOURCE_KIND_H

/* Where a column's value comes from. */
typedef enum SiSourceKind
{
	SI_SOURCE_FIELD,			/* the decoder's field number `field` */
	SI_SOURCE_VALUE,			/* $value: all of the value, as it came */
	SI_SOURCE_KEY,				/* $key: all of the key, as it came */
	SI_SOURCE_TOPIC,
	SI_SOURCE_PARTITION,
	SI_SOURCE_OFFSET,
	SI_SOURCE_TIMESTAMP,
	SI_SOURCE_RECORD,			/* $record: the record's number in its message */
	SI_SOURCE_HEADERS,			/* $headers: a JSON object, the last of equal
								 * names winning */
	SI_SOURCE_HEADER,			/* $headers.name */
	SI_SOURCE_DELETED			/* _deleted of apply's batch */
} SiSourceKind;

#endif							/* SI_SOURCE_KIND_H */
