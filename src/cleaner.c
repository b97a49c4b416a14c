/*-------------------------------------------------------------------------
 *
 * cleaner.c
 *	  The short-lived process that deletes in Kafka the offsets that a
 *	  subscription has left behind.
 *
 * Who drops a subscription must not wait for brokers, nor may they be asked
 * before the drop is committed; and a subscription need not have a worker that
 * could do it on its way out.  So the change leaves a note (former_group.h),
 * and the scanner that follows each change sends a cleaner.
 *
 * Offsets that a subscription of this database publishes as things are now
 * stay: the one that was changed still publishes most of them, a new one may
 * have the name and so the group of the old one, and several may share a
 * group, each with its own partitions.
 *
 * It is tried once, for some seconds.  What fails is a line in the log.
 *
 * Copyright (c) 2026, stream_ingest contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "cleaner.h"
#include "compat.h"
#include "former_group.h"
#include "group.h"
#include "server_options.h"
#include "session.h"
#include "slots.h"

#define WORKER_MS	10000		/* how long a worker may take to end */
#define REQUEST_MS	10000		/* how long brokers may take */
#define POLL_MS		100			/* how soon DROP DATABASE is noticed */

/* What is to be deleted. */
typedef struct Deletion
{
	char	   *group;
	SiServerProperties *server;
	int32	   *partitions;
	int			n;
} Deletion;

/* The request that is under way; reached by the exit callback. */
static SiGroupDeletion *request = NULL;

/* ---- waiting ---- */

/* Does somebody want this database without us? */
static bool
is_suspended(void)
{
	SiDatabaseSlot *slot;
	bool		suspended;

	si_slots_lock(LW_SHARED);
	slot = si_slots_find_database(MyDatabaseId, false);
	suspended = (slot != NULL && slot->suspended_by != 0);
	si_slots_unlock();
	return suspended;
}

/* Wait a little, or until the descriptor (if >= 0) is readable. */
static void
wait_a_little(int fd)
{
	Assert(!IsTransactionState());
	(void) WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH |
							 (fd >= 0 ? WL_SOCKET_READABLE : 0),
							 fd >= 0 ? fd : PGINVALID_SOCKET, POLL_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (is_suspended())
		proc_exit(0);
}

/* May a worker still publish what is to be deleted? */
static bool
has_worker(const SiFormerGroup *former)
{
	bool		found = false;

	si_slots_lock(LW_SHARED);
	for (int i = 0; i < si_guc_max_workers; i++)
	{
		SiWorkerSlot *worker = si_slots_worker(i);

		found |= worker->in_use && worker->database == MyDatabaseId &&
			worker->subscription == former->subscription &&
			(worker->pid != 0 || worker->launching) &&
			worker->epoch <= former->epoch;
	}
	si_slots_unlock();
	return found;
}

static void
wait_for_workers(const SiFormerGroup *former)
{
	TimestampTz start = GetCurrentTimestamp();

	while (has_worker(former) &&
		   !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), WORKER_MS))
		wait_a_little(-1);
}

/* ---- what is to be deleted ---- */

/* Are these the brokers of the same cluster, as far as one can see? */
static bool
same_brokers(const SiServerProperties *a, const SiServerProperties *b)
{
	const char *brokers[2] = {NULL, NULL};
	const SiServerProperties *servers[2] = {a, b};

	for (int k = 0; k < 2; k++)
	{
		for (int i = 0; i < servers[k]->nproperties; i++)
		{
			if (strcmp(servers[k]->properties[i].name, "bootstrap.servers") == 0)
				brokers[k] = servers[k]->properties[i].value;
		}
	}
	return brokers[0] != NULL && brokers[1] != NULL && strcmp(brokers[0], brokers[1]) == 0;
}

/* Leave out the partitions that this subscription publishes under the group. */
static void
leave_out(Deletion *deletion, const char *topic, const SiSubscription *s)
{
	SiOptions  *options = si_options_parse(s->options_text);
	SiServerProperties *server;
	int			n = 0;

	if (!options->publish_offsets || strcmp(s->topic, topic) != 0 ||
		GetForeignServerByName(s->server, true) == NULL)
		return;
	server = si_server_properties(s->server, s->owner);
	if (!same_brokers(server, deletion->server) ||
		strcmp(si_group_name(options->group_id, server->group_prefix,
							 get_database_name(MyDatabaseId), NameStr(s->name)),
			   deletion->group) != 0)
		return;
	for (int i = 0; i < deletion->n; i++)
	{
		if (!si_options_takes(options, deletion->partitions[i]))
			deletion->partitions[n++] = deletion->partitions[i];
	}
	deletion->n = n;
}

static void
log_failure(const SiFormerGroup *former, const char *group, const char *words)
{
	ereport(LOG,
			(errmsg("could not delete the offsets of topic \"%s\" that subscription \"%s\" has published to Kafka: %s",
					former->topic, former->name, words),
			 group != NULL ? errdetail("They stay in group \"%s\" until Kafka forgets them.", group) : 0));
}

/* Find out what is to be deleted, and by whose leave; NULL if nothing. */
static Deletion *
plan_deletion(SiFormerGroup *former)
{
	SiOptions  *options = si_options_parse(former->options_text);
	Deletion   *deletion = palloc0(sizeof(Deletion));
	ListCell   *lc;

	if (!options->publish_offsets)
		return NULL;
	if (GetForeignServerByName(former->server, true) == NULL)
	{
		log_failure(former, NULL, psprintf("server \"%s\" does not exist", former->server));
		return NULL;
	}
	deletion->server = si_server_properties(former->server, former->owner);
	deletion->group = si_group_name(options->group_id, deletion->server->group_prefix,
									get_database_name(MyDatabaseId), former->name);
	deletion->partitions = former->partitions;
	for (int i = 0; i < former->npartitions; i++)
	{
		if (si_options_takes(options, former->partitions[i]))
			deletion->partitions[deletion->n++] = former->partitions[i];
	}
	foreach(lc, si_catalog_list())
		leave_out(deletion, former->topic, lfirst(lc));
	if (deletion->n == 0)
		return NULL;
	if (!has_server_usage_compat(deletion->server->server, former->owner))
	{
		log_failure(former, deletion->group,
					psprintf("its owner has no USAGE on server \"%s\"", former->server));
		return NULL;
	}
	return deletion;
}

/* ---- deleting ---- */

static void
close_request(int code, Datum arg)
{
	SiGroupDeletion *closing = request;

	request = NULL;
	if (closing != NULL)
		si_group_close(closing);
}

static void
delete_offsets(const SiFormerGroup *former, const Deletion *deletion)
{
	char		words[256] = "";

	request = si_group_delete_offsets(deletion->server->properties, deletion->server->nproperties,
									  psprintf("stream_ingest/%s", former->name),
									  deletion->group, former->topic,
									  deletion->partitions, deletion->n, REQUEST_MS);
	while (!si_group_done(request, words, sizeof(words)))
		wait_a_little(si_group_fd(request));
	close_request(0, (Datum) 0);
	if (words[0] != '\0')
		log_failure(former, deletion->group, words);
	else
		ereport(DEBUG1,
				(errmsg_internal("deleted the offsets of topic \"%s\", %d partitions, from group \"%s\"",
								 former->topic, deletion->n, deletion->group)));
}

/* Deal with one note; false if there is none left. */
static bool
clean_one(void)
{
	MemoryContext context = CurrentMemoryContext;
	SiFormerGroup *former = NULL;
	Deletion   *deletion = NULL;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(context);
	if (OidIsValid(si_catalog_lock_extension()))
		former = si_former_group_take();
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	if (former == NULL)
		return false;

	wait_for_workers(former);

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(context);
	if (OidIsValid(si_catalog_lock_extension()))
		deletion = plan_deletion(former);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	if (deletion != NULL)
		delete_offsets(former, deletion);
	return true;
}

/* ---- the process ---- */

/*
 * Be the one cleaner of this database, or (on false) no more; false also if
 * somebody else is it.
 */
static bool
be_cleaner(bool on)
{
	SiDatabaseSlot *slot;
	bool		result;

	si_slots_lock(LW_EXCLUSIVE);
	slot = si_slots_find_database(MyDatabaseId, false);
	if (slot != NULL && (slot->cleaner_pid == 0 || slot->cleaner_pid == MyProcPid))
		slot->cleaner_pid = on ? MyProcPid : 0;
	result = (slot != NULL && slot->cleaner_pid == MyProcPid);
	si_slots_unlock();
	return result;
}

static void
detach_cleaner(int code, Datum arg)
{
	(void) be_cleaner(false);
}

bool
si_cleaner_start(void)
{
	BackgroundWorker cleaner = {0};
	SiDatabaseSlot *slot;
	bool		running;

	si_slots_lock(LW_SHARED);
	slot = si_slots_find_database(MyDatabaseId, false);
	running = (slot != NULL && slot->cleaner_pid != 0);
	si_slots_unlock();
	if (running)
		return true;

	cleaner.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION |
		worker_flags_compat();
	cleaner.bgw_start_time = BgWorkerStart_RecoveryFinished;
	cleaner.bgw_restart_time = BGW_NEVER_RESTART;
	cleaner.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	strlcpy(cleaner.bgw_library_name, "stream_ingest", BGW_MAXLEN);
	strlcpy(cleaner.bgw_function_name, "si_cleaner_main", BGW_MAXLEN);
	strlcpy(cleaner.bgw_type, "stream_ingest cleaner", BGW_MAXLEN);
	snprintf(cleaner.bgw_name, BGW_MAXLEN, "stream_ingest cleaner for database %u", MyDatabaseId);
	return RegisterDynamicBackgroundWorker(&cleaner, NULL);
}

static void
clean_all(MemoryContext scratch)
{
	do
	{
		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
	} while (!is_suspended() && clean_one());
}

static bool
notes_left(void)
{
	bool		any;

	if (is_suspended())
		return false;
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	any = OidIsValid(si_catalog_lock_extension()) && si_former_group_any();
	PopActiveSnapshot();
	CommitTransactionCommand();
	return any;
}

void
si_cleaner_main(Datum arg)
{
	MemoryContext scratch;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/* before connecting: at exit the transaction, if there is one, ends first */
	before_shmem_exit(close_request, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	si_session_init_worker();
	pgstat_report_appname("stream_ingest cleaner");

	scratch = AllocSetContextCreate(TopMemoryContext, "stream_ingest cleaner",
									ALLOCSET_DEFAULT_SIZES);
	before_shmem_exit(detach_cleaner, (Datum) 0);
	while (be_cleaner(true))
	{
		clean_all(scratch);

		/* a scanner that saw us until now has relied on us: look again */
		(void) be_cleaner(false);
		if (!notes_left())
			break;
	}
	proc_exit(0);
}
