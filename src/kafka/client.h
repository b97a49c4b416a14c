/*-------------------------------------------------------------------------
 *
 * client.h
 *	  What the consumer and the producer share: configuration, and the descriptor
 *	  that wakes the main thread.
 *
 * Called within this folder; callers of consumer.h drain its descriptor.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SI_CLIENT_H
#define SI_CLIENT_H

/* A property for librdkafka, by its own name (with dots). */
typedef struct SiProperty
{
	const char *name;
	const char *value;
} SiProperty;

/* A setting of ours; optional ones are unknown to some versions or builds. */
typedef struct SiSetting
{
	const char *name;
	const char *value;
	bool		optional;
} SiSetting;

/* Why a client could not be opened; reported after cleaning up. */
typedef struct SiClientFailure
{
	int			sqlstate;
	const char *what;			/* a property's name, or NULL */
	int			error_number;
	char		words[512];
} SiClientFailure;

struct rd_kafka_conf_s;

/*
 * The value of a property, of which the last one of a name counts, or NULL; and the SASL
 * mechanism that the properties use, or NULL if they use none.
 */
extern const char *si_client_property(const SiProperty *properties, int n, const char *name);
extern const char *si_client_sasl_mechanism(const SiProperty *properties, int n);

/* Is the value of this property the name of a file? */
extern bool si_client_is_location(const char *name);

/*
 * Properties as the library takes them, in UTF-8 but for names of files; palloc'd.  It
 * may throw, so it comes before all that the library or malloc gives.
 */
extern SiProperty *si_client_to_kafka(const SiProperty *properties, int n);

/*
 * Make a configuration: the defaults, of which client_id is one, then the
 * caller's properties, then the fixed settings, all of them in UTF-8.  NULL, and why, if
 * the library refuses one.  Throws nothing.
 */
extern struct rd_kafka_conf_s *si_client_configure(const SiSetting *defaults, int ndefaults,
												   const SiProperty *properties, int nproperties,
												   const SiSetting *fixed, int nfixed,
												   const char *client_id,
												   SiClientFailure *failure);

/* Set one property, which is in UTF-8; false, and why, if the library refuses it. */
extern bool si_client_set(struct rd_kafka_conf_s *conf, const char *name, const char *value,
						  SiClientFailure *failure);

/*
 * What a location names that is not to be opened for certificates, or NULL: a pipe or
 * a device may never end, and the library reads it in the calling thread, where no
 * signal ends that.  For any thread.
 */
extern const char *si_client_refuse_file(const char *path);

/* The library's words about a property, without the value if it is a secret. */
extern void si_client_describe_refusal(const char *name, const char *errstr, char *words,
									   size_t size);

/* Raise the ERROR; kind is "consumer" or "producer". */
extern void si_client_report_failure(const SiClientFailure *failure,
									 const char *kind) __attribute__((noreturn));

/*
 * A descriptor for rd_kafka_queue_io_event_enable(), counted by the server;
 * -1, with errno, on failure.  Closing is for the main thread.
 */
extern int	si_client_open_fd(void);
extern void si_client_close_fd(int fd);

/* Make the descriptor readable.  For any thread, while it is open. */
extern void si_client_wake_fd(int fd);

/* Make it unreadable again. */
extern void si_client_drain_fd(int fd);

/* Milliseconds of the monotonic clock.  For any thread. */
extern int64_t si_client_now_ms(void);

#endif							/* SI_CLIENT_H */
