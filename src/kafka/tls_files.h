/*-------------------------------------------------------------------------
 *
 * tls_files.h
 *	  The files of certificates and keys that a client was opened with.
 *
 * librdkafka reads them once, when a client is created.  Where they are replaced,
 * another client is needed; whether one could be created is tried first.
 *
 * For the main thread.  Called by the worker and by functions that produce.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_TLS_FILES_H
#define SI_TLS_FILES_H

#include "kafka/client.h"

typedef struct SiTlsFiles SiTlsFiles;

typedef enum SiTlsFilesState
{
	SI_TLS_FILES_SAME,
	SI_TLS_FILES_NEW,			/* another client can be opened with them */
	SI_TLS_FILES_UNUSABLE		/* they have changed, but no client can be
								 * opened with them */
} SiTlsFilesState;

/*
 * Remember the state of the files that the properties name, in the current memory
 * context, just before a client is opened; NULL if they name none.
 */
extern SiTlsFiles *si_tls_files_note(const SiProperty *properties, int nproperties);

/* Another client is about to be opened with the same properties; NULL is allowed. */
extern void si_tls_files_note_again(SiTlsFiles *files);

/* Have they changed?  Cheap while they have not; looks once in some seconds at most. */
extern SiTlsFilesState si_tls_files_check(SiTlsFiles *files);

/* Why they are unusable, in one line. */
extern const char *si_tls_files_words(const SiTlsFiles *files);

#endif							/* SI_TLS_FILES_H */
