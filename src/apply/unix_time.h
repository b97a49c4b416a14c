/*-------------------------------------------------------------------------
 *
 * unix_time.h
 *	  Numbers that count from 1970, as "epoch_unit" reads them.
 *
 * Exact: no float is between a message's digits and the microseconds of a
 * timestamp.  Called by datum.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_UNIX_TIME_H
#define SI_UNIX_TIME_H

#include "options/option_values.h"

/* Is this text, which need not end in a NUL, a number as JSON has it? */
extern bool si_unix_time_is_number(const char *number, size_t len);

/*
 * Read a JSON number as microseconds since 1970.  Half a microsecond is
 * rounded away from zero, as numeric does.  False if it is out of range.
 */
extern bool si_unix_time_parse(const char *number, size_t len, SiEpochUnit unit, int64 *usecs);

#endif							/* SI_UNIX_TIME_H */
