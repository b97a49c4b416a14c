/*-------------------------------------------------------------------------
 *
 * former_group.h
 *	  Offsets in Kafka that a subscription has left behind.
 *
 * What a change of a subscription may leave behind (it was dropped, or
 * publishes elsewhere now) is noted in the transaction of the change, and so
 * only if that commits.  Whether anything really was, is found out by whoever
 * takes the note (cleaner.h).
 *
 * Called by catalog and the functions that change a subscription (to note),
 * scanner and cleaner.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_FORMER_GROUP_H
#define SI_FORMER_GROUP_H

/* A subscription as it was when it may have published something. */
typedef struct SiFormerGroup
{
	int32		subscription;
	int64		epoch;			/* its last one */
	char	   *name;
	Oid			owner;			/* whose credentials it used */
	char	   *server;
	char	   *topic;
	char	   *options_text;
	int32	   *partitions;		/* of which it had progress */
	int			npartitions;
} SiFormerGroup;

/*
 * Note what a subscription publishes now, before it is changed or deleted.
 * Nothing is noted of one that has no progress yet, or that is not at home
 * here: a copy must not delete what belongs to the original.
 */
extern void si_former_group_note(int32 subscription, Oid extension);

/* Is there any note? */
extern bool si_former_group_any(void);

/*
 * Take one note, deleting it: what cannot be deleted in Kafka at the first try
 * is left there.  In the current memory context; NULL if there is none, or
 * they are all being taken by others.
 */
extern SiFormerGroup *si_former_group_take(void);

#endif							/* SI_FORMER_GROUP_H */
