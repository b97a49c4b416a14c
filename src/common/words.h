/*-------------------------------------------------------------------------
 *
 * words.h
 *	  Text from and for other programs, made printable.
 *
 * A broker's words may be anything: bytes that are invalid in the database's
 * encoding, control characters for the reader's terminal, megabytes.  And the
 * names of a database are in its own encoding, which Kafka, and a session in
 * another database, misread.  Bytes that cannot be shown are written as \xNN.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_WORDS_H
#define SI_WORDS_H

/*
 * Copy another program's words as one line that is valid in the database's
 * encoding, cut to size.  Any thread may call it: it neither allocates nor
 * throws.
 */
extern void si_words_copy(char *dest, size_t size, const char *words);

/*
 * Copy a name as ASCII, for what other databases see (pg_stat_activity, shared
 * memory).  As above.
 */
extern void si_words_copy_ascii(char *dest, size_t size, const char *words);

/*
 * Bytes that may be UTF-8 as text in the database's encoding; characters that it
 * lacks, and control characters, as \xNN.  palloc'd.
 */
extern char *si_words_show(const char *data, size_t len);

/*
 * A text of this database as Kafka reads it, in UTF-8; the argument itself, or
 * palloc'd.  Invalid bytes (a database's name may be in another one's encoding)
 * become \xNN.  In a transaction.
 */
extern const char *si_words_to_kafka(const char *words);

#endif							/* SI_WORDS_H */
