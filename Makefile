# stream_ingest: PGXS.  "make help" lists the targets.

EXTENSION = stream_ingest
MODULE_big = stream_ingest
DATA = $(wildcard sql/stream_ingest--*.sql sql/stream_ingest--*.control)

# listed, so that a stray file cannot join the build
OBJS = \
	src/stream_ingest.o \
	src/applier.o \
	src/arguments.o \
	src/batch.o \
	src/bytes.o \
	src/catalog.o \
	src/cleaner.o \
	src/client.o \
	src/column_default.o \
	src/committer.o \
	src/consumer.o \
	src/convert.o \
	src/datum.o \
	src/ddl.o \
	src/dead_letter.o \
	src/decode_json.o \
	src/decode_raw.o \
	src/decode_text.o \
	src/decoder.o \
	src/document.o \
	src/epoch.o \
	src/event.o \
	src/failure.o \
	src/fixed_sql.o \
	src/format.o \
	src/former_group.o \
	src/functions.o \
	src/group.o \
	src/functions_dead_letters.o \
	src/functions_produce.o \
	src/functions_decode.o \
	src/functions_look.o \
	src/functions_preview.o \
	src/functions_steer.o \
	src/functions_wait.o \
	src/guc.o \
	src/held.o \
	src/helper.o \
	src/infer.o \
	src/ingest.o \
	src/isolate.o \
	src/json_scan.o \
	src/path_tree.o \
	src/key.o \
	src/launcher.o \
	src/lock_wait.o \
	src/look.o \
	src/lookup.o \
	src/mapping.o \
	src/option_positions.o \
	src/option_types.o \
	src/options.o \
	src/plan.o \
	src/position.o \
	src/preview.o \
	src/producer.o \
	src/progress.o \
	src/publisher.o \
	src/reason.o \
	src/reduce.o \
	src/retry.o \
	src/row_notes.o \
	src/scanner.o \
	src/server_options.o \
	src/session.o \
	src/settings.o \
	src/show.o \
	src/slots.o \
	src/statement.o \
	src/subscription.o \
	src/transcode.o \
	src/trouble.o \
	src/tombstone.o \
	src/upcoming.o \
	src/user_sql.o \
	src/views.o \
	src/visit.o \
	src/worker.o \
	src/worker_apply.o \
	src/worker_contact.o \
	src/worker_fetch.o \
	src/worker_limits.o \
	src/worker_run.o \
	src/worker_status.o \
	src/writer.o

TEST_PROGRAMS = test/mock_broker test/produce test/kafka_admin test/neighbour.so

# pg_regress and TAP start servers and brokers of their own
REGRESS = upgrade server_options options subscriptions ingest decode types produce look preview comments dead_letters modes apply targets steering stop_at
REGRESS_OPTS = --encoding=UTF8 --temp-instance=./tmp_check_regress --temp-config=test/regress.conf
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

EXTRA_CLEAN = src/exports.map $(TEST_PROGRAMS) test/decoder_test tmp_check tmp_check_regress

PG_CONFIG ?= pg_config
PKG_CONFIG ?= pkg-config

# Targets that build nothing ask for no libraries.
ifneq ($(filter-out clean distclean help indent check-indent,$(or $(MAKECMDGOALS),all)),)
# $(call need,pkg-config module,least version,Debian package)
need = $(if $(shell $(PKG_CONFIG) --exists '$(1) >= $(2)' && echo yes),,\
	$(error stream_ingest needs $(1) $(2) or newer: install $(3) (Debian: apt-get install $(3) pkg-config)))
$(call need,rdkafka,2.0.2,librdkafka-dev)
$(call need,jansson,2.14,libjansson-dev)

PG_MAJOR := $(shell $(PG_CONFIG) --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
ifeq ($(PG_MAJOR),)
$(error $(PG_CONFIG) was not found or does not answer: install postgresql-server-dev-15 or set PG_CONFIG)
endif
ifneq ($(shell test $(PG_MAJOR) -ge 15 && echo yes),yes)
$(error stream_ingest needs PostgreSQL 15 or newer, and $(PG_CONFIG) belongs to $(PG_MAJOR))
endif
endif

LIBRARY_CFLAGS = $(shell $(PKG_CONFIG) --cflags rdkafka jansson)
SHLIB_LINK = $(shell $(PKG_CONFIG) --libs rdkafka jansson) -Wl,--version-script=src/exports.map

# The server's own headers do not build without a warning under -Wextra.
PG_CPPFLAGS = $(LIBRARY_CFLAGS)
PG_CFLAGS = -Wall -Wextra -Wmissing-prototypes \
	-Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers \
	-Wno-cast-function-type $(COMPILER_CFLAGS)
ifdef MAINTAINER
PG_CFLAGS += -Werror
endif

# gcc takes what every PG_TRY does for clobbered variables; clang is handed
# the flags with which gcc built the server, and does not know them all.
COMPILER_CFLAGS = $(if $(findstring clang,$(shell $(CC) --version)),\
	-Wno-unknown-warning-option -Wno-ignored-optimization-argument \
	-Wno-ignored-attributes,\
	-Wno-clobbered)

# No function of ours is worth inlining into a JIT-compiled query.
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(PGXS),)
include $(PGXS)
endif

# Header files are few: when one changes, all is built anew.
$(OBJS): $(wildcard src/*.h)

# What the library exports: its SQL-callable functions and what the server
# looks for, nothing else.  (With -fvisibility=hidden version 15 would not find
# its functions: PG_FUNCTION_INFO_V1 exports them only since 16.)
src/exports.map: $(OBJS) Makefile
	{ echo '{ global: _PG_init; Pg_magic_func;'; \
	nm $(filter %.o,$^) | sed -n -e 's/.* T pg_finfo_\(.*\)/\1; pg_finfo_\1;/p' -e 's/.* T \(si_[a-z]*_main\)$$/\1;/p'; \
	echo 'local: *; };'; } > $@

$(MODULE_big)$(DLSUFFIX): src/exports.map

test/%: test/%.c
	$(CC) -std=gnu99 -g -O2 -Wall -Wextra -Wmissing-prototypes $(if $(MAINTAINER),-Werror) \
		-o $@ $< $(shell $(PKG_CONFIG) --cflags --libs rdkafka)

# A library beside ours, for a server to preload.
test/%.so: test/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(CFLAGS_SL) -shared -o $@ $<

# The decoders need no server, so this one runs under the sanitizers.
test/decoder_test: test/decoder_test.c src/decoder.c src/json_scan.c src/path_tree.c src/decode_json.c src/decode_text.c src/decode_raw.c
	$(CC) -std=gnu99 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined \
		-Wall -Wextra -Wno-unused-parameter -Isrc -o $@ $^ $(shell $(PKG_CONFIG) --cflags --libs jansson)

# pg_regress's tests find the embedded broker in their environment.
pg_regress_program = $(top_builddir)/src/test/regress/pg_regress
pg_regress_installcheck := $(subst $(pg_regress_program),test/with_mock_broker.sh \
	$(pg_regress_program),$(pg_regress_installcheck))
installcheck: test-programs

.PHONY: help test-programs lint indent check-indent
.DEFAULT_GOAL := all

help:
	@echo 'make                build (MAINTAINER=1: a warning is an error)'
	@echo 'make install        install into the server that PG_CONFIG names'
	@echo 'make installcheck   pg_regress and TAP tests of what is installed, with servers of their own'
	@echo 'make test-programs  the embedded broker, the producer and the topic tool of the tests'
	@echo 'make lint           rules of the house that no compiler checks'
	@echo 'make indent         format the C files with pgindent'
	@echo 'make check-indent   say which C files pgindent would change'
	@echo 'make clean'
	@echo 'bash test/run.sh    everything, packages included, as CI does'

test-programs: $(TEST_PROGRAMS)

lint: all
	bash test/lint.sh

indent:
	bash test/indent.sh

check-indent:
	bash test/indent.sh --check
