/*-------------------------------------------------------------------------
 *
 * option_types.h
 *	  How values of options are read, printed and described.
 *
 * A type parses what a user may write, prints the effective value in a form that
 * it also parses, and describes the valid values.  Called by options alone,
 * whose table has a row per option.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_OPTION_TYPES_H
#define SI_OPTION_TYPES_H

#include "options/document.h"
#include "options/option_values.h"

/* A word that stands for a number. */
typedef struct SiKeyword
{
	const char *name;			/* NULL ends the list */
	int			value;
} SiKeyword;

typedef struct SiOption SiOption;

typedef struct SiOptionType
{
	/* set the option's member, or throw by way of si_option_refuse() */
	void		(*parse) (const SiOption *option, json_t *value, SiOptions *options);

	/* the member's value, as a new reference */
	json_t	   *(*show) (const SiOption *option, const SiOptions *options);

	/* what follows "Valid values are" in a message */
	const char *(*describe) (const SiOption *option);
} SiOptionType;

struct SiOption
{
	const char *name;
	const SiOptionType *type;
	size_t		offset;			/* of the member in SiOptions */
	const char *initial;		/* default; NULL leaves the member zero */
	int64		min;			/* of a number, or of a text's length */
	int64		max;
	const SiKeyword *keywords;
};

#define SI_OPTION_MEMBER(options, option, type) \
	(*(type *) ((char *) (options) + (option)->offset))
#define SI_OPTION_CONST_MEMBER(options, option, type) \
	(*(const type *) ((const char *) (options) + (option)->offset))

/* How much of a value an error message quotes. */
#define SI_OPTION_QUOTED	64

#define MS_PER_HOUR		INT64CONST(3600000)

/* member: int */
extern const SiOptionType si_option_integer;
extern const SiOptionType si_option_duration;	/* in milliseconds */
extern const SiOptionType si_option_keyword;
extern const SiOptionType si_option_encoding;

/* member: int64 */
extern const SiOptionType si_option_size;	/* in bytes */

/* member: bool */
extern const SiOptionType si_option_boolean;

/* member: char * */
extern const SiOptionType si_option_setting;	/* a keyword, kept by name */
extern const SiOptionType si_option_text;
extern const SiOptionType si_option_line;

/* defined in option_schema.c */
extern const SiOptionType si_option_schema;
extern const SiOptionType si_option_schemas;	/* members of its own */

/* member: char *; defined in option_records.c */
extern const SiOptionType si_option_records;

/* members of their own */
extern const SiOptionType si_option_names;
extern const SiOptionType si_option_reject_limit;

/* defined in option_positions.c */
extern const SiOptionType si_option_start;
extern const SiOptionType si_option_stop_at;
extern const SiOptionType si_option_partitions;

/* How options show a member that is a text, or NULL. */
extern json_t *si_option_show_text(const SiOption *option, const SiOptions *options);

/*
 * Report a value that an option cannot have (22023).  The reason is a sentence,
 * or NULL where the list of valid values suffices.
 */
extern void si_option_refuse(const SiOption *option, json_t *value,
							 const char *reason) __attribute__((noreturn));

/*
 * Run a type's input function.  Its error becomes a reason, so that the option's
 * error can name the option.  The caller must then throw that error, since the
 * transaction may not continue after one that was caught.
 */
extern Datum si_option_input(Oid function, char *given, const char **reason);

#endif							/* SI_OPTION_TYPES_H */
