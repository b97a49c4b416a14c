/*-------------------------------------------------------------------------
 *
 * tls_files.c
 *	  The files of certificates and keys that a client was opened with.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include <librdkafka/rdkafka.h>

#include "common/compat.h"
#include "common/words.h"
#include "kafka/tls_files.h"

#define CHECK_MS	5000

#define MAX_FILES	8

/* What changes if a file is replaced or written to; all zeroes if there is none. */
typedef struct FileState
{
	dev_t		device;
	ino_t		inode;
	off_t		size;
	struct timespec modified;
} FileState;

struct SiTlsFiles
{
	int			nproperties;
	SiProperty *properties;		/* those of TLS */
	int			n;
	const char *paths[MAX_FILES];
	FileState	opened[MAX_FILES];	/* when the client was opened */
	FileState	tried[MAX_FILES];	/* when they were last tried */
	bool		unusable;		/* then */
	int64		next_ms;		/* by si_client_now_ms() */
	char		words[256];
};

/* ---- the files ---- */

static bool
is_for_tls(const char *name)
{
	return strncmp(name, "ssl.", strlen("ssl.")) == 0 ||
		strncmp(name, "enable.ssl.", strlen("enable.ssl.")) == 0;
}

static void
read_states(const SiTlsFiles *files, FileState *states)
{
	struct stat st;

	memset(states, 0, sizeof(FileState) * MAX_FILES);
	for (int i = 0; i < files->n; i++)
	{
		if (stat(files->paths[i], &st) != 0)
			continue;
		states[i].device = st.st_dev;
		states[i].inode = st.st_ino;
		states[i].size = st.st_size;
		states[i].modified = st.st_mtim;
	}
}

static bool
same_states(const FileState *a, const FileState *b)
{
	return memcmp(a, b, sizeof(FileState) * MAX_FILES) == 0;
}

SiTlsFiles *
si_tls_files_note(const SiProperty *properties, int nproperties)
{
	SiTlsFiles *files = palloc0(sizeof(SiTlsFiles));

	files->properties = palloc(sizeof(SiProperty) * Max(nproperties, 1));
	for (int i = 0; i < nproperties; i++)
	{
		SiProperty *property = &files->properties[files->nproperties];

		if (!is_for_tls(properties[i].name))
			continue;
		property->name = pstrdup(properties[i].name);
		property->value = pstrdup(properties[i].value);
		files->nproperties++;
		if (si_client_is_location(property->name) && files->n < MAX_FILES)
			files->paths[files->n++] = property->value;
	}
	if (files->n == 0)
		return NULL;
	si_tls_files_note_again(files);
	return files;
}

void
si_tls_files_note_again(SiTlsFiles *files)
{
	if (files == NULL)
		return;
	read_states(files, files->opened);
	memcpy(files->tried, files->opened, sizeof(files->opened));
	files->unusable = false;
	files->next_ms = si_client_now_ms() + CHECK_MS;
}

/* ---- trying them ---- */

/*
 * Could a client be opened with the files as they are?  It has no brokers, connects
 * to nothing and is destroyed within milliseconds.
 */
static bool
try_files(SiTlsFiles *files)
{
	static const SiSetting tls[] = {{"security.protocol", "SSL", false}};
	SiClientFailure failure = {0};
	SiProperty *to_kafka = si_client_to_kafka(files->properties, files->nproperties);
	rd_kafka_conf_t *conf;
	rd_kafka_t *rk = NULL;

	conf = si_client_configure(NULL, 0, to_kafka, files->nproperties, tls, lengthof(tls),
							   "stream_ingest", &failure);
	pfree(to_kafka);
	if (conf != NULL)
	{
		rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, failure.words, sizeof(failure.words));
		if (rk == NULL)
			rd_kafka_conf_destroy(conf);
	}
	if (rk != NULL)
	{
		rd_kafka_destroy(rk);
		return true;
	}
	failure.words[strcspn(failure.words, "\n")] = '\0';
	si_words_copy(files->words, sizeof(files->words), failure.words);
	return false;
}

/* A key and its certificate are replaced one after the other, so a failure may pass. */
SiTlsFilesState
si_tls_files_check(SiTlsFiles *files)
{
	FileState	now[MAX_FILES];

	if (si_client_now_ms() >= files->next_ms)
	{
		read_states(files, now);
		if (same_states(now, files->opened))
			files->unusable = false;
		else if (files->unusable || !same_states(now, files->tried))
		{
			if (try_files(files))
				return SI_TLS_FILES_NEW;
			files->unusable = true;
		}
		memcpy(files->tried, now, sizeof(now));
		files->next_ms = si_client_now_ms() + CHECK_MS;
	}
	return files->unusable ? SI_TLS_FILES_UNUSABLE : SI_TLS_FILES_SAME;
}

const char *
si_tls_files_words(const SiTlsFiles *files)
{
	return files->words;
}
