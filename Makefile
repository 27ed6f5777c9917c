# fault_tolerance: build, install and test by PGXS.  See README.md.
#
# A subject is a stem: src/DOMAIN/STEM.c and src/DOMAIN/STEM.sql, tested by
# sql/STEM.sql with expected/STEM.out.  C files are found by themselves;
# install parts and tests are listed here, because their order matters; every
# line of a list ends in a backslash, so that lines can be added anywhere.

EXTENSION    = fault_tolerance
MODULE_big   = $(EXTENSION)
PGFILEDESC   = "fault_tolerance - fault tolerance inside PostgreSQL"

# Where this Makefile lives; differs from "." in VPATH builds.
TOP         := $(dir $(lastword $(MAKEFILE_LIST)))
EXTVERSION  := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(TOP)$(EXTENSION).control)

OBJS         = $(patsubst $(TOP)%.c,%.o,$(sort $(wildcard $(TOP)src/*.c $(TOP)src/*/*.c)))
FT_HEADERS   = $(wildcard $(TOP)src/*.h $(TOP)src/*/*.h)

# Each part may use only objects of the parts before it.
INSTALL_PARTS = \
	prologue \
	traceparent \
	threshold \
	failure_rule \
	orchestration/status \
	orchestration/definition \
	orchestration/execution \
	orchestration/task \
	orchestration/checkpoint \
	orchestration/failure \
	orchestration/recovery \
	orchestration/compensation \
	orchestration/installation \
	orchestration/queue \
	orchestration/signal \
	orchestration/start \
	orchestration/control \
	orchestration/wait \
	orchestration/dead_letter \
	orchestration/step \
	orchestration/step_data \
	orchestration/external \
	orchestration/retry \
	orchestration/timeline \
	orchestration/why \
	orchestration/child \
	diagnostics/dead_tuples \
	diagnostics/xid_clock \
	diagnostics/xmin_horizon \
	diagnostics/freeze_age \
	diagnostics/table_bloat \
	diagnostics/bloat_estimate \
	diagnostics/errors \
	diagnostics/deadlock \
	diagnostics/session \
	diagnostics/replication \
	diagnostics/replication_slots \
	diagnostics/wal_rate \
	diagnostics/archiver \
	diagnostics/blocking \
	diagnostics/history \
	diagnostics/history_log \
	diagnostics/memory \
	diagnostics/host \
	diagnostics/idle_in_transaction \
	diagnostics/vanished_clients \
	diagnostics/session_outcomes \
	diagnostics/slow_statement \
	diagnostics/tracing \
	diagnostics/lock_order \
	diagnostics/lock_table \
	diagnostics/sequences \
	diagnostics/stale_statistics \
	diagnostics/access_advice \
	worker/tick \
	worker/worker_status \
	worker/sampler \
	orchestration/schedule \
	operations/overview \
	operations/metrics \
	operations/health \
	operations/alerts \
	operations/diagnosis \
	operations/help \
	epilogue \

DATA_built   = $(EXTENSION)--$(EXTVERSION).sql
DATA         = $(patsubst $(TOP)%,%,$(wildcard $(TOP)src/upgrade/$(EXTENSION)--*.sql \
	$(TOP)share/*/*))

PG_CPPFLAGS  = -I$(TOP)src

REGRESS = \
	install \
	traceparent \
	threshold \
	failure_rule \
	status \
	definition \
	execution \
	task \
	checkpoint \
	failure \
	recovery \
	compensation \
	start \
	step \
	step_data \
	step_plan \
	external \
	queue \
	retry \
	timeline \
	why \
	signal \
	flow \
	child \
	control \
	wait \
	deadline \
	dead_letter \
	installation \
	dead_tuples \
	xid_clock \
	xmin_horizon \
	freeze_age \
	table_bloat \
	bloat_estimate \
	errors \
	deadlock \
	session \
	replication \
	replication_slots \
	wal_rate \
	archiver \
	blocking \
	history \
	history_log \
	memory \
	host \
	idle_in_transaction \
	vanished_clients \
	session_outcomes \
	lock_table \
	sequences \
	stale_statistics \
	slow_statement \
	tracing \
	lock_order \
	access_advice \
	overview \
	metrics \
	diagnosis \
	help \
	health \
	alerts \
	tick \
	worker_status \
	sampler \
	schedule \
	hygiene \

REGRESS_OPTS = --temp-instance=tmp_check_sql --temp-config=$(TOP)test/regress.conf \
	--inputdir=$(patsubst %/,%,$(TOP))

ISOLATION = \
	control \
	orchestration \
	orchestration_snapshot \
	run_steps \
	lost \
	external \
	queue \
	signal \
	child \
	dead_tuples_locks \
	blocking \
	idle_in_transaction \
	overview_locks \
	vacuum_locks \
	history \
	threshold_locks \
	deadlock \
	tracing \
	lock_in_order \

ISOLATION_OPTS = --temp-instance=tmp_check_isolation --temp-config=$(TOP)test/regress.conf \
	--inputdir=$(TOP)test/isolation

TAP_TESTS    = 1
PROVE_TESTS  = test/tap/*.pl

EXTRA_CLEAN  = tmp_check_sql tmp_check_isolation

# VPATH builds need the folders of the objects.
$(shell mkdir -p $(sort $(dir $(OBJS))))

PG_CONFIG   ?= pg_config
PGXS        := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

# Without a server's development files only the commands that install them work.
ifneq ($(PGXS),)
include $(PGXS)

$(OBJS): $(FT_HEADERS)
$(DATA_built): $(INSTALL_PARTS:%=$(TOP)src/%.sql) $(TOP)$(EXTENSION).control $(TOP)Makefile
	cat $(filter %.sql,$^) > $@
endif

.PHONY: quickstart quickstart-stop test test-matrix model soak bench bench-peers format format-check lint

quickstart quickstart-stop test test-matrix model soak bench bench-peers format format-check lint:
	@bash $(TOP)test/run/$@.sh

# For the scripts: the value of a list, as in "make show-REGRESS".
show-%:
	@echo $($*)
