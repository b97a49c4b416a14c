/*-------------------------------------------------------------------------
 *
 * guc.h
 *	  The extension's settings.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_GUC_H
#define SI_GUC_H

typedef enum SiDecodeAhead
{
	SI_DECODE_AHEAD_AUTO,
	SI_DECODE_AHEAD_ON,
	SI_DECODE_AHEAD_OFF
} SiDecodeAhead;

extern bool si_guc_enabled;
extern bool si_guc_direct_write;
extern int	si_guc_decode_ahead;	/* SiDecodeAhead */
extern int	si_guc_max_subscriptions;
extern int	si_guc_max_subscriptions_per_role;	/* -1: as many as there are */
extern int	si_guc_max_workers;
extern int	si_guc_max_partitions;

/* Define the settings; called by _PG_init. */
extern void si_guc_init(void);

#endif							/* SI_GUC_H */
