/*-------------------------------------------------------------------------
 *
 * connect_schemas.c
 *	  The schemas that Kafka Connect's JSON converter puts around messages.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "format/connect_schemas.h"
#include "format/connect_value.h"

#define NREMEMBERED		8

/* A schema, and the types of a plan's fields by it. */
typedef struct Remembered
{
	SiArena    *memory;			/* NULL: unused */
	const char *text;
	size_t		len;
	const SiConnectType *type;
	const SiConnectType **fields[SI_CONNECT_VIEWS]; /* NULL: not made yet */
} Remembered;

struct SiConnectSchemas
{
	Remembered	remembered[NREMEMBERED];
	int			last;			/* the one that was used last */
	int			oldest;			/* the one that is forgotten next */
};

SiConnectSchemas *
si_connect_schemas_create(void)
{
	return calloc(1, sizeof(SiConnectSchemas));
}

void
si_connect_schemas_free(SiConnectSchemas *schemas)
{
	int			i;

	if (schemas == NULL)
		return;
	for (i = 0; i < NREMEMBERED; i++)
		si_arena_destroy(schemas->remembered[i].memory);
	free(schemas);
}

static bool
is_text(const Remembered *remembered, const SiValue *schema)
{
	return remembered->memory != NULL && remembered->len == schema->len &&
		memcmp(remembered->text, schema->data, schema->len) == 0;
}

/* Read a schema into a place whose memory is new. */
static bool
read_schema(Remembered *remembered, const SiValue *schema, SiMatchNames match_names,
			SiDecodeError *error)
{
	char	   *text;

	if (!si_connect_type_parse(schema->data, schema->len, match_names, remembered->memory,
							   &remembered->type, error))
		return false;
	text = si_arena_alloc(remembered->memory, schema->len);

	if (text == NULL)
		return si_decoder_fail(error, "53200", "out of memory");
	memcpy(text, schema->data, schema->len);
	remembered->text = text;

	remembered->len = schema->len;
	return true;
}

/* The place of a schema, which is read if it is not remembered; NULL with *error. */
static Remembered *
find_schema(SiConnectSchemas *schemas, const SiValue *schema, SiMatchNames match_names,
			SiDecodeError *error)
{
	Remembered *found;
	int			i;

	for (i = 0; i < NREMEMBERED; i++)
	{
		found = &schemas->remembered[(schemas->last + i) % NREMEMBERED];
		if (!is_text(found, schema))
			continue;
		schemas->last = (int) (found - schemas->remembered);
		return found;
	}
	found = &schemas->remembered[schemas->oldest];
	si_arena_destroy(found->memory);
	memset(found, 0, sizeof(Remembered));
	found->memory = si_arena_create();
	if (found->memory == NULL)
	{
		si_decoder_fail(error, "53200", "out of memory");
		return NULL;
	}
	if (!read_schema(found, schema, match_names, error))
	{
		si_arena_destroy(found->memory);
		memset(found, 0, sizeof(Remembered));
		return NULL;
	}
	schemas->last = schemas->oldest;
	schemas->oldest = (schemas->oldest + 1) % NREMEMBERED;
	return found;
}

/* Find the types of a plan's fields, where the schema has them. */
static bool
make_fields(Remembered *remembered, int view, const SiDecodePlan *plan, int nfields, bool of_key)
{
	size_t		size = sizeof(SiConnectType *) * (size_t) nfields;
	const SiConnectType **fields = si_arena_alloc(remembered->memory, size);
	int			i;

	if (fields == NULL)
		return false;
	memset(fields, 0, size);
	for (i = 0; i < nfields; i++)
	{
		const SiWantedField *field = &plan->fields[i];

		if (i == plan->rest_field || field->of_key != of_key || field->nsteps == 0 ||
			field->steps[0].key == NULL || field->steps[0].key_len != strlen("payload") ||
			memcmp(field->steps[0].key, "payload", strlen("payload")) != 0)
			continue;
		fields[i] = si_connect_type_find(remembered->type, field->steps + 1, field->nsteps - 1,
										 field->own_name ? plan->match_names : SI_MATCH_EXACT);
		if (field->is_entered && fields[i] != NULL && fields[i]->meaning == SI_CONNECT_JSON)
			fields[i] = NULL;
	}
	remembered->fields[view] = fields;
	return true;
}

bool
si_connect_schemas_apply(SiConnectSchemas *schemas, const SiValue *schema, int view,
						 const SiDecodePlan *plan, int nfields, bool of_key, SiArena *arena,
						 SiValue *values, SiDecodeError *error)
{
	Remembered *remembered;
	int			i;

	if (schema->kind != SI_VALUE_OBJECT)
		return true;
	remembered = find_schema(schemas, schema, plan->match_names, error);
	if (remembered == NULL)
		return false;
	if (remembered->fields[view] == NULL &&
		!make_fields(remembered, view, plan, nfields, of_key))
		return si_decoder_fail(error, "53200", "out of memory");
	for (i = 0; i < nfields; i++)
	{
		const SiConnectType *type = remembered->fields[view][i];

		if (type != NULL &&
			!si_connect_value_take(type, plan->fields[i].as_json, arena, &values[i], error))
			return false;
	}
	return true;
}
