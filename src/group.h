/*-------------------------------------------------------------------------
 *
 * group.h
 *	  A consumer group's offsets in Kafka: under which name they are
 *	  published, and how they go away.
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
 * Have the group's offsets for these partitions of a topic deleted, by a child
 * process; those of other topics and partitions stay.  Not in a process that
 * has threads, or children of its own.  Errors: 22023 when librdkafka refuses
 * a property, 53000 when there is no descriptor or process to be had.
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

/* End the child, whatever it does, and free the struct.  Never fails. */
extern void si_group_close(SiGroupDeletion *deletion);

#endif							/* SI_GROUP_H */
