/*-------------------------------------------------------------------------
 *
 * json_scan.c
 *	  A strict scanner of JSON text (RFC 8259) that hands out raw slices.
 *
 * Most bytes of a message are the ordinary bytes of strings: they are passed
 * sixteen at a time where there is SSE2 (always on x86-64), else eight at a
 * time.  Containers that the caller does not enter are skipped without
 * recursion, the kinds of the open ones kept as bits, so that a document of any
 * depth needs a few hundred bytes of stack.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "format/json_scan.h"

/* Keeps what is rare from making its caller save registers. */
#define OUT_OF_LINE __attribute__((noinline))

/* The open containers of si_json_read_value: a set bit is an object. */
typedef struct OpenContainers
{
	unsigned char is_object[SI_JSON_MAX_DEPTH / 8 + 1];
} OpenContainers;

static const char *read_string(SiJsonScan *scan, const char *p,
							   SiJsonToken *token);
static OUT_OF_LINE const char *read_odd_string(SiJsonScan *scan,
											   const char *p,
											   SiJsonToken *token);
static const char *read_number(SiJsonScan *scan, const char *p,
							   SiJsonToken *token);
static OUT_OF_LINE const char *read_word(SiJsonScan *scan, const char *p,
										 SiJsonToken *token,
										 const char *word, SiValueKind kind);
static OUT_OF_LINE const char *read_container(SiJsonScan *scan,
											  const char *p,
											  SiJsonToken *token);
static const char *pass_escape(SiJsonScan *scan, const char *p,
							   SiJsonToken *token);
static const char *pass_utf8(SiJsonScan *scan, const char *p);
static int	utf8_sequence(const unsigned char *p, size_t available);
static int	read_hex(SiJsonScan *scan, const char *p);

const char *
si_json_begin(SiJsonScan *scan, const char *data, size_t len)
{
	size_t		mark = si_json_byte_order_mark(data, len);

	data += mark;
	scan->start = data;
	scan->end = data + len - mark;
	scan->depth = 0;
	scan->fault = SI_JSON_NO_FAULT;
	scan->fault_pos = NULL;
	return si_json_pass_space(scan, data);
}

bool
si_json_finish(SiJsonScan *scan, const char *p)
{
	p = si_json_pass_space(scan, p);
	if (p < scan->end)
		si_json_refuse(scan, p, SI_JSON_BAD_SYNTAX);
	return p == scan->end;
}

const char *
si_json_refuse(SiJsonScan *scan, const char *p, SiJsonFault fault)
{
	/* whatever was wanted, at the end it is the end that is wrong */
	if (fault == SI_JSON_BAD_SYNTAX && p >= scan->end)
		fault = SI_JSON_INCOMPLETE;
	scan->fault_pos = p;
	scan->fault = fault;
	return NULL;
}

const char *
si_json_read_value(SiJsonScan *scan, const char *p, SiJsonToken *token)
{
	if (p >= scan->end)
		return si_json_refuse(scan, p, SI_JSON_INCOMPLETE);

	switch (*p)
	{
		case '"':
			return read_string(scan, p, token);
		case '-':
		case '0':
		case '1':
		case '2':
		case '3':
		case '4':
		case '5':
		case '6':
		case '7':
		case '8':
		case '9':
			return read_number(scan, p, token);
		case 't':
			return read_word(scan, p, token, "true", SI_VALUE_TRUE);
		case 'f':
			return read_word(scan, p, token, "false", SI_VALUE_FALSE);
		case 'n':
			return read_word(scan, p, token, "null", SI_VALUE_NULL);
		case '{':
		case '[':
			return read_container(scan, p, token);
		default:
			return si_json_refuse(scan, p, SI_JSON_BAD_SYNTAX);
	}
}

const char *
si_json_read_key(SiJsonScan *scan, const char *p, SiJsonToken *token)
{
	if (p >= scan->end || *p != '"')
		return si_json_refuse(scan, p, SI_JSON_BAD_SYNTAX);
	return read_string(scan, p, token);
}

/* ---- strings ---- */

/*
 * The next byte of a string that is not an ordinary one (a quote, a backslash,
 * a control character, or not ASCII), or the end.
 */
static inline const char *
pass_ordinary(const char *p, const char *end)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\');
	const __m128i space = _mm_set1_epi8(' ');

	while (end - p >= 16)
	{
		__m128i		bytes = _mm_loadu_si128((const __m128i *) p);

		/* compared as signed numbers, bytes that are not ASCII are negative */
		__m128i		special = _mm_cmplt_epi8(bytes, space);
		int			mask;

		special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, quote));
		special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, backslash));
		mask = _mm_movemask_epi8(special);
		if (mask != 0)
			return p + __builtin_ctz(mask);
		p += 16;
	}
#else
	const uint64_t ones = UINT64_C(0x0101010101010101);
	const uint64_t highs = ones << 7;

	while (end - p >= 8)
	{
		uint64_t	bytes;
		uint64_t	quotes;
		uint64_t	backslashes;

		/*
		 * Subtracting borrows from higher bytes only behind a special byte,
		 * so that "none is special" is never wrong.
		 */
		memcpy(&bytes, p, 8);
		quotes = bytes ^ (ones * '"');
		backslashes = bytes ^ (ones * '\\');
		if (((bytes | (bytes - ones * ' ') | (quotes - ones) |
			  (backslashes - ones)) & highs) != 0)
			break;
		p += 8;
	}
#endif
	while (p < end && (unsigned char) *p >= ' ' && (unsigned char) *p < 0x80 &&
		   *p != '"' && *p != '\\')
		p++;
	return p;
}

/*
 * Read the string whose opening quote is at p.  What most strings lack is in a
 * function of its own, so that this one has little to save and restore.
 */
static const char *
read_string(SiJsonScan *scan, const char *p, SiJsonToken *token)
{
	const char *begin = p + 1;

	token->kind = SI_VALUE_STRING;
	token->escaped = false;
	token->nul = false;
	token->data = begin;
	p = pass_ordinary(begin, scan->end);
	if (p >= scan->end || *p != '"')
		return read_odd_string(scan, p, token);
	token->len = (size_t) (p - begin);
	return p + 1;
}

/* Continue a string at a byte that may be anything. */
static const char *
read_odd_string(SiJsonScan *scan, const char *p, SiJsonToken *token)
{
	for (;;)
	{
		if (p >= scan->end)
			return si_json_refuse(scan, p, SI_JSON_INCOMPLETE);
		if (*p == '"')
			break;
		if (*p == '\\')
			p = pass_escape(scan, p, token);
		else if ((unsigned char) *p >= 0x80)
			p = pass_utf8(scan, p);
		else
			return si_json_refuse(scan, p, SI_JSON_BAD_SYNTAX);
		if (p == NULL)
			return NULL;
		p = pass_ordinary(p, scan->end);
	}
	token->len = (size_t) (p - token->data);
	return p + 1;
}

/* Check the escape at p. */
static const char *
pass_escape(SiJsonScan *scan, const char *p, SiJsonToken *token)
{
	const char *begin = p;
	int			unit;

	token->escaped = true;
	p++;
	if (p >= scan->end || memchr("\"\\/bfnrtu", *p, 9) == NULL)
		return si_json_refuse(scan, p, SI_JSON_BAD_SYNTAX);
	if (*p++ != 'u')
		return p;

	unit = read_hex(scan, p);
	if (unit < 0)
		return NULL;
	p += 4;
	if (unit == 0)
		token->nul = true;
	if (unit < 0xD800 || unit > 0xDFFF)
		return p;

	/* a high surrogate, and then a low one */
	if (unit > 0xDBFF)
		return si_json_refuse(scan, begin, SI_JSON_BAD_SYNTAX);
	if (p >= scan->end || *p != '\\')
		return si_json_refuse(scan, p, SI_JSON_BAD_SYNTAX);
	p++;
	if (p >= scan->end || *p != 'u')
		return si_json_refuse(scan, p, SI_JSON_BAD_SYNTAX);
	p++;
	unit = read_hex(scan, p);
	if (unit < 0)
		return NULL;
	if (unit < 0xDC00 || unit > 0xDFFF)
		return si_json_refuse(scan, begin, SI_JSON_BAD_SYNTAX);
	return p + 4;
}

static inline int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The value of the four hex digits at p, or -1 with the fault set. */
static int
read_hex(SiJsonScan *scan, const char *p)
{
	int			value = 0;
	int			i;

	for (i = 0; i < 4; i++)
	{
		int			digit = p + i < scan->end ? hex_digit(p[i]) : -1;

		if (digit < 0)
		{
			si_json_refuse(scan, p + i, SI_JSON_BAD_SYNTAX);
			return -1;
		}
		value = value * 16 + digit;
	}
	return value;
}

/* Check the characters from p on that are not ASCII. */
static const char *
pass_utf8(SiJsonScan *scan, const char *p)
{
	do
	{
		int			len = utf8_sequence((const unsigned char *) p,
										scan->end - p);

		if (len == 0)
			return si_json_refuse(scan, p, SI_JSON_BAD_UTF8);
		p += len;
	} while (p < scan->end && (unsigned char) *p >= 0x80);
	return p;
}

#define is_continuation(c)	(((c) & 0xC0) == 0x80)

/*
 * Length of the sequence of two to four bytes that begins at p, or 0 if it is
 * not well formed (Unicode, table 3-7).
 */
static int
utf8_sequence(const unsigned char *p, size_t available)
{
	if (p[0] < 0xC2 || p[0] > 0xF4)
		return 0;
	if (p[0] < 0xE0)
		return available >= 2 && is_continuation(p[1]) ? 2 : 0;

	/* the second byte's range depends on the first one's value */
	if (p[0] < 0xF0)
	{
		if (available < 3 || !is_continuation(p[1]) || !is_continuation(p[2]))
			return 0;
		if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F))
			return 0;
		return 3;
	}
	if (available < 4 || !is_continuation(p[1]) || !is_continuation(p[2]) ||
		!is_continuation(p[3]))
		return 0;
	if ((p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F))
		return 0;
	return 4;
}

size_t
si_json_byte_order_mark(const char *data, size_t len)
{
	return len >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

bool
si_json_is_utf8(const char *data, size_t len)
{
	const unsigned char *p = (const unsigned char *) data;
	const unsigned char *end = p + len;

	while (p < end)
	{
		uint64_t	word;
		int			step;

		/* most text is ASCII */
		if (end - p >= 8)
		{
			memcpy(&word, p, 8);
			if ((word & UINT64_C(0x8080808080808080)) == 0)
			{
				p += 8;
				continue;
			}
		}
		step = *p < 0x80 ? 1 : utf8_sequence(p, end - p);
		if (step == 0)
			return false;
		p += step;
	}
	return true;
}

/* ---- numbers and words ---- */

static inline bool
is_digit_at(const char *p, const char *end)
{
	return p < end && (unsigned char) (*p - '0') <= 9;
}

/* Go to the next byte that is not a digit, or to the end. */
static inline const char *
pass_digits(const char *p, const char *end)
{
#ifdef __SSE2__
	/* without a branch for every digit: how many there are varies */
	if (end - p >= 16)
	{
		__m128i		bytes = _mm_loadu_si128((const __m128i *) p);
		__m128i		above = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
		__m128i		digits = _mm_cmpeq_epi8(_mm_min_epu8(above,
														 _mm_set1_epi8(9)),
											above);
		int			mask = ~_mm_movemask_epi8(digits) & 0xFFFF;

		if (mask != 0)
			return p + __builtin_ctz(mask);
		p += 16;
	}
#endif
	while (is_digit_at(p, end))
		p++;
	return p;
}

static const char *
read_number(SiJsonScan *scan, const char *p, SiJsonToken *token)
{
	const char *end = scan->end;

	token->kind = SI_VALUE_NUMBER;
	token->escaped = false;
	token->data = p;
	if (*p == '-')
		p++;
	if (!is_digit_at(p, end))
		return si_json_refuse(scan, p, SI_JSON_BAD_SYNTAX);

	/* a digit behind a leading zero is refused as a second value */
	if (*p == '0')
		p++;
	else
		p = pass_digits(p, end);
	if (p < end && *p == '.')
	{
		p++;
		if (!is_digit_at(p, end))
			return si_json_refuse(scan, p, SI_JSON_BAD_SYNTAX);
		p = pass_digits(p, end);
	}
	if (p < end && (*p == 'e' || *p == 'E'))
	{
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		if (!is_digit_at(p, end))
			return si_json_refuse(scan, p, SI_JSON_BAD_SYNTAX);
		p = pass_digits(p, end);
	}
	token->len = (size_t) (p - token->data);
	return p;
}

/* Read a word whose first letter is at p. */
static const char *
read_word(SiJsonScan *scan, const char *p, SiJsonToken *token,
		  const char *word, SiValueKind kind)
{
	token->kind = kind;
	token->escaped = false;
	token->data = p;
	token->len = strlen(word);
	for (; *word != '\0'; word++, p++)
	{
		if (p >= scan->end || *p != *word)
			return si_json_refuse(scan, p, SI_JSON_BAD_SYNTAX);
	}
	return p;
}

/* ---- containers ---- */

static inline bool
in_object(const OpenContainers *open, int depth)
{
	return (open->is_object[depth / 8] >> depth % 8 & 1) != 0;
}

/* Go to the value of the member whose key is at p. */
static const char *
pass_key(SiJsonScan *scan, const char *p)
{
	SiJsonToken key;

	p = si_json_read_key(scan, p, &key);
	return p != NULL ? si_json_pass_colon(scan, p) : NULL;
}

/*
 * Enter the container at p, and go to its first value; *more is false if it is
 * empty.
 */
static const char *
enter_container(SiJsonScan *scan, const char *p, OpenContainers *open,
				bool *more)
{
	bool		object = *p == '{';
	unsigned char bit;

	p = si_json_enter(scan, p, object ? '}' : ']', more);
	if (p == NULL || !*more)
		return p;
	bit = (unsigned char) (1 << scan->depth % 8);
	if (!object)
	{
		open->is_object[scan->depth / 8] &= (unsigned char) ~bit;
		return p;
	}
	open->is_object[scan->depth / 8] |= bit;
	return pass_key(scan, p);
}

/*
 * After a value: go to the next one, leaving the containers that end here.
 * *more is false when the depth has come down to base.
 */
static const char *
next_value(SiJsonScan *scan, const char *p, const OpenContainers *open,
		   int base, bool *more)
{
	*more = false;
	while (scan->depth > base)
	{
		bool		object = in_object(open, scan->depth);

		p = si_json_next(scan, p, object ? '}' : ']', more);
		if (p == NULL)
			return NULL;
		if (*more)
			return object ? pass_key(scan, p) : p;
	}
	return p;
}

static const char *
read_container(SiJsonScan *scan, const char *p, SiJsonToken *token)
{
	const char *begin = p;
	int			base = scan->depth;
	OpenContainers open;
	bool		more = true;

	memset(&open, 0, sizeof(open));
	while (more)
	{
		if (p < scan->end && (*p == '{' || *p == '['))
		{
			p = enter_container(scan, p, &open, &more);
			if (p != NULL && more)
				continue;
		}
		else
			p = si_json_read_value(scan, p, token);
		if (p != NULL)
			p = next_value(scan, p, &open, base, &more);
		if (p == NULL)
			return NULL;
	}
	token->kind = *begin == '{' ? SI_VALUE_OBJECT : SI_VALUE_ARRAY;
	token->escaped = false;
	token->data = begin;
	token->len = (size_t) (p - begin);
	return p;
}

/* ---- positions ---- */

void
si_json_locate(const SiJsonScan *scan, const char *pos, size_t *line,
			   size_t *column)
{
	const char *p;

	*line = 1;
	*column = 1;
	for (p = scan->start; p < pos; p++)
	{
		if (*p == '\n')
		{
			(*line)++;
			*column = 1;
		}
		else if (!is_continuation((unsigned char) *p))
			(*column)++;
	}
}
