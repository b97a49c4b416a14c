/*-------------------------------------------------------------------------
 *
 * registry_schema.c
 *	  A schema from a registry, with the schemas that it refers to.
 *
 * Confluent's API tells references with the schema.  Apicurio's own API has them in a
 * list beside it, and puts them into the text of an Avro schema if it is asked to; it
 * cannot do that for Protobuf.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka/registry_schema.h"

/* A schema that was asked for; the first one is the schema itself. */
typedef struct Part
{
	SiRegistryDocument document;
	char	   *path;
	const char *name;			/* by which another one refers to it, whose
								 * document has the text; NULL for the first */
	int			parent;			/* that one, or -1 */
	int			depth;
	size_t		next;			/* the reference that is looked at next */
	bool		complete;		/* all that it refers to are there */
} Part;

typedef struct Walk
{
	SiRegistryHttp *http;
	SiRegistryAnswer *answer;
	Part		parts[1 + SI_REGISTRY_MAX_REFERENCES];
	int			nparts;
	int			order[1 + SI_REGISTRY_MAX_REFERENCES];	/* as they were
														 * completed */
	int			ncomplete;
	size_t		len;			/* of all texts */
	size_t		received;		/* of all answers: what is no text takes
								 * memory, too */
} Walk;

/* ---- paths below the registry's URL ---- */

typedef struct Path
{
	char text[	SI_REGISTRY_PATH_ROOM];
	size_t		len;
	bool		too_long;
} Path;

static void
append(Path *path, const char *text)
{
	size_t		len = strlen(text);

	if (path->len + len >= sizeof(path->text))
	{
		path->too_long = true;
		return;
	}
	memcpy(path->text +path->len, text, len + 1);
	path->len += len;
}

/*
 * Append a name that a registry has given as one step of the path.  False for names that
 * would be steps of another kind.
 */
static bool
append_name(Path *path, const char *name)
{
	char		encoded[4];

	if (name == NULL || name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (; *name != '\0'; name++)
	{
		unsigned char c = (unsigned char) *name;
		bool		plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';

		snprintf(encoded, sizeof(encoded), plain ? "%c" : "%%%02X", c);
		append(path, encoded);
	}
	return true;
}

/* The path of the schema of an id; false if the API has none for such an id. */
static bool
make_own_path(const SiRegistryHttp *http, const SiSchemaId *id, Path *path)
{
	char		name[SI_SCHEMA_ID_ROOM];

	if (!si_registry_http_is_apicurio(http))
		append(path, id->kind == SI_SCHEMA_GUID ? "/schemas/guids/" : "/schemas/ids/");
	else if (id->kind == SI_SCHEMA_GUID)
		return false;
	else
		append(path, id->kind == SI_SCHEMA_CONTENT ? "/ids/contentIds/" : "/ids/globalIds/");
	si_schema_id_text(id, name);
	append(path, name);
	return true;
}

static const char *
member(const json_t *reference, const char *name)
{
	return json_string_value(json_object_get(reference, name));
}

/* The path of a schema that another one refers to; false if the reference is none. */
static bool
make_path(const SiRegistryHttp *http, const json_t *reference, Path *path)
{
	const json_t *version = json_object_get(reference, "version");
	const char *group = member(reference, "groupId");
	char		number[32];

	if (member(reference, "name") == NULL)
		return false;
	if (si_registry_http_is_apicurio(http))
	{
		append(path, "/groups/");
		if (!append_name(path, group != NULL ? group : "default"))
			return false;
		append(path, "/artifacts/");
		if (!append_name(path, member(reference, "artifactId")))
			return false;
		append(path, "/versions/");
		return append_name(path, json_string_value(version));
	}
	append(path, "/subjects/");
	if (!append_name(path, member(reference, "subject")) || !json_is_integer(version))
		return false;

	/* one that was deleted stays for those that refer to it */
	snprintf(number, sizeof(number), "%lld", (long long) json_integer_value(version));
	append(path, "/versions/");
	append(path, number);
	append(path, "?deleted=true");
	return true;
}

/* ---- errors ---- */

/* The schema of answer->id is of no use, because of a reference. */
static bool
refuse(Walk *walk, const char *sqlstate, const char *what)
{
	si_registry_set_unusable(walk->answer, sqlstate, what);
	return false;
}

/* Say in the detail which reference it is, if an error is a schema's. */
static void
name_reference(Walk *walk, const char *name)
{
	SiDecodeError *error = &walk->answer->error;

	if (name != NULL && (walk->answer->outcome == SI_REGISTRY_UNKNOWN ||
						 walk->answer->outcome == SI_REGISTRY_UNUSABLE))
		snprintf(error->detail, sizeof(error->detail), "The reference is \"%.100s\".", name);
}

static bool
out_of_memory(Walk *walk)
{
	si_registry_set_outcome(walk->answer, SI_REGISTRY_AWAY, "out of memory");
	return false;
}

/* ---- asking ---- */

/* Does the registry tell references in a list of their own? */
static bool
has_list(const Walk *walk, const Part *part)
{
	return si_registry_http_is_apicurio(walk->http) &&
		(part->name != NULL || !si_registry_http_dereferences(walk->http, &walk->answer->id));
}

/* Ask for a schema's text and references. */
static bool
fetch(Walk *walk, Part *part)
{
	SiRegistryDocument list;
	char		path[SI_REGISTRY_PATH_ROOM + 16];

	si_registry_http_get(walk->http, part->path,
						 part->name == NULL ? SI_REGISTRY_OWN : SI_REGISTRY_REFERRED,
						 &part->document, walk->answer);
	walk->received += part->document.received;
	if (walk->answer->outcome == SI_REGISTRY_FOUND && has_list(walk, part))
	{
		snprintf(path, sizeof(path), "%s/references", part->path);
		si_registry_http_get(walk->http, path, SI_REGISTRY_LIST, &list, walk->answer);
		part->document.references = list.references;
		walk->received += list.received;
	}
	if (walk->answer->outcome != SI_REGISTRY_FOUND)
		return false;

	/* one that is there a thousand times takes memory a thousand times */
	return json_array_size(part->document.references) <= SI_REGISTRY_MAX_REFERENCES ||
		refuse(walk, "54000", "refers to too many others");
}

/* Add a schema, which is asked for; false with the answer filled. */
static bool
add_part(Walk *walk, const Path *path, const char *name, int parent)
{
	int			depth = parent < 0 ? 0 : walk->parts[parent].depth + 1;
	Part	   *part;

	if (path->too_long)
		return refuse(walk, "54000", "has a reference that is too long");
	if (depth > SI_REGISTRY_MAX_DEPTH)
		return refuse(walk, "54000", "refers to others too deeply");
	if (walk->nparts > SI_REGISTRY_MAX_REFERENCES)
		return refuse(walk, "54000", "refers to too many others");
	part = &walk->parts[walk->nparts];
	memset(part, 0, sizeof(*part));
	part->name = name;
	part->parent = parent;
	part->depth = depth;
	part->path = strdup(path->text);
	if (part->path == NULL)
		return out_of_memory(walk);
	walk->nparts++;
	if (!fetch(walk, part))
		return false;
	walk->len += part->document.len;
	return (walk->len <= SI_REGISTRY_MAX_SCHEMA && walk->received <= SI_REGISTRY_MAX_BODY) ||
		refuse(walk, "54000", "is too large with those that it refers to");
}

/* The schema that was asked for already, by a path or a name, or -1. */
static int
find_part(const Walk *walk, const char *path, const char *name)
{
	int			i;

	for (i = 1; i < walk->nparts; i++)
	{
		if (strcmp(walk->parts[i].path, path) == 0 || strcmp(walk->parts[i].name, name) == 0)
			return i;
	}
	return -1;
}

/* Follow a reference of a schema; *current becomes what is looked at next. */
static bool
follow(Walk *walk, const json_t *reference, int *current)
{
	const char *name = member(reference, "name");
	Path		path = {.len = 0};
	int			known;
	bool		done;

	if (!make_path(walk->http, reference, &path))
		return refuse(walk, "42P17", "has a reference that names no schema");
	known = find_part(walk, path.text, name);
	if (known >= 0 && walk->parts[known].complete)
		return true;
	if (known >= 0)
		done = refuse(walk, "42P17", "refers to itself");
	else
		done = add_part(walk, &path, name, *current);
	if (done)
		*current = walk->nparts - 1;
	else
		name_reference(walk, name);
	return done;
}

/* Ask for all; each is complete behind those that it refers to. */
static bool
walk_all(Walk *walk)
{
	Path		path = {.len = 0};
	int			current = 0;

	if (!make_own_path(walk->http, &walk->answer->id, &path))
		return refuse(walk, "0A000", "cannot be asked for by a GUID");
	if (!add_part(walk, &path, NULL, -1))
		return false;
	while (current >= 0)
	{
		Part	   *part = &walk->parts[current];
		const json_t *reference = json_array_get(part->document.references, part->next++);

		if (reference == NULL)
		{
			part->complete = true;
			walk->order[walk->ncomplete++] = current;
			current = part->parent;
		}
		else if (!follow(walk, reference, &current))
			return false;
	}
	return true;
}

/* ---- the answer ---- */

/* Put all texts into one block. */
static bool
pack(Walk *walk)
{
	size_t		head = sizeof(SiSchemaTexts) + (size_t) walk->ncomplete * sizeof(char *);
	SiSchemaTexts *block = malloc(head + walk->len + (size_t) walk->ncomplete);
	const char **texts;
	char	   *p;
	int			i;

	if (block == NULL)
		return out_of_memory(walk);
	texts = (const char **) (block + 1);
	p = (char *) block + head;
	for (i = 0; i < walk->ncomplete; i++)
	{
		const SiRegistryDocument *document = &walk->parts[walk->order[i]].document;

		texts[i] = p;
		memcpy(p, document->text, document->len);
		p[document->len] = '\0';
		p += document->len + 1;
	}
	block->n = walk->ncomplete;
	block->texts = texts;
	walk->answer->texts = block;
	return true;
}

void
si_registry_schema_ask(SiRegistryHttp *http, const SiSchemaId *id, SiRegistryAnswer *answer)
{
	Walk		walk;
	int			i;

	memset(answer, 0, sizeof(*answer));
	answer->id = *id;
	walk.http = http;
	walk.answer = answer;
	walk.nparts = walk.ncomplete = 0;
	walk.len = walk.received = 0;
	if (walk_all(&walk))
		(void) pack(&walk);
	for (i = 0; i < walk.nparts; i++)
	{
		si_registry_document_free(&walk.parts[i].document);
		free(walk.parts[i].path);
	}
}
