/*-------------------------------------------------------------------------
 *
 * group.h
 *	  A consumer group's offsets in Kafka: under which name they are
 *	  published, and how they go away.
 *
 * Deleting is asked for and then waited for on a descriptor; nothing here
 * blocks but si_group_close, which is bounded.
 *
 * Called by the worker (the name) and the cleaner.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_GROUP_H
#define SI_GROUP_H

#include "client.h"

typedef struct SiGroupDeletion SiGroupDeletion;

/*
 * The group of a subscription, palloc'd: what its option group_id says, or
 * NULL for none, and then what follows from the other three.
 */
extern char *si_group_name(const char *group_id, const char *prefix,
						   const char *database, const char *subscription);

/*
 * Have the group's offsets for these partitions of a topic deleted; those of
 * other topics and partitions stay.  Errors: as si_consumer_open.
 */
extern SiGroupDeletion *si_group_delete_offsets(const SiProperty *properties, int nproperties,
												const char *client_id, const char *group,
												const char *topic, const int32 *partitions,
												int n, int timeout_ms);

/* Readable when there may be an answer. */
extern int	si_group_fd(const SiGroupDeletion *deletion);

/*
 * Has the answer come, or the time run out?  Then why nothing was deleted is
 * in words, which is empty if there is nothing any more.
 */
extern bool si_group_done(SiGroupDeletion *deletion, char *words, size_t size);

/*
 * Free it; false if the library did not stop within the time (its thread then
 * ends with the process).
 */
extern bool si_group_close(SiGroupDeletion *deletion, int timeout_ms);

#endif							/* SI_GROUP_H */
