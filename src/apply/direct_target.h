/*-------------------------------------------------------------------------
 *
 * direct_target.h
 *	  Which targets the direct path serves, and who may write to them.
 *
 * Called by writer, direct and left_out.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_DIRECT_TARGET_H
#define SI_DIRECT_TARGET_H

#include "apply/mapping.h"
#include "nodes/plannodes.h"
#include "utils/rel.h"

/*
 * Can rows with this mapping go into the target directly?  insert: the plan of
 * the INSERT that would do the same.  False for what the direct path leaves to
 * the executor:
 *
 * - a plan that is not one ModifyTable node of the table: another extension's
 *	 planner hook has replaced it (a distributed table);
 * - rules;
 * - views and foreign tables (the caller excludes those with foreign
 *	 partitions);
 * - row-level security;
 * - triggers before each row, which may look at the rows before theirs, and
 *	 triggers with transition tables;
 * - a column outside the mapping whose default is volatile (nextval() apart),
 *	 or whose type is a domain without a default;
 * - a volatile CHECK constraint, which may look at the rows before its own, or
 *	 have an effect.
 */
extern bool si_direct_possible(Relation target, const SiMapping *mapping,
							   const PlannedStmt *insert);

/*
 * Has a CHECK constraint of the table functions of this kind?  As
 * contain_volatile_functions() or contain_mutable_functions() tell of an expression.
 */
extern bool si_direct_checks_contain(Relation relation, bool (*functions) (Node *));

/* The mapping's column for an attribute, or NULL. */
extern const SiColumn *si_direct_column(const SiMapping *mapping, AttrNumber attnum);

/*
 * Can a row lack a value for this attribute, so that its default is wanted?
 * Generated columns are computed later.
 */
extern bool si_direct_wants_default(const SiMapping *mapping, Form_pg_attribute attribute);

/* May the current user insert into the mapping's columns?  Error 42501 if not. */
extern void si_direct_check_privileges(Relation target, const SiMapping *mapping);

/* The columns that the rows have values for, as a range table has them. */
extern Bitmapset *si_direct_inserted_columns(const SiMapping *mapping);

#endif							/* SI_DIRECT_TARGET_H */
