/*-------------------------------------------------------------------------
 *
 * token.c
 *	  The tokens with which a client authenticates: the thread that gets them, and
 *	  when one is due.
 *
 * The thread calls no server function: no palloc, no elog.  All that it touches is
 * malloc'd, and it runs with all signals blocked.  The lock guards what both sides
 * share.  The thread does not hold it during a request, but while it gives a token to
 * the library, which does not block: so no token is given once si_token_end() has
 * returned, after which the handle may be destroyed.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <pthread.h>
#include <time.h>

#include <librdkafka/rdkafka.h>

#include "common/compat.h"
#include "common/thread.h"
#include "common/words.h"
#include "kafka/http.h"
#include "kafka/side_thread.h"
#include "kafka/token.h"
#include "kafka/token_answer.h"

/* less than a function waits that looks at a topic, so that it can say why */
#define REQUEST_MS			5000

/* A token is replaced when this part of its life is over, but not more often than that. */
#define REFRESH_PERCENT		80
#define MIN_REFRESH_MS		1000

/* Between requests that fail, twice as long each time; one that was refused needs a user. */
#define RETRY_MIN_MS		1000
#define RETRY_AWAY_MS		10000
#define RETRY_REFUSED_MS	60000

/* A token that brokers refuse is replaced when it is so old. */
#define RENEW_MS			5000

typedef enum SiTokenText
{
	TOKEN_URL,
	TOKEN_CLIENT_ID,
	TOKEN_SECRET,
	TOKEN_SCOPE,
	TOKEN_EXTENSIONS,
	TOKEN_CA_PEM,
	TOKEN_CA_LOCATION,
	TOKEN_METHOD,
	TOKEN_FUNCTION,
	NTEXTS
} SiTokenText;

static const char *const property_names[NTEXTS] = {
	[TOKEN_URL] = "sasl.oauthbearer.token.endpoint.url",
	[TOKEN_CLIENT_ID] = "sasl.oauthbearer.client.id",
	[TOKEN_SECRET] = "sasl.oauthbearer.client.secret",
	[TOKEN_SCOPE] = "sasl.oauthbearer.scope",
	[TOKEN_EXTENSIONS] = "sasl.oauthbearer.extensions",
	[TOKEN_CA_PEM] = "https.ca.pem",
	[TOKEN_CA_LOCATION] = "https.ca.location",
	[TOKEN_METHOD] = "sasl.oauthbearer.method",
	[TOKEN_FUNCTION] = "sasl.oauthbearer.function",
};

struct SiToken
{
	/* constant once the thread runs */
	char	   *texts[NTEXTS];
	char	   *form;			/* what is posted */
	const char *extensions[2 * SI_TOKEN_MAX_EXTENSIONS];	/* point into the text */
	size_t		nextensions;	/* keys and values */
	SiHttp	   *http;			/* the thread's own; NULL if a function gives
								 * the tokens: then there is no thread */
	rd_kafka_t *rk;
	int			fd;
	SiSideThread side;

	/* what follows is guarded by its lock */
	int64		due_ms;			/* of the next request, by si_client_now_ms() */
	int64		got_ms;			/* when the last token came; 0: there is none */
	int			retry_ms;
	bool		is_news;
	SiBrokerError news;
};

/* ---- the thread ---- */

/* May requests end? */
static bool
is_closing(void *arg)
{
	SiToken    *token = arg;

	return si_side_thread_is_closing(&token->side);
}

/* Show the main thread that there is a token, or why not. */
static void
tell(SiToken *token, SiBrokerErrorKind kind, const char *words)
{
	token->news.kind = kind;
	si_words_copy(token->news.words, sizeof(token->news.words), words);
	token->is_news = true;
	si_client_wake_fd(token->fd);
}

/* No token: say why, and when the next try is due, not before after_ms. */
static void
fail(SiToken *token, SiBrokerErrorKind kind, bool passing, int64 after_ms, const char *words)
{
	token->retry_ms = token->retry_ms == 0 ? RETRY_MIN_MS
		: Min(token->retry_ms * 2, passing ? RETRY_AWAY_MS : RETRY_REFUSED_MS);
	token->due_ms = si_client_now_ms() + Max(token->retry_ms, after_ms);
	tell(token, kind, words);
}

/* There was no token in an answer. */
static void
fail_by_answer(SiToken *token, const SiTokenAnswer *answer)
{
	bool		away = (answer->outcome == SI_TOKEN_AWAY);

	fail(token, away ? SI_BROKER_ERROR_TOKEN_AWAY : SI_BROKER_ERROR_TOKEN_REFUSED, away,
		 (int64) answer->retry_after_s * 1000, answer->words);
}

/* Give a token, which is valid for life_ms from now_ms on (of 1970), to the library. */
static void
hand_over(SiToken *token, const char *text, int64 now_ms, int64 life_ms)
{
	const char *principal = token->texts[TOKEN_CLIENT_ID];
	char		errstr[256] = "";

	/* the library wants a name, which no broker sees */
	if (principal == NULL)
		principal = "stream_ingest";
	if (rd_kafka_oauthbearer_set_token(token->rk, text, now_ms + life_ms, principal,
									   token->extensions, token->nextensions,
									   errstr, sizeof(errstr)) != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		/* its words may quote what it refuses */
		fail(token, token->texts[TOKEN_FUNCTION] != NULL ? SI_BROKER_ERROR_TOKEN_FUNCTION
			 : SI_BROKER_ERROR_TOKEN_REFUSED, false, 0, "librdkafka does not take the token");
		return;
	}
	token->got_ms = si_client_now_ms();
	token->due_ms = token->got_ms + Max(life_ms / 100 * REFRESH_PERCENT, MIN_REFRESH_MS);
	token->retry_ms = 0;
	tell(token, SI_BROKER_ERROR_NONE, "");
}

/* Request a token.  Called, and returns, with the lock held, which is released meanwhile. */
static void
request_token(SiToken *token)
{
	SiHttpAnswer http;
	SiTokenAnswer answer;
	int64		now_s;

	pthread_mutex_unlock(&token->side.lock);
	now_s = (int64) time(NULL);
	si_http_request(token->http, token->texts[TOKEN_URL], token->form, &http);
	si_token_read_answer(&http, now_s, &answer);
	pthread_mutex_lock(&token->side.lock);

	if (token->side.closing)
		;
	else if (answer.outcome == SI_TOKEN_FOUND)
		hand_over(token, answer.token, now_s * 1000, answer.lifetime_s * 1000);
	else
		fail_by_answer(token, &answer);
	free(answer.token);
}

static void
release_token(void *arg)
{
	si_token_free(arg);
}

static void *
token_main(void *arg)
{
	SiToken    *token = arg;

	pthread_mutex_lock(&token->side.lock);
	while (!token->side.closing)
	{
		struct timespec until = si_side_thread_deadline(token->due_ms);

		if (si_client_now_ms() >= token->due_ms)
			request_token(token);
		else
			(void) pthread_cond_timedwait(&token->side.work, &token->side.lock, &until);
	}
	pthread_mutex_unlock(&token->side.lock);

	si_http_end(token->http);
	si_side_thread_finish(&token->side, release_token, token);
	return NULL;
}

/* ---- the main thread: what the properties say ---- */

/* Add a value to a form, encoded. */
static char *
append_encoded(char *at, const char *value)
{
	static const char digits[] = "0123456789ABCDEF";

	for (const unsigned char *c = (const unsigned char *) value; *c != '\0'; c++)
	{
		if (isalnum(*c) && *c < 0x80)
			*at++ = *c;
		else
		{
			*at++ = '%';
			*at++ = digits[*c >> 4];
			*at++ = digits[*c & 15];
		}
	}
	*at = '\0';
	return at;
}

/* What is posted to the endpoint; false when out of memory. */
static bool
make_form(SiToken *token)
{
	static const char grant[] = "grant_type=client_credentials";
	static const char scope_key[] = "&scope=";
	const char *scope = token->texts[TOKEN_SCOPE];

	token->form = malloc(sizeof(grant) + sizeof(scope_key) + 3 * (scope != NULL ? strlen(scope) : 0));
	if (token->form == NULL)
		return false;
	strcpy(token->form, grant);
	if (scope != NULL)
	{
		strcat(token->form, scope_key);
		(void) append_encoded(token->form + strlen(token->form), scope);
	}
	return true;
}

/* Split "key=value,...", which was checked when it was given, in place. */
static void
split_extensions(SiToken *token)
{
	char	   *rest = token->texts[TOKEN_EXTENSIONS];

	while (rest != NULL && *rest != '\0' && token->nextensions < 2 * SI_TOKEN_MAX_EXTENSIONS)
	{
		char	   *pair = rest;
		char	   *equals;

		rest = strchr(pair, ',');
		if (rest != NULL)
			*rest++ = '\0';
		equals = strchr(pair, '=');
		if (equals == NULL)
			continue;
		*equals = '\0';
		token->extensions[token->nextensions++] = pair;
		token->extensions[token->nextensions++] = equals + 1;
	}
}

/* Copy the properties, of which the last of each name counts; false when out of memory. */
static bool
copy_texts(SiToken *token, const char *const *texts)
{
	for (int i = 0; i < NTEXTS; i++)
	{
		if (texts[i] == NULL)
			continue;
		token->texts[i] = strdup(texts[i]);
		if (token->texts[i] == NULL)
			return false;
	}
	split_extensions(token);
	return make_form(token);
}

/* The client for requests; NULL when out of memory. */
static SiHttp *
create_client(SiToken *token)
{
	SiHttpOptions options = {
		.max_body = SI_TOKEN_MAX_BODY,
		.timeout_ms = REQUEST_MS,
		.ca_pem = token->texts[TOKEN_CA_PEM],
		.ca_location = token->texts[TOKEN_CA_LOCATION],
		.username = token->texts[TOKEN_CLIENT_ID],
		.password = token->texts[TOKEN_SECRET]
	};

	return si_http_create(&options, is_closing, token);
}

/* What keeps these properties from giving a token, or NULL. */
static const char *
find_lack(const char *const *texts)
{
	if (texts[TOKEN_FUNCTION] != NULL)
		return NULL;
	if (!si_http_is_supported())
		return "This build of stream_ingest has no HTTP client to request tokens: it was made with with_schema_registry=no.";
	if (texts[TOKEN_URL] == NULL)
		return "The option \"sasl_oauthbearer_token_endpoint_url\" of the server is missing.";
	if (texts[TOKEN_CLIENT_ID] == NULL)
		return "The option \"sasl_oauthbearer_client_id\" of the server or of the user mapping is missing.";
	if (texts[TOKEN_SECRET] == NULL)
		return "The option \"sasl_oauthbearer_client_secret\" of the user mapping is missing.";
	return NULL;
}

static void
set_out_of_memory(SiClientFailure *failure)
{
	failure->sqlstate = ERRCODE_OUT_OF_MEMORY;
	strlcpy(failure->words, "out of memory", sizeof(failure->words));
}

/* Do these properties want tokens?  Then the texts are what they say of them. */
static bool
find_texts(const SiProperty *properties, int nproperties, const char **texts)
{
	const char *mechanism = si_client_sasl_mechanism(properties, nproperties);

	for (int i = 0; i < NTEXTS; i++)
		texts[i] = si_client_property(properties, nproperties, property_names[i]);

	/* without SASL the broker would never be sent the token */
	return mechanism != NULL && strcmp(mechanism, "OAUTHBEARER") == 0;
}

const char *
si_token_properties_function(const SiProperty *properties, int nproperties)
{
	const char *texts[NTEXTS];

	return find_texts(properties, nproperties, texts) ? texts[TOKEN_FUNCTION] : NULL;
}

/* Make what the texts need; false when out of memory. */
static bool
fill_token(SiToken *token, const char *const *texts)
{
	if (!copy_texts(token, texts))
		return false;
	if (texts[TOKEN_FUNCTION] != NULL)
		return true;
	token->http = create_client(token);
	return token->http != NULL;
}

bool
si_token_create(const SiProperty *properties, int nproperties, SiToken **token,
				SiClientFailure *failure)
{
	const char *texts[NTEXTS];
	const char *lack;

	*token = NULL;
	if (!find_texts(properties, nproperties, texts))
		return true;
	lack = find_lack(texts);
	if (lack != NULL)
	{
		failure->sqlstate = ERRCODE_INVALID_PARAMETER_VALUE;
		strlcpy(failure->words, lack, sizeof(failure->words));
		return false;
	}
	if (texts[TOKEN_FUNCTION] == NULL)
		si_http_init();
	*token = calloc(1, sizeof(SiToken));
	if (*token != NULL)
	{
		si_side_thread_init(&(*token)->side);
		if (fill_token(*token, texts))
			return true;
		si_token_free(*token);
		*token = NULL;
	}
	set_out_of_memory(failure);
	return false;
}

void
si_token_free(SiToken *token)
{
	if (token == NULL)
		return;
	for (int i = 0; i < NTEXTS; i++)
		free(token->texts[i]);
	free(token->form);
	si_http_free(token->http);
	si_side_thread_destroy(&token->side);
	free(token);
}

/* ---- the main thread: while it runs ---- */

int
si_token_start(SiToken *token, rd_kafka_t *rk, int fd)
{
	token->rk = rk;
	token->fd = fd;
	if (si_token_function(token) != NULL)
		return 0;
	si_side_thread_await_at_exit();
	return si_thread_start(&token->side.thread, token_main, token);
}

bool
si_token_news(SiToken *token, SiBrokerError *news)
{
	bool		is_news;

	pthread_mutex_lock(&token->side.lock);
	is_news = token->is_news;
	*news = token->news;
	token->is_news = false;
	pthread_mutex_unlock(&token->side.lock);
	return is_news;
}

void
si_token_renew(SiToken *token)
{
	pthread_mutex_lock(&token->side.lock);
	if (token->got_ms != 0 && token->retry_ms == 0)
	{
		token->due_ms = Min(token->due_ms, token->got_ms + RENEW_MS);
		pthread_cond_signal(&token->side.work);
	}
	pthread_mutex_unlock(&token->side.lock);
}

void
si_token_end(SiToken *token)
{
	si_side_thread_close(&token->side);
}

void
si_token_await(SiToken *token, int timeout_ms)
{
	if (si_token_function(token) != NULL || si_side_thread_await(&token->side, timeout_ms))
		si_token_free(token);
}

/* ---- the main thread: tokens that a function gives ---- */

const char *
si_token_function(const SiToken *token)
{
	return token != NULL ? token->texts[TOKEN_FUNCTION] : NULL;
}

int64
si_token_due_ms(SiToken *token)
{
	int64		due_ms;

	if (si_token_function(token) == NULL)
		return -1;
	pthread_mutex_lock(&token->side.lock);
	due_ms = token->due_ms - si_client_now_ms();
	pthread_mutex_unlock(&token->side.lock);
	return Max(due_ms, 0);
}

bool
si_token_has_come(SiToken *token)
{
	bool		has_come;

	pthread_mutex_lock(&token->side.lock);
	has_come = (token->got_ms != 0);
	pthread_mutex_unlock(&token->side.lock);
	return has_come;
}

void
si_token_give(SiToken *token, const char *text, int64 life_ms)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	pthread_mutex_lock(&token->side.lock);
	hand_over(token, text, (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000, life_ms);
	pthread_mutex_unlock(&token->side.lock);
}

void
si_token_deny(SiToken *token, bool passing, const char *words)
{
	pthread_mutex_lock(&token->side.lock);
	fail(token, SI_BROKER_ERROR_TOKEN_FUNCTION, passing, 0, words);
	pthread_mutex_unlock(&token->side.lock);
}
