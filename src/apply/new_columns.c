/*-------------------------------------------------------------------------
 *
 * new_columns.c
 *	  Columns that the target lacks and a schema describes: unknown_fields =
 *	  add_columns.
 *
 * Names and types come from the producers of the topic.  A name reaches the statement
 * as a quoted identifier, and only if it can be a column's as it is; a type is one of
 * a fixed list, written so that no search_path makes another one of it.
 *
 * What is to be added is decided under the lock that ALTER TABLE takes, so workers
 * that meet a schema at the same time add each column once.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "apply/column_check.h"
#include "apply/new_columns.h"
#include "apply/schema_column.h"
#include "catalog/transaction.h"
#include "common/failure.h"
#include "common/words.h"
#include "format/match_names.h"

/* What is remembered of schemas; then it is forgotten, and found out again. */
#define MOST_SEEN		100
#define MOST_SEEN_BYTES	(4 * 1024 * 1024)

/* How many bytes of the list of columns the log has. */
#define LOGGED_BYTES	1000

/*
 * By what a message names its schema: an id, and bytes that say which type it is, or
 * are the schema.  They stand in a header, or begin the payload.
 */
typedef struct Naming
{
	SiSchemaId	id;
	bool		of_payload;
	const char *bytes;
	size_t		len;
} Naming;

typedef struct NewColumn
{
	char	   *name;
	SiColumnType type;
} NewColumn;

/* What is added to a target, decided under the lock. */
typedef struct Addition
{
	bool		no_room;		/* nothing: they are too many */
	Oid			role;			/* that adds them */
	List	   *columns;		/* of NewColumn; NIL: all are there */
	int			added;			/* with these, since the subscription was
								 * enabled */
	char	   *command;
	char	   *target;
	char		words[LOGGED_BYTES];
} Addition;

typedef struct SiNewColumns
{
	const SiDecoderRoutine *routine;
	bool		one_schema;		/* the options have the one of all messages */

	/* schemas that ask for nothing, or for what cannot be added */
	MemoryContext seen_context;
	Naming		seen[MOST_SEEN];
	int			nseen;
	int			last;			/* the one that was found last */
	size_t		seen_bytes;

	/* the schema looked at last */
	MemoryContext wanted_context;
	Naming		naming;
	List	   *wanted;			/* of NewColumn */
} SiNewColumns;

/* What keeps track of schemas, for as long as the plan. */
static SiNewColumns *
create(SiPlan *plan)
{
	SiNewColumns *new_columns = MemoryContextAllocZero(plan->made_context, sizeof(SiNewColumns));

	new_columns->routine = si_decoder_find(plan->subscription->format);
	new_columns->one_schema = plan->format.schema != NULL;
	new_columns->seen_context = AllocSetContextCreate(plan->made_context,
													  "stream_ingest schemas seen",
													  ALLOCSET_DEFAULT_SIZES);
	new_columns->wanted_context = AllocSetContextCreate(plan->made_context,
														"stream_ingest new columns",
														ALLOCSET_SMALL_SIZES);
	return new_columns;
}

/* ---- schemas that were looked at ---- */

/* Does a message, whose frame was read, name this schema? */
static bool
is_named(const Naming *naming, const SiFrame *frame)
{
	const char *bytes = naming->of_payload ? frame->payload : frame->naming;

	if (memcmp(&naming->id, &frame->id, sizeof(SiSchemaId)) != 0 ||
		naming->of_payload != (frame->naming == NULL))
		return false;
	if (naming->of_payload ? frame->payload_len < naming->len : frame->naming_len != naming->len)
		return false;
	return naming->len == 0 || memcmp(bytes, naming->bytes, naming->len) == 0;
}

static bool
is_seen(SiNewColumns *new_columns, const SiFrame *frame)
{
	for (int i = 0; i < new_columns->nseen; i++)
	{
		int			at = (new_columns->last + i) % new_columns->nseen;

		if (is_named(&new_columns->seen[at], frame))
		{
			new_columns->last = at;
			return true;
		}
	}
	return false;
}

/* Remember the schema looked at last: it has nothing to add. */
static void
remember(SiNewColumns *new_columns)
{
	Naming		naming = new_columns->naming;
	char	   *copy;

	if (new_columns->nseen == MOST_SEEN || new_columns->seen_bytes > MOST_SEEN_BYTES)
	{
		MemoryContextReset(new_columns->seen_context);
		new_columns->nseen = 0;
		new_columns->seen_bytes = 0;
	}
	copy = MemoryContextAlloc(new_columns->seen_context, Max(naming.len, 1));
	if (naming.len > 0)
		memcpy(copy, naming.bytes, naming.len);
	naming.bytes = copy;
	new_columns->seen_bytes += naming.len;
	new_columns->last = new_columns->nseen;
	new_columns->seen[new_columns->nseen++] = naming;
}

/* Note by what a message names its schema; its bytes are the message's own. */
static void
note_naming(SiNewColumns *new_columns, SiFrame *frame)
{
	Naming	   *naming = &new_columns->naming;
	const char *begin = frame->payload;

	naming->id = frame->id;
	naming->of_payload = frame->naming == NULL;
	if (naming->of_payload && new_columns->routine->find_naming != NULL)
		new_columns->routine->find_naming(frame);
	naming->bytes = naming->of_payload ? begin : frame->naming;
	naming->len = frame->naming_len;
	if (naming->of_payload && frame->naming != NULL)
		naming->len += frame->naming - begin;
}

/* ---- which columns a schema asks for ---- */

/* Does this path begin with the field of that name? */
static bool
begins_with(const SiPathStep *step, SiMatchNames match_names, const char *name, size_t len)
{
	char		own[SI_MATCH_ROOM];
	char		other[SI_MATCH_ROOM];
	size_t		own_len;

	if (step->key == NULL)
		return false;
	if (step->key_len == len && memcmp(step->key, name, len) == 0)
		return true;
	if (match_names == SI_MATCH_EXACT)
		return false;
	own_len = si_match_names_fold(match_names, step->key, step->key_len, own);
	return own_len > 0 &&
		own_len == si_match_names_fold(match_names, name, len, other) &&
		memcmp(own, other, own_len) == 0;
}

/* Does anything take this field of the row, or a part of it? */
static bool
is_taken(const SiPlan *plan, const char *name, size_t len)
{
	const SiDecodePlan *decode = &plan->mapping->decode;

	for (int i = 0; i < decode->nfields; i++)
	{
		const SiWantedField *field = &decode->fields[i];

		if (i != decode->rest_field && !field->of_key && field->part == SI_PART_ROW &&
			field->nsteps > 0 &&
			begins_with(&field->steps[0], field->own_name ? decode->match_names : SI_MATCH_EXACT,
						name, len))
			return true;
	}
	return plan->format.ndeleted > 0 &&
		begins_with(&plan->format.deleted[0], SI_MATCH_EXACT, name, len);
}

/*
 * Is there a column of this name, even one that takes no field?  A dropped one counts:
 * it still has the name that was given to it then.  The catalog's cache is not asked: it
 * would keep each name that there is no column of.
 */
static bool
has_column(Relation target, const char *name)
{
	TupleDesc	desc = RelationGetDescr(target);

	for (int i = 0; i < desc->natts; i++)
	{
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return true;
	}
	return false;
}

/* Want a column; where two fields mean the same one, it takes the values of both. */
static void
want_column(SiNewColumns *new_columns, char *name, const SiColumnType *type)
{
	NewColumn  *column;
	ListCell   *cell;

	foreach(cell, new_columns->wanted)
	{
		column = lfirst(cell);
		if (strcmp(column->name, name) != 0)
			continue;
		si_column_merge(&column->type, type);
		return;
	}
	column = palloc(sizeof(NewColumn));
	column->name = name;
	column->type = *type;
	new_columns->wanted = lappend(new_columns->wanted, column);
}

/*
 * Want what a schema describes, no column takes, and could be a column; no more than it
 * takes to see that they are too many.  Returns how many columns the table has room for.
 */
static int
want_columns(SiPlan *plan, const SiSchemaColumns *described)
{
	SiNewColumns *new_columns = plan->new_columns;
	Relation	target = relation_open(plan->subscription->target, NoLock);
	int			room = MaxHeapAttributeNumber - RelationGetNumberOfAttributes(target);

	for (int i = 0; i < described->n && list_length(new_columns->wanted) <= SI_NEW_COLUMNS_MOST; i++)
	{
		const SiSchemaColumn *field = &described->columns[i];
		char	   *name;

		CHECK_FOR_INTERRUPTS();
		if (is_taken(plan, field->name, field->len))
			continue;
		name = si_schema_column_name(plan->mapping->decode.match_names, field->name, field->len);
		if (name != NULL && !has_column(target, name))
			want_column(new_columns, name, &field->type);
	}
	relation_close(target, NoLock);
	return room;
}

/*
 * Add none of the columns wanted: each message of the schema that has such a field is
 * refused.  Told once for a plan: a topic may hold any number of schemas.
 */
static void
give_up(SiPlan *plan)
{
	SiNewColumns *new_columns = plan->new_columns;

	remember(new_columns);
	if (!plan->told_no_room)
		ereport(LOG,
				(errmsg("subscription \"%s\" adds no columns for a schema that asks for more than there is room for",
						NameStr(plan->subscription->name)),
				 errdetail("It may add %d columns until it is enabled again, and a table can have %d.",
						   SI_NEW_COLUMNS_MOST, MaxHeapAttributeNumber)));
	plan->told_no_room = true;
	new_columns->wanted = NIL;
}

/*
 * Look at the schema of a message.  True if columns are to be added; one that cannot
 * be read is left to the decoder.
 */
static bool
asks_for_columns(SiPlan *plan, const SiMessage *message, SiFrame *frame)
{
	SiNewColumns *new_columns = plan->new_columns;
	SiSchemaColumns described = {0};
	SiDecodeError error;
	MemoryContext old;
	int			room;

	/*
	 * of the schemas before this one nothing is needed, and a batch may have
	 * very many
	 */
	si_arena_reset(plan->arena);
	if (!new_columns->routine->describe(&plan->format, new_columns->one_schema ? NULL : message,
										false, plan->arena, &described, &error))
	{
		si_failure_check_decode(&error);
		return false;
	}
	if (!described.found)
		return false;
	MemoryContextReset(new_columns->wanted_context);
	old = MemoryContextSwitchTo(new_columns->wanted_context);
	new_columns->wanted = NIL;
	note_naming(new_columns, frame);
	room = want_columns(plan, &described);
	MemoryContextSwitchTo(old);
	if (new_columns->wanted == NIL)
		remember(new_columns);
	else if (list_length(new_columns->wanted) > Min(room, SI_NEW_COLUMNS_MOST - plan->columns_added))
		give_up(plan);
	return new_columns->wanted != NIL;
}

/* Does a message that is to be decoded ask for columns? */
static bool
message_asks(SiPlan *plan, const SiMessage *message)
{
	SiNewColumns *new_columns = plan->new_columns;
	SiFrame		frame = {0};
	SiDecodeError error;

	if (message->value == NULL || si_message_is_reduced(message) ||
		si_message_size(message) > plan->options->max_message_bytes)
		return false;
	if (!new_columns->one_schema &&
		!si_frame_read(plan->format.wire_format, message, false, &frame, &error))
		return false;
	return !is_seen(new_columns, &frame) && asks_for_columns(plan, message, &frame);
}

int
si_new_columns_reach(SiPlan *plan, const SiBatch *batch)
{
	if (plan->new_columns == NULL)
		plan->new_columns = create(plan);
	for (int i = 0; i < batch->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (message_asks(plan, &batch->entries[i].message))
			return i;
	}
	return batch->n;
}

/* ---- adding them ---- */

/* Those that are not there, now that no other session can add any. */
static List *
find_missing(const SiNewColumns *new_columns, Relation target)
{
	List	   *missing = NIL;
	ListCell   *cell;

	foreach(cell, new_columns->wanted)
	{
		NewColumn  *column = lfirst(cell);

		if (!has_column(target, column->name))
			missing = lappend(missing, column);
	}
	return missing;
}

/* The command; with its columns alone, for the log. */
static char *
command_text(Relation target, List *columns, bool for_log)
{
	StringInfoData text;
	ListCell   *cell;

	initStringInfo(&text);
	if (!for_log)
		appendStringInfo(&text, "ALTER TABLE %s",
						 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(target)),
													RelationGetRelationName(target)));
	foreach(cell, columns)
	{
		NewColumn  *column = lfirst(cell);

		appendStringInfoString(&text, cell == list_head(columns) ? "" : ",");
		if (for_log)
			appendStringInfo(&text, " %s %s", quote_identifier(column->name),
							 si_schema_column_type(&column->type));
		else
			appendStringInfo(&text, " ADD COLUMN IF NOT EXISTS %s %s", quote_identifier(column->name),
							 si_schema_column_type_qualified(&column->type));
	}
	return text.data;
}

/*
 * Run it as the identity; event triggers may be a user's code.  Renaming a schema takes
 * no lock on its tables: the command may have altered another one.
 */
static void
alter_target(const SiPlan *plan, const Addition *addition)
{
	SiIdentity	identity = {addition->role, true};
	SiSavedSession saved;
	ListCell   *cell;
	int			result;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	si_session_begin_batch(&saved, &identity, plan->settings, plan->subscription->pinned);
	result = SPI_execute(addition->command, false, 0);
	if (result != SPI_OK_UTILITY)
		elog(ERROR, "could not add columns: %s", SPI_result_code_string(result));
	si_session_restore(&saved);
	SPI_finish();
	foreach(cell, addition->columns)
	{
		NewColumn  *column = lfirst(cell);

		if (get_attnum(plan->subscription->target, column->name) == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("the target was renamed while columns were being added")));
	}
	ereport(LOG,
			(errmsg("subscription \"%s\" adds to table \"%s\" what a new schema has:%s",
					NameStr(plan->subscription->name), addition->target, addition->words)));
}

/*
 * Is there room for so many more?  *added: how many they are then, -1 where a change goes
 * first.  Of what is undone the plan must not know.
 */
static bool
take_room(SiPlan *plan, const SiProgressKey *key, Relation target, int n, int *added)
{
	*added = 0;
	if (RelationGetNumberOfAttributes(target) + n > MaxHeapAttributeNumber)
		return false;
	*added = si_catalog_add_columns(key->subscription, key->epoch, n);
	if (*added > SI_NEW_COLUMNS_MOST)
		plan->columns_added = *added - n;
	return *added >= 0 && *added <= SI_NEW_COLUMNS_MOST;
}

/* Decide under the lock what is added. */
static SiNewColumnsEnd
make_addition(SiPlan *plan, const SiProgressKey *key, Relation target, Addition *addition)
{
	const SiSubscription *s = plan->subscription;
	SiIdentity	identity = si_session_identity(s->owner, target->rd_rel->relowner,
											   plan->options->run_as_owner);
	List	   *missing;

	si_column_check_target(target, identity.user);
	missing = find_missing(plan->new_columns, target);
	if (missing == NIL)
		return SI_NEW_COLUMNS_DONE;
	if (!take_room(plan, key, target, list_length(missing), &addition->added))
	{
		addition->no_room = addition->added >= 0;
		return addition->no_room ? SI_NEW_COLUMNS_DONE : SI_NEW_COLUMNS_FENCED;
	}
	addition->role = identity.user;
	addition->columns = missing;
	addition->command = command_text(target, missing, false);
	addition->target = pstrdup(RelationGetRelationName(target));
	si_words_copy(addition->words, sizeof(addition->words), command_text(target, missing, true));
	return SI_NEW_COLUMNS_DONE;
}

/*
 * Locks as a batch does: the target first, and then the subscription, for which it does
 * not wait.
 */
SiNewColumnsEnd
si_new_columns_add(SiPlan *plan, const SiProgressKey *key)
{
	MemoryContext caller = si_transaction_begin();
	SiNewColumnsEnd end = SI_NEW_COLUMNS_DONE;
	Addition	addition = {0};
	Relation	target;

	plan->at_fault = true;
	si_session_limit_lock_waits_here(SI_NEW_COLUMNS_LOCK_MS);
	target = try_relation_open(plan->subscription->target, AccessExclusiveLock);

	/* where there is none, the next batch says so */
	if (target != NULL)
	{
		end = make_addition(plan, key, target, &addition);
		relation_close(target, NoLock);
	}
	if (end == SI_NEW_COLUMNS_FENCED || addition.no_room)
		si_transaction_abort(caller);
	else
	{
		if (addition.columns != NIL)
			alter_target(plan, &addition);
		si_transaction_commit(caller);
		if (addition.columns != NIL)
			plan->columns_added = addition.added;
	}
	if (addition.no_room)
		give_up(plan);
	plan->at_fault = false;
	return end;
}
