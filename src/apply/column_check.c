/*-------------------------------------------------------------------------
 *
 * column_check.c
 *	  Whether a subscription's batches may add columns to their target:
 *	  unknown_fields = add_columns.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/rel.h"

#include "apply/column_check.h"
#include "apply/remote.h"
#include "common/compat.h"

/* Do messages have schemas that say what their fields are? */
static void
check_format(const char *format, const SiFormatOptions *options, bool transcodes)
{
	const SiDecoderRoutine *routine = si_decoder_find(format);
	SiEnvelopeKind envelope = options->envelope;
	bool		wrapped = routine->value == SI_WHOLE_JSON;

	if (routine->describe == NULL ||
		(wrapped && envelope != SI_ENVELOPE_DEBEZIUM && envelope != SI_ENVELOPE_CONNECT))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"unknown_fields\" cannot be \"add_columns\": messages of format \"%s\" do not say the types of their fields",
						format),
				 errhint("Use it with format \"avro\" or \"protobuf\", or with format \"json\" and envelope \"debezium\" or \"connect\".")));
	if (transcodes)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"unknown_fields\" cannot be \"add_columns\" with option \"encoding\""),
				 errhint("Have the messages produced in UTF-8.")));
}

/* Can the target have more columns? */
static void
check_kind(Relation target)
{
	char		kind = target->rd_rel->relkind;
	bool		is_table = kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE;
	const char *detail = NULL;

	if (!is_table || si_target_is_remote(RelationGetRelid(target)))
		detail = "It is not a table whose rows are all stored in this database.";
	else if (target->rd_rel->relispartition)
		detail = "It is a partition, which has the columns of its parent.";
	else if (OidIsValid(target->rd_rel->reloftype))
		detail = "It is a table of a type, whose columns it has.";
	if (detail != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("columns cannot be added to target \"%s\"",
						RelationGetRelationName(target)),
				 errdetail_internal("%s", detail),
				 errhint("Set the option \"unknown_fields\" to \"ignore\" or \"error\".")));
}

/* May this role alter the target? */
static void
check_owner(Relation target, Oid role)
{
	if (!owns_relation_compat(RelationGetRelid(target), role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" cannot add columns to target \"%s\", which it does not own",
						GetUserNameFromId(role, false), RelationGetRelationName(target)),
				 errhint("Have the batches run as the owner of the target, or set the option \"unknown_fields\" to \"ignore\" or \"error\".")));
}

void
si_column_check_target(Relation target, Oid role)
{
	check_kind(target);
	check_owner(target, role);
}

void
si_column_check(Relation target, Oid role, const char *format, const SiFormatOptions *options,
				bool transcodes)
{
	if (target == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"unknown_fields\" can be \"add_columns\" with \"target\" only"),
				 errhint("The argument \"fields\" says what the statement in \"apply\" reads.")));
	check_format(format, options, transcodes);
	si_column_check_target(target, role);
}
