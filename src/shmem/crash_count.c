/*-------------------------------------------------------------------------
 *
 * crash_count.c
 *	  How often in a row the workers of a subscription have crashed the server.
 *
 * The counts are the postmaster's: it alone survives a crash, and the processes
 * that it starts afterwards inherit them.  They are also in a file, since a server
 * with restart_after_crash = off is started again by another program.  The file
 * lies where base backups leave it out.  It holds numbers only; one that is damaged
 * or of another version counts as missing.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "pgstat.h"
#include "port/pg_crc32c.h"
#include "utils/timestamp.h"

#include "shmem/crash_count.h"

#define FILE_NAME		PG_STAT_TMP_DIR "/stream_ingest.crashes"
#define FILE_MAGIC		0x53494331	/* "SIC1" */

static SiCrashFile file;
static bool changed = false;

static uint32
checksum(void)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, file.counts, sizeof(file.counts));
	FIN_CRC32C(crc);
	return crc;
}

void
si_crash_count_load(void)
{
	int			fd = open(FILE_NAME, O_RDONLY | PG_BINARY, 0);
	bool		valid;

	if (fd < 0)
		return;
	valid = read(fd, &file, sizeof(file)) == sizeof(file) &&
		file.magic == FILE_MAGIC && file.crc == checksum();
	(void) close(fd);
	if (!valid)
		memset(&file, 0, sizeof(file));
}

/* The entry of a subscription, or NULL. */
static SiCrashCount *
find_entry(Oid database, int32 subscription)
{
	for (int i = 0; i < SI_MAX_CRASH_COUNTS; i++)
	{
		SiCrashCount *entry = &file.counts[i];

		if (entry->count > 0 && entry->database == database &&
			entry->subscription == subscription)
			return entry;
	}
	return NULL;
}

/* A free entry, or the one whose crash is the longest ago. */
static SiCrashCount *
make_entry(void)
{
	SiCrashCount *oldest = &file.counts[0];

	for (int i = 0; i < SI_MAX_CRASH_COUNTS; i++)
	{
		SiCrashCount *entry = &file.counts[i];

		if (entry->count == 0)
			return entry;
		if (entry->crashed_at < oldest->crashed_at)
			oldest = entry;
	}
	return oldest;
}

void
si_crash_count_add(Oid database, int32 subscription, int64 epoch, bool ran_well)
{
	SiCrashCount *entry = find_entry(database, subscription);

	if (entry == NULL)
	{
		entry = make_entry();
		memset(entry, 0, sizeof(SiCrashCount));
	}
	if (ran_well || entry->epoch != epoch)
		entry->count = 0;
	entry->database = database;
	entry->subscription = subscription;
	entry->epoch = epoch;
	entry->crashed_at = GetCurrentTimestamp();
	entry->count++;
	changed = true;
}

void
si_crash_count_clear(Oid database, int32 subscription)
{
	SiCrashCount *entry = find_entry(database, subscription);

	if (entry == NULL)
		return;
	memset(entry, 0, sizeof(SiCrashCount));
	changed = true;
}

/* Not flushed: it need survive the processes, not the machine. */
void
si_crash_count_save(void)
{
	int			fd;
	bool		written;

	if (!changed)
		return;
	changed = false;
	file.magic = FILE_MAGIC;
	file.crc = checksum();
	fd = open(FILE_NAME ".tmp", O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY, pg_file_create_mode);
	written = fd >= 0 && write(fd, &file, sizeof(file)) == sizeof(file);
	if (fd >= 0)
		written = close(fd) == 0 && written;
	if (!written || rename(FILE_NAME ".tmp", FILE_NAME) != 0)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", FILE_NAME)));
}

int
si_crash_count(Oid database, int32 subscription, int64 epoch)
{
	SiCrashCount *entry = find_entry(database, subscription);

	return entry != NULL && entry->epoch == epoch ? entry->count : 0;
}
