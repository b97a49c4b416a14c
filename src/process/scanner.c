/*-------------------------------------------------------------------------
 *
 * scanner.c
 *	  The short-lived process that reads one database's subscriptions into
 *	  shared memory.
 *
 * The launcher has no database and cannot read a table; a process that stayed
 * in each database would cost one for each idle database.  So a scanner comes
 * at server start, and whenever something has changed, and goes again.  It also
 * finds out what would keep a worker from starting, so that status can say it:
 * a worker that dies while connecting could not.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "catalog/event.h"
#include "catalog/session.h"
#include "catalog/subscriptions.h"
#include "catalog/transaction.h"
#include "common/clock.h"
#include "common/compat.h"
#include "process/scanner.h"
#include "shmem/crash_count.h"
#include "shmem/owners.h"

/*
 * What heals by itself is looked at again when as much time has passed as it
 * has lasted, within these bounds.
 */
#define RECHECK_MIN_MS		2000
#define RECHECK_MAX_MS		60000

/*
 * No wait for a lock is longer: other databases wait for this scan to end.  It
 * is tried again.
 */
#define LOCK_TIMEOUT_MS		500

/* What a scan found out about one subscription. */
typedef struct Finding
{
	SiSubscription *subscription;
	int			workers;		/* 0: state and reason say why */
	SiState		state;
	const char *reason;
	bool		recheck;		/* may be repaired without a change of ours */
	bool		needs_slot;		/* only a scanner can tell its state */
	bool		is_news;		/* it was not announced yet */
} Finding;

/* Is this the place where the subscription was made or last enabled? */
static bool
is_copy(const SiSubscription *s, Oid extension)
{
	return s->system_identifier != (int64) GetSystemIdentifier() ||
		s->database != MyDatabaseId || s->extension != extension;
}

/* What about the owner keeps a worker from connecting; NULL if nothing does. */
static const char *
owner_obstacle(const SiSubscription *s)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(s->owner));
	bool		can_login;

	if (!HeapTupleIsValid(tuple))
		return si_reason_fixed(SI_REASON_NO_OWNER);
	can_login = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	if (!can_login && worker_connect_flags_compat() == 0)
		return si_reason(SI_REASON_NO_LOGIN, s->owner_name);
	if (!has_database_connect_compat(MyDatabaseId, s->owner))
		return si_reason(SI_REASON_NO_CONNECT, s->owner_name);
	return NULL;
}

static const char *
server_obstacle(const SiSubscription *s)
{
	ForeignServer *server = GetForeignServerByName(s->server, true);

	if (server == NULL)
		return si_reason(SI_REASON_NO_SERVER, s->server);
	if (!has_server_usage_compat(server->serverid, s->owner))
		return si_reason(SI_REASON_NO_USAGE, s->owner_name, s->server);
	if (server->serverid != s->server_oid)
		return si_reason(SI_REASON_OTHER_SERVER, s->server);
	return NULL;
}

/* Log and announce a finding. */
static void
tell(const Finding *finding)
{
	const SiSubscription *s = finding->subscription;

	ereport(LOG,
			(errmsg("subscription \"%s\" is %s: %s", NameStr(s->name),
					si_slots_state_name(finding->state), finding->reason)));
	si_event_announce(s->id, finding->state);
}

/*
 * Stop a subscription whose worker has crashed the server too often, before a
 * worker is started that would do it again.
 */
static bool
stop_after_crashes(Finding *finding)
{
	const SiSubscription *s = finding->subscription;
	int			crashes = si_crash_count(MyDatabaseId, s->id, s->epoch);

	if (crashes < SI_CRASH_LIMIT)
		return false;
	finding->reason = si_reason(SI_REASON_CRASHES, crashes);
	if (si_catalog_stop(s->id, s->epoch, si_slots_state_name(SI_STATE_STOPPED),
						finding->reason, unpack_sql_state(ERRCODE_CRASH_SHUTDOWN)))
		tell(finding);
	return true;
}

/* Find out the state of a subscription, and how many workers it wants. */
static void
examine(Finding *finding, Oid extension)
{
	SiSubscription *s = finding->subscription;
	const char *obstacle;
	SiOptions  *options;
	char	   *why;

	finding->state = SI_STATE_STOPPED;
	if (!s->enabled)
	{
		finding->state = SI_STATE_DISABLED;
		finding->reason = si_reason_fixed(SI_REASON_DISABLED);
		return;
	}
	if (s->stop_state != NULL)
	{
		if (strcmp(s->stop_state, "finished") == 0)
			finding->state = SI_STATE_FINISHED;
		finding->reason = s->stop_reason;
		return;
	}
	if (stop_after_crashes(finding))
		return;
	finding->needs_slot = true;
	if (is_copy(s, extension))
	{
		finding->reason = si_reason_fixed(SI_REASON_COPY);
		return;
	}
	obstacle = s->damage != NULL ? si_reason(SI_REASON_DAMAGE, s->damage) : owner_obstacle(s);
	if (obstacle == NULL)
		obstacle = server_obstacle(s);
	if (obstacle != NULL)
	{
		finding->reason = obstacle;
		finding->recheck = true;
		return;
	}
	options = si_options_parse_stored(s->options_text, &why);
	if (options == NULL)
	{
		finding->reason = si_reason(SI_REASON_OPTIONS, why);
		finding->recheck = true;
		return;
	}
	finding->state = SI_STATE_STARTING;
	finding->workers = options->workers;
}

/* Use the owner's name of today; true if another one is stored. */
static bool
follow_owner_name(SiSubscription *s)
{
	char	   *name = GetUserNameFromId(s->owner, true);

	if (name == NULL || s->owner_name == NULL || strcmp(name, s->owner_name) == 0)
		return false;
	s->owner_name = name;
	return true;
}

/*
 * The target's name of today if another one is stored, or NULL.  In a copy the stored
 * name counts until enable(), as the OID may be another relation's there.
 */
static char *
new_target_name(const SiSubscription *s, Oid extension)
{
	char	   *name;

	if (s->target_name == NULL || is_copy(s, extension))
		return NULL;
	name = si_catalog_target_name(s->target);
	return name != NULL && strcmp(name, s->target_name) != 0 ? name : NULL;
}

/*
 * Read all subscriptions; *has_extension tells whether there can be any, *renamed whether
 * owners or targets have other names than those that are stored.
 */
static Finding *
read_database(bool *has_extension, bool *renamed, int *n)
{
	Oid			extension = si_catalog_lock_extension();
	List	   *subscriptions = NIL;
	Finding    *findings;
	ListCell   *lc;

	*has_extension = OidIsValid(extension);
	*renamed = false;
	if (*has_extension)
		subscriptions = si_catalog_list();
	*n = list_length(subscriptions);
	findings = palloc0(sizeof(Finding) * Max(*n, 1));
	foreach(lc, subscriptions)
	{
		Finding    *finding = &findings[foreach_current_index(lc)];

		finding->subscription = lfirst(lc);
		*renamed |= follow_owner_name(finding->subscription);
		*renamed |= (new_target_name(finding->subscription, extension) != NULL);
		examine(finding, extension);
	}
	return findings;
}

/* Store the names that owners and targets have now. */
static void
follow_names(void)
{
	Oid			extension = si_catalog_lock_extension();
	ListCell   *lc;

	if (!OidIsValid(extension))
		return;
	si_catalog_follow_owner_names();
	foreach(lc, si_catalog_list())
	{
		const SiSubscription *s = lfirst(lc);
		char	   *name = new_target_name(s, extension);

		if (name != NULL)
			si_catalog_follow_target_name(s->id, s->target, name);
	}
}

/* When to scan again for an obstacle that has existed since then. */
static TimestampTz
next_recheck(TimestampTz since)
{
	long		lasted = TimestampDifferenceMilliseconds(since, GetCurrentTimestamp());

	return TimestampTzPlusMilliseconds(si_clock_now(), Min(Max(lasted, RECHECK_MIN_MS), RECHECK_MAX_MS));
}

/* Free the slots of subscriptions that need none any more.  Lock held. */
static void
free_slots(const Finding *findings, int n)
{
	for (int i = 0; i < si_guc_max_subscriptions; i++)
		si_slots_subscription(i)->seen = false;
	for (int i = 0; i < n; i++)
	{
		SiSubscriptionSlot *slot =
			si_slots_find_subscription(MyDatabaseId, findings[i].subscription->id);

		if (slot != NULL && findings[i].needs_slot)
			slot->seen = true;
	}
	for (int i = 0; i < si_guc_max_subscriptions; i++)
	{
		SiSubscriptionSlot *slot = si_slots_subscription(i);

		if (slot->in_use && slot->database == MyDatabaseId && !slot->seen)
			si_slots_free_subscription(slot);
	}
}

/* Write one finding to its slot, unless there is no slot left. */
static void
publish_finding(Finding *finding)
{
	const SiSubscription *s = finding->subscription;
	SiSubscriptionSlot *slot = si_slots_make_subscription(MyDatabaseId, s->id, s->owner,
														  finding->workers > 0);
	char		reason[SI_REASON_LEN];

	if (slot == NULL)
		return;
	if (slot->epoch != s->epoch || slot->state != finding->state)
		slot->since = GetCurrentTimestamp();

	/* other ends were announced where they happened */
	si_reason_put(reason, finding->reason ? finding->reason : "");
	finding->is_news = finding->workers == 0 &&
		(slot->state != finding->state || strcmp(slot->reason, reason) != 0);
	slot->name = s->name;
	slot->epoch = s->epoch;
	slot->workers = finding->workers;
	slot->state = finding->state;
	slot->recheck_at = finding->recheck ? next_recheck(slot->since) : 0;
	strlcpy(slot->reason, reason, SI_REASON_LEN);
}

/*
 * How many findings need a slot and have none.  Counted when all are written: a
 * later one may have taken the slot of an earlier one.  Lock held.
 */
static int
count_lacking(const Finding *findings, int n)
{
	int			lacking = 0;

	for (int i = 0; i < n; i++)
	{
		if (findings[i].needs_slot &&
			si_slots_find_subscription(MyDatabaseId, findings[i].subscription->id) == NULL)
			lacking++;
	}
	return lacking;
}

/* Whose the subscriptions are. */
static Oid *
list_owners(const Finding *findings, int n)
{
	Oid		   *owners = palloc(sizeof(Oid) * Max(n, 1));

	for (int i = 0; i < n; i++)
		owners[i] = findings[i].subscription->owner;
	return owners;
}

/* Write the findings of a scan to shared memory. */
static void
publish(Finding *findings, int n, bool has_extension, uint64 request)
{
	Oid		   *owners = list_owners(findings, n);
	SiDatabaseSlot *database;
	int			lacking;

	si_slots_lock(LW_EXCLUSIVE);
	si_owners_replace(MyDatabaseId, owners, n);
	free_slots(findings, n);

	/* what can run comes first */
	for (int i = 0; i < 2 * n; i++)
	{
		Finding    *finding = &findings[i % n];

		if (finding->needs_slot && (finding->workers > 0) == (i < n))
			publish_finding(finding);
	}
	lacking = count_lacking(findings, n);
	database = si_slots_find_database(MyDatabaseId, true);
	if (database != NULL)
	{
		database->has_extension = has_extension;
		database->scanned = Max(database->scanned, request);
		database->scanned_at = GetCurrentTimestamp();
		database->scan_failures = 0;
		database->scan_error[0] = '\0';
		database->lacking = lacking;
		database->freed_seen = si_shared->freed;
	}
	si_slots_unlock();

	if (lacking > 0)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("%d subscriptions of database %u are beyond stream_ingest.max_subscriptions or stream_ingest.max_subscriptions_per_role",
						lacking, MyDatabaseId),
				 errhint("The view stream_ingest.status says which, and which setting to increase.")));
}

/* Log and announce what this scan has found to be in the way. */
static void
tell_news(const Finding *findings, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (findings[i].is_news)
			tell(&findings[i]);
	}
}

/* Which requests the scan that begins now will answer. */
static uint64
current_request(Oid database)
{
	SiDatabaseSlot *slot;
	uint64		request;

	si_slots_lock(LW_SHARED);
	slot = si_slots_find_database(database, false);
	request = slot ? slot->requested : 0;
	si_slots_unlock();
	return request;
}

static emit_log_hook_type prev_emit_log_hook = NULL;

/*
 * Show in status what ends a scanner early: that no connection is allowed, or
 * that a lock was not available.
 */
static void
note_error(ErrorData *edata)
{
	if (edata->elevel >= ERROR && edata->sqlerrcode != ERRCODE_ADMIN_SHUTDOWN &&
		!LWLockHeldByMe(si_shared->lock))
	{
		bool		lock = edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
		const char *words = lock ? "another session holds a lock on the database, the extension or its tables (see pg_locks)"
			: edata->message ? edata->message : "unknown error";
		SiDatabaseSlot *slot;

		si_slots_lock(LW_EXCLUSIVE);
		slot = si_slots_find_database(si_shared->scanner_database, false);
		if (slot != NULL)
		{
			int			len = pg_mbcliplen(words, strlen(words), SI_SCAN_ERROR_LEN - 1);

			memcpy(slot->scan_error, words, len);
			slot->scan_error[len] = '\0';
		}
		si_slots_unlock();
	}
	if (prev_emit_log_hook)
		prev_emit_log_hook(edata);
}

/* Registered before the process connects, so called after it has left the database. */
static void
detach_scanner(int code, Datum arg)
{
	int			launcher;

	si_slots_lock(LW_EXCLUSIVE);
	if (si_shared->scanner_pid == MyProcPid)
		si_shared->scanner_pid = 0;
	launcher = si_shared->launcher_pid;
	si_slots_unlock();
	si_slots_wake(launcher);
}

void
si_scanner_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);
	uint64		request;
	bool		has_extension,
				renamed;
	Finding    *findings;
	int			n;
	MemoryContext caller;

	si_slots_lock(LW_EXCLUSIVE);
	si_shared->scanner_pid = MyProcPid;
	si_slots_unlock();
	on_shmem_exit(detach_scanner, (Datum) 0);
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = note_error;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	request = current_request(database);

	/* connecting waits for locks, too */
	si_session_limit_lock_waits(LOCK_TIMEOUT_MS);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	si_session_init_worker();
	si_session_limit_lock_waits(LOCK_TIMEOUT_MS);
	pgstat_report_appname("stream_ingest scanner");

	caller = si_transaction_begin();
	findings = read_database(&has_extension, &renamed, &n);
	publish(findings, n, has_extension, request);
	tell_news(findings, n);
	si_transaction_commit(caller);
	if (renamed)
	{
		/* what fails here fails after all states are known */
		caller = si_transaction_begin();
		follow_names();
		si_transaction_commit(caller);
	}
	proc_exit(0);
}
