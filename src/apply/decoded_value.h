/*-------------------------------------------------------------------------
 *
 * decoded_value.h
 *	  "$value" of a format that is no text: the value as the decoder reads it.
 *
 * A bytea column takes the bytes as they came, whatever the format.  Any other
 * column takes bytes as text, which the messages of such a format are not: it
 * takes the decoded value instead.  Called by writer.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_DECODED_VALUE_H
#define SI_DECODED_VALUE_H

#include "apply/mapping.h"

/*
 * Let the mapping's columns that take "$value", but those of type bytea, take
 * the decoder's field that is the value as a whole.  Does nothing for formats
 * whose value is text or bytes.
 */
extern void si_decoded_value_take(SiMapping *mapping, const char *format);

#endif							/* SI_DECODED_VALUE_H */
