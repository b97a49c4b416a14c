/*-------------------------------------------------------------------------
 *
 * key.h
 *	  The key of a target: what upserts and deletes find a row by.
 *
 * A unique index stands behind it, whose equality and collation decide whether
 * two records are of one row.  Called by writer.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_KEY_H
#define SI_KEY_H

#include "apply/mapping.h"
#include "utils/rel.h"

typedef struct SiKeyColumn
{
	AttrNumber	attnum;			/* in the target */
	const char *name;
	int			column;			/* in the mapping */
	Oid			opclass;		/* the index's, InvalidOid without one */
	Oid			collation;		/* the index's; InvalidOid if it has none */
	Oid			equal;			/* operators of the index */
	Oid			less;
	bool		same_image;		/* equal values are the same bytes */
} SiKeyColumn;

typedef struct SiKey
{
	int			ncolumns;
	SiKeyColumn *columns;
	bool		nulls_distinct; /* a NULL is not equal to another */
	bool		has_index;		/* false for what is elsewhere */
	bool		is_alone;		/* no other index of the table or its
								 * partitions can refuse a row at once */
} SiKey;

/*
 * Find the unique index with these columns (a name[], 0 for the target's
 * primary key), of the target or of the table below an updatable view.  The
 * result is in the current memory context.  Errors: 42703 for an unknown
 * column, 42P10 where there is no index that serves, with the reason.
 */
extern SiKey *si_key_find(Relation target, const SiMapping *mapping, Datum names);

/* Operator as OPERATOR(schema.name), and a COLLATE clause ("" for none). */
extern char *si_key_operator_text(Oid operator);
extern char *si_key_collate_text(Oid collation);

/*
 * The left or right operand of an operator, cast to the operator's own type
 * where it is of another: no operator of that name that is made for just the
 * operand's type (a domain, say) can then be meant instead.
 */
extern char *si_key_operand_text(Oid operator, bool left, Oid type, const char *operand);
extern char *si_key_opclass_text(Oid opclass);

#endif							/* SI_KEY_H */
