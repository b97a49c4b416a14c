# stream_ingest: PGXS.  "make help" lists the targets.

EXTENSION = stream_ingest
MODULE_big = stream_ingest

# The directory of the sources: make may run in another directory, with -f.
top := $(or $(VPATH),$(patsubst %/,%,$(dir $(firstword $(MAKEFILE_LIST)))))
DATA := $(patsubst $(top)/%,%,$(wildcard $(top)/sql/stream_ingest--*.sql $(top)/sql/stream_ingest--*.control))

# By folder, lowest floor first (src/README.md).  Listed, so that a stray file
# cannot join the build.
FOLDERS = common format kafka options shmem catalog apply process functions
OBJS_common = bytes clock failure guc kafka_time message reason schema_name \
	subtransaction thread words
OBJS_format = ahead avro_columns avro_document avro_meaning avro_program avro_read \
	avro_schema avro_text binary_text connect_columns connect_schemas connect_type connect_value decimal \
	decode_avro decode_json decode_key decode_protobuf decode_raw decode_text \
	decoder envelope envelope_shape envelope_view json_inner json_records \
	json_rest json_scan json_unescape \
	json_verdict match_names path_tree proto_build proto_builtin proto_columns \
	proto_descriptor proto_document proto_frame proto_known proto_parse proto_program \
	proto_read proto_scalar proto_schema proto_text proto_token schema_cache \
	schema_columns schema_id schema_store text_rest transcode unavailable value_text
OBJS_kafka = broker_error client committer consumer consumer_events \
	consumer_fetch held helper http kerberos lookup producer registry registry_answer \
	registry_http registry_schema side_thread ticket tls_files token token_answer
OBJS_options = document insert_mode kerberos_options nearest option_positions option_records \
	option_schema option_types options property property_table registry_options \
	server_options token_options url
OBJS_shmem = crash_count lock_wait owners slots
OBJS_catalog = count_changes dead_letter dead_letter_known event fixed_sql position \
	position_judge progress progress_change session settings subscription_columns \
	subscriptions token_function transaction unlogged view_below
OBJS_apply = apply arbiter change_datum column_check column_default convert convert_ahead \
	convert_batch datum datum_failure decoded_value direct direct_target \
	event_check extended_json fast_input fast_numeric format isolate jsonb_push key left_out \
	mapping mapping_source moved_key new_columns other_index outcome plan protect reduce \
	remote retry \
	row_notes rows schema_column schemas show statement statement_text tombstone typed_datum \
	unix_time user_sql write writer
OBJS_process = database_ddl ddl launcher launcher_scan launcher_workers \
	object_ddl places publisher scanner suspension turn utility worker \
	worker_apply worker_contact worker_fetch worker_limits worker_partitions \
	worker_prepare worker_rate worker_run worker_schemas worker_status \
	worker_stream worker_token worker_wait
OBJS_functions = arguments connection destination functions \
	functions_dead_letters functions_decode functions_look functions_preview \
	functions_produce functions_steer functions_wait infer infer_columns infer_schema infer_type outbox preview \
	restored shown_text subscription topic_reader upcoming views
OBJS = src/stream_ingest.o $(foreach folder,$(FOLDERS),$(OBJS_$(folder):%=src/$(folder)/%.o))

TEST_PROGRAMS = test/mock_broker test/produce test/kafka_admin test/fail_malloc.so test/disturb.so test/neighbour.so test/fast_input_test.so test/typed_datum_test.so

# pg_regress and TAP start servers and brokers of their own
REGRESS = upgrade fast_input typed_datum server_options urls kerberos options subscriptions ingest decode avro envelopes change_events schemas documents records protobuf proto_envelopes infer types keys produce look preview comments dead_letters add_columns modes apply targets steering stop_at odd stored
REGRESS_OPTS = --encoding=UTF8 --temp-instance=./tmp_check_regress --temp-config=$(top)/test/regress.conf

# Tests of features that a server may lack: how to detect the feature, and the
# notice for a test that is skipped.
CAN_collations = $(shell grep -s '^.define USE_ICU' `$(PG_CONFIG) --includedir-server`/pg_config.h)
CAN_foreign_tables = $(wildcard $(shell $(PG_CONFIG) --sharedir)/extension/postgres_fdw.control)
WHY_collations = the server was built without ICU
WHY_foreign_tables = there is no postgres_fdw
DEMANDING = collations foreign_tables
REGRESS += $(foreach test,$(DEMANDING),$(if $(CAN_$(test)),$(test)))

TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

EXTRA_CLEAN = src/exports.map $(OBJS:.o=.d) $(TEST_PROGRAMS) test/ahead_test test/decoder_dump test/decoder_test test/instructions tmp_check tmp_check_regress

PG_CONFIG ?= pg_config
PKG_CONFIG ?= pkg-config

# Targets that build nothing ask for no libraries.
ifneq ($(filter-out clean distclean dist help indent check-indent,$(or $(MAKECMDGOALS),all)),)
# $(call need,pkg-config module,least version,Debian package)
need = $(if $(shell $(PKG_CONFIG) --exists '$(1) >= $(2)' && echo yes),,\
	$(error stream_ingest needs $(1) $(2) or newer: install $(3) (Debian: apt-get install $(3) pkg-config)))
$(call need,rdkafka,2.0.2,librdkafka-dev)
$(call need,jansson,2.14,libjansson-dev)
ifneq ($(with_schema_registry),no)
$(call need,libcurl,7.77,libcurl4-openssl-dev)
endif
ifneq ($(with_kerberos),no)
$(call need,mit-krb5-gssapi,1.18,libkrb5-dev)
endif

PG_MAJOR := $(shell $(PG_CONFIG) --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
ifeq ($(PG_MAJOR),)
$(error $(PG_CONFIG) was not found or does not answer: install postgresql-server-dev-all or set PG_CONFIG)
endif
ifneq ($(shell test $(PG_MAJOR) -ge 15 && echo yes),yes)
$(error stream_ingest needs PostgreSQL 15 or newer, and $(PG_CONFIG) belongs to $(PG_MAJOR))
endif
endif

# The client of schema registries needs libcurl; with_schema_registry=no does
# without both.  Kerberos needs MIT's libraries; with_kerberos=no does without.
with_schema_registry ?= yes
with_kerberos ?= yes
LIBRARIES = rdkafka jansson $(if $(filter no,$(with_schema_registry)),,libcurl) \
	$(if $(filter no,$(with_kerberos)),,mit-krb5-gssapi mit-krb5)
LIBRARY_CFLAGS = $(shell $(PKG_CONFIG) --cflags $(LIBRARIES)) \
	$(if $(filter no,$(with_schema_registry)),,-DSI_SCHEMA_REGISTRY) \
	$(if $(filter no,$(with_kerberos)),,-DSI_KERBEROS)
SHLIB_LINK = $(shell $(PKG_CONFIG) --libs $(LIBRARIES)) -Wl,--version-script=src/exports.map

# The server's own headers do not build without a warning under -Wextra.
PG_CPPFLAGS = -I$(top)/src $(LIBRARY_CFLAGS) -MMD -MP
PG_CFLAGS = -Wall -Wextra -Wmissing-prototypes \
	-Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers \
	-Wno-cast-function-type $(COMPILER_CFLAGS)
ifdef MAINTAINER
PG_CFLAGS += -Werror
endif

# gcc reports clobbered variables in every PG_TRY; clang gets the flags with
# which gcc built the server, and does not know them all.
COMPILER_CFLAGS = $(if $(findstring clang,$(shell $(CC) --version)),\
	-Wno-unknown-warning-option -Wno-ignored-optimization-argument \
	-Wno-ignored-attributes,\
	-Wno-clobbered)

# No function of the extension is worth inlining into a JIT-compiled query.
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(PGXS),)
include $(PGXS)
endif

# A changed header rebuilds what includes it.
-include $(wildcard $(OBJS:.o=.d))

# Outside the source tree, the directories of the objects do not exist yet.
ifneq ($(top),.)
$(shell mkdir -p $(sort $(dir $(OBJS) $(TEST_PROGRAMS))))
endif

# What the library exports: its SQL-callable functions and what the server
# looks for, nothing else.  (With -fvisibility=hidden version 15 would not find
# its functions: PG_FUNCTION_INFO_V1 exports them only since 16.)
src/exports.map: $(OBJS) Makefile
	{ echo '{ global: _PG_init; Pg_magic_func;'; \
	nm $(filter %.o,$^) | sed -n -e 's/.* T pg_finfo_\(.*\)/\1; pg_finfo_\1;/p' -e 's/.* T \(si_[a-z]*_main\)$$/\1;/p'; \
	echo 'local: *; };'; } > $@

$(MODULE_big)$(DLSUFFIX): src/exports.map

test/%.so: test/%.c
	$(CC) -std=gnu99 -g -O2 -Wall -Wextra $(if $(MAINTAINER),-Werror) -fPIC -shared -o $@ $< -ldl

test/%: test/%.c
	$(CC) -std=gnu99 -g -O2 -Wall -Wextra -Wmissing-prototypes $(if $(MAINTAINER),-Werror) \
		-o $@ $< $(shell $(PKG_CONFIG) --cflags --libs rdkafka)

# Another library for a server to preload beside the extension.
test/neighbour.so: test/neighbour.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(CFLAGS_SL) -shared -o $@ $<

# Loaded by sql/fast_input.sql.
test/fast_input_test.so: test/fast_input_test.c src/apply/fast_input.c src/apply/fast_numeric.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(CFLAGS_SL) -shared -o $@ $(filter %.c,$^)

# Loaded by sql/typed_datum.sql.
test/typed_datum_test.so: test/typed_datum_test.c $(addprefix src/,apply/fast_input.c apply/fast_numeric.c apply/jsonb_push.c apply/typed_datum.c format/json_scan.c format/json_unescape.c format/value_text.c)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(CFLAGS_SL) -shared -o $@ $(filter %.c,$^)

# The decoders need no server, so these run under the sanitizers.
PURE_SOURCES = $(patsubst %,src/format/%.c,$(filter-out ahead transcode,$(OBJS_format))) src/common/schema_name.c
test/decoder_test test/decoder_dump: %: %.c $(PURE_SOURCES)
	$(CC) -std=gnu99 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined \
		-Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -I$(top)/src -o $@ $^ \
		$(shell $(PKG_CONFIG) --cflags --libs jansson) -lm

# What runs in a thread, which calls nothing of the server: under ThreadSanitizer,
# and as it is built to count its instructions.
THREAD_SOURCES = $(PURE_SOURCES) $(addprefix src/,format/ahead.c common/message.c common/thread.c apply/convert_ahead.c apply/fast_input.c apply/fast_numeric.c)
test/ahead_test: THREAD_CFLAGS = -O1 -fsanitize=thread
test/instructions: THREAD_CFLAGS = -O2
test/ahead_test test/instructions: %: %.c test/without_server.h $(THREAD_SOURCES)
	@mkdir -p $(@D)
	$(CC) -std=gnu99 -g $(THREAD_CFLAGS) -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
		-Wno-missing-field-initializers -Wno-cast-function-type $(if $(MAINTAINER),-Werror) -I$(top)/test \
		$(filter-out -MMD -MP,$(CPPFLAGS)) -o $@ $(filter %.c,$^) $(shell $(PKG_CONFIG) --libs jansson) -lm -lpthread

# pg_regress's tests find the embedded broker in their environment.
pg_regress_program = $(top_builddir)/src/test/regress/pg_regress
pg_regress_installcheck := $(subst $(pg_regress_program),$(top)/test/with_mock_broker.sh \
	$(pg_regress_program),$(pg_regress_installcheck))
installcheck: test-programs say-skipped

say-skipped:
	@$(foreach test,$(DEMANDING),$(if $(CAN_$(test)),,echo 'skipped $(test): $(WHY_$(test))';)) :

.PHONY: help test-programs say-skipped lint indent check-indent dist
.DEFAULT_GOAL := all

help:
	@echo 'make                build (MAINTAINER=1: a warning is an error)'
	@echo 'make install        install into the server that PG_CONFIG names'
	@echo 'make installcheck   pg_regress and TAP tests of what is installed, with servers of their own'
	@echo 'make test-programs  the embedded broker, the producer and the topic tool of the tests'
	@echo 'make lint           coding rules that no compiler checks'
	@echo 'make indent         format the C files with pgindent'
	@echo 'make check-indent   say which C files pgindent would change'
	@echo 'make dist           an archive for PGXN, of what is committed'
	@echo 'make clean'
	@echo 'bash test/run.sh    everything, packages included, as CI does'

test-programs: $(TEST_PROGRAMS)

lint: all
	bash $(top)/test/lint.sh

indent:
	bash $(top)/test/indent.sh

check-indent:
	bash $(top)/test/indent.sh --check

# PGXN wants the files below a directory of the distribution's name.
dist: version = $(shell sed -n 's/^   "version": "\(.*\)",/\1/p' $(top)/META.json)
dist:
	git -C $(top) archive --format zip --prefix $(EXTENSION)-$(version)/ -o $(abspath $(EXTENSION)-$(version).zip) HEAD
