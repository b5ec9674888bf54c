# Makefile of ann
#
#   make, make install      build and install, through pg_config
#   make demo, make test    the two commands for a machine that has git and
#                           make: each sets up all it needs by itself
#   make unit, make client, make bench/kernels    parts that these build

# "DATA" of the command line or the environment is a file for the demo; below
# it is what PGXS installs.
export ANN_DEMO_DATA := $(DATA)

EXTENSION = ann
MODULE_big = ann
DATA = sql/ann--0.1.0.sql
PGFILEDESC = "ann - approximate nearest-neighbour indexes"

OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/algo/*.c src/store/*.c src/am/*.c)))

# Equal inputs give equal bits, whatever the compiler: no contraction.
PG_CPPFLAGS = -I$(srcdir)/src
PG_CFLAGS = -ffp-contract=off -Wshadow

# What is true of both methods is tested by one file, annoy_NAME; ann_hnsw_NAME is
# derived from it.
BOTH = opclass order complete input plans range queries recall memory objects space updates \
	empty parallel chunks

REGRESS = install distance norm input query_types exact planner sort_column options \
	$(BOTH:%=annoy_%) annoy_external annoy_offset \
	$(BOTH:%=ann_hnsw_%) ann_hnsw ann_hnsw_external
REGRESS_OPTS = --load-extension=ann
ISOLATION = snapshot annoy-cursor annoy-insert annoy-concurrently annoy-split \
	annoy-first-row annoy-serializable annoy-hold annoy-midscan annoy-range divide-table \
	link-table
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=test/isolation --load-extension=ann
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

UNIT = $(patsubst %.c,%,$(wildcard test/unit/*.c))
EXTRA_CLEAN = $(UNIT) test/client/bind bench/kernels $(BOTH_FILES)

PG_CONFIG ?= pg_config

# These need no server headers yet: they install them.
SELF_CONTAINED = demo test check-includes
.PHONY: $(SELF_CONTAINED) unit client

ifneq ($(filter-out $(SELF_CONTAINED),$(or $(MAKECMDGOALS),all)),)
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
override BITCODE_CFLAGS += -ffp-contract=off
endif

demo:
	@demo/run

test:
	@test/run

# Layers only look down, and nothing but compat.h asks for the server version.
check-includes:
	@test/check_includes

all: check-includes

$(OBJS): $(wildcard src/*.h src/*/*.h)

# Derived from those of annoy.
BOTH_FILES = $(BOTH:%=sql/ann_hnsw_%.sql) $(BOTH:%=expected/ann_hnsw_%.out)

installcheck: $(BOTH_FILES)

$(filter sql/%,$(BOTH_FILES)): sql/ann_hnsw_%.sql: sql/annoy_%.sql
	sed 's/annoy/ann_hnsw/g' $< >$@

$(filter expected/%,$(BOTH_FILES)): expected/ann_hnsw_%.out: expected/annoy_%.out
	sed 's/annoy/ann_hnsw/g' $< >$@

# Unit tests are programs of plain C over src/algo, without a server.
unit: $(UNIT)

$(UNIT): %: %.c test/unit/unit.h $(wildcard src/algo/*.[ch])
	$(CC) $(CFLAGS) -Isrc -Itest/unit -o $@ $< $(wildcard src/algo/*.c) $(LDFLAGS) -lm

# The client that the TAP tests send parameters with.
client: test/client/bind

test/client/bind: test/client/bind.c
	$(CC) $(CFLAGS) -I$(shell $(PG_CONFIG) --includedir) -o $@ $< -L$(shell $(PG_CONFIG) --libdir) $(LDFLAGS) -lpq

# How far the kernels are from the machine's limits.
bench/kernels: bench/kernels.c $(wildcard src/algo/*.[ch])
	$(CC) $(CFLAGS) -Isrc -o $@ $< $(wildcard src/algo/*.c) $(LDFLAGS) -lm
