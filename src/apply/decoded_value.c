/*-------------------------------------------------------------------------
 *
 * decoded_value.c
 *	  "$value" of a format that is no text: the value as the decoder reads it.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "apply/decoded_value.h"

void
si_decoded_value_take(SiMapping *mapping, const char *format)
{
	SiDecodePlan *plan = &mapping->decode;
	SiWantedField *fields;

	if (si_decoder_find(format)->value != SI_WHOLE_DECODED)
		return;
	fields = palloc0(sizeof(SiWantedField) * (plan->nfields + mapping->ncolumns + 1));
	if (plan->nfields > 0)
		memcpy(fields, plan->fields, sizeof(SiWantedField) * plan->nfields);
	for (int i = 0; i < mapping->ncolumns; i++)
	{
		SiColumn   *column = &mapping->columns[i];
		Oid			base_type = getBaseType(column->type);

		if (column->source != SI_SOURCE_VALUE || base_type == BYTEAOID)
			continue;
		fields[plan->nfields].as_json = base_type == JSONOID || base_type == JSONBOID;
		fields[plan->nfields].part = SI_PART_MESSAGE;
		column->source = SI_SOURCE_FIELD;
		column->field = plan->nfields++;
	}
	plan->fields = fields;
}
