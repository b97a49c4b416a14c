/*-------------------------------------------------------------------------
 *
 * instructions.c
 *	  Decodes and converts messages of user_sessions, as the thread of a worker
 *	  does, for who counts the instructions of that (test/instructions.sh).
 *
 *	instructions MESSAGES
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "apply/convert_ahead.h"
#include "format/decoder.h"
#include "without_server.h"

static const struct
{
	const char *name;
	Oid			type;
}			wanted[] = {
	{"person_name", TEXTOID},
	{"user_name", TEXTOID},
	{"email", TEXTOID},
	{"personal_number", INT8OID},
	{"birth_date", DATEOID},
	{"address", TEXTOID},
	{"phone_number", TEXTOID},
	{"mac_address", MACADDROID},
	{"ip_address", INETOID},
	{"iban", TEXTOID},
	{"accessed_at", TIMESTAMPOID},
	{"session_duration", INT4OID},
	{"download_speed", INT4OID},
	{"upload_speed", INT4OID},
	{"consumed_traffic", INT4OID},
	{"unique_id", UUIDOID},
};

#define NFIELDS lengthof(wanted)

static SiColumn columns[NFIELDS];
static SiPathStep steps[NFIELDS];
static SiWantedField fields[NFIELDS];
static SiMapping mapping = {
	.ncolumns = NFIELDS,
	.columns = columns,
	.decode = {.nfields = NFIELDS,.fields = fields,.rest_field = -1}
};

static void
make_mapping(void)
{
	for (int i = 0; i < (int) NFIELDS; i++)
	{
		columns[i].name = wanted[i].name;
		columns[i].type = wanted[i].type;
		columns[i].typmod = -1;
		columns[i].source = SI_SOURCE_FIELD;
		columns[i].field = i;
		steps[i].key = wanted[i].name;
		steps[i].key_len = strlen(wanted[i].name);
		fields[i].nsteps = 1;
		fields[i].steps = &steps[i];
	}
}

static int
write_message(char *value, size_t room, unsigned i)
{
	return snprintf(value, room,
					"{\"person_name\": \"Person %u\", \"user_name\": \"user.%u\", \"email\": \"user.%u@example.com\", "
					"\"personal_number\": %u, \"birth_date\": \"19%02u-%02u-%02u\", "
					"\"address\": \"%u Long Street, 12345 Some Town\", \"phone_number\": \"+44 20 %u\", "
					"\"mac_address\": \"08:00:2b:%02x:%02x:%02x\", \"ip_address\": \"10.%u.%u.%u\", "
					"\"iban\": \"GB33BUKB2020155555%04u\", \"accessed_at\": \"2024-05-17T10:%02u:%02u.%06u\", "
					"\"session_duration\": %u, \"download_speed\": %u, \"upload_speed\": %u, "
					"\"consumed_traffic\": %u, \"unique_id\": \"%08x-d9cb-469f-a165-%012x\"}",
					i, i, i, 100000 + i, i % 100, i % 12 + 1, i % 28 + 1, i, 1000000 + i, i & 255, i >> 8 & 255,
					i % 200, i & 255, i >> 8 & 255, i % 250, i % 10000, i % 60, i * 7 % 60, i % 1000000, i % 3600,
					i % 1000, i % 800, i % 5000, i, i * 3);
}

int
main(int argc, char **argv)
{
	SiFormatOptions options = {0};
	SiArena    *arena = si_arena_create();
	SiAheadColumns *ahead;
	SiDecoder  *decoder;
	char		value[2000];
	int			n = argc > 1 ? atoi(argv[1]) : 0;
	int			stored = 0;

	main_thread = pthread_self();
	make_mapping();
	decoder = si_decoder_create("json", &mapping.decode, &options);
	ahead = si_convert_ahead_create(&mapping);
	for (int i = 0; i < n; i++)
	{
		SiMessage	message = {.value = value,.value_len = write_message(value, sizeof(value), i % 100)};
		SiRecord	record;
		SiDecodeError error;

		/* each message many times: writing it costs more than reading it */
		for (int again = 0; again < 100; again++)
		{
			si_arena_reset(arena);
			if (!si_decoder_decode(decoder, &message, arena, &record, &error))
				return 1;
			si_convert_ahead(ahead, &record, arena);
			for (int field = 0; field < (int) NFIELDS; field++)
				stored += record.fields[field].kind == SI_VALUE_STORED;
		}
	}
	si_decoder_destroy(decoder);
	si_arena_destroy(arena);
	free(ahead);
	return stored != n * 100 * (int) NFIELDS;
}
