# SPDX-License-Identifier: Apache-2.0
#
# One GNU makefile, no recursion. `make help` lists what it can do.
# VARIANT chooses flags and the folder under build/: rel (default), dev, asan, tsan.
# Local overrides (CC, EXTRA_CFLAGS ...) go into config.mak, which is not committed.
-include config.mak

# V=1 shows whole commands.
ifneq ($(V),1)
Q := @
say = @echo '  $(1)  $@'
endif

# All cores, unless the caller says otherwise.
MAKEFLAGS += --jobs=$(shell nproc) --output-sync=line

VARIANT ?= rel
B       := build/$(VARIANT)
PREFIX  ?= /usr/local

CFLAGS_rel  := -O2 -g
CFLAGS_dev  := -O0 -g3
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
CFLAGS_mutants := -O2 -g -DZAB_MUTANTS
CFLAGS_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith \
        -Wwrite-strings -Wformat=2 -Wundef
# A warning is an error, in CI and here: WERROR= switches that off for an unusual compiler.
WERROR ?= -Werror
CPPFLAGS_ALL := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 -DTHREADED -I.
CFLAGS_ALL   := -std=gnu11 $(CFLAGS_$(VARIANT)) $(WARN) $(WERROR) -pthread -MMD -MP $(EXTRA_CFLAGS)
LDFLAGS_ALL  := $(CFLAGS_$(VARIANT)) -pthread $(EXTRA_LDFLAGS)

SERVER_LIBS := -lcrypto -lz
FUSE_LIBS    = $(shell pkg-config --libs fuse3) -lzookeeper_mt
FUSE_CFLAGS  = $(shell pkg-config --cflags fuse3)

# ---- modules, lowest first; the pure ones may not touch the world (make lint) -------------------
PURE   := jute tree core
SHELL_ := store net admin
common_SRC := $(wildcard common/*.c)
$(foreach m,$(PURE) $(SHELL_),$(eval $(m)_SRC := $(wildcard server/$(m)/*.c)))
server_SRC := $(filter-out server/main.c,$(wildcard server/*.c))
fusefs_SRC := $(wildcard fusefs/*.c)
mountd_SRC := $(filter-out mountd/main.c,$(wildcard mountd/*.c))
ARCHIVES   := common $(PURE) $(SHELL_) server fusefs mountd

lib_of  = $(B)/lib/$(1).a
objs_of = $(patsubst %.c,$(B)/obj/%.o,$(1))
SERVER_A := $(foreach m,server admin net store core tree jute common,$(call lib_of,$(m)))
MOUNT_A  := $(foreach m,mountd fusefs common,$(call lib_of,$(m)))

PROGRAMS :=
ifneq ($(wildcard server/main.c),)
PROGRAMS += $(B)/bin/zkserver
endif
ifneq ($(wildcard mountd/main.c),)
PROGRAMS += $(B)/bin/zkfs
endif

.PHONY: all
all: $(PROGRAMS) ## build the programs into build/bin (default)
ifeq ($(VARIANT),rel)
all: $(PROGRAMS:$(B)/bin/%=build/bin/%)
build/bin/%: build/rel/bin/%
	@mkdir -p $(@D)
	@ln -f $< $@
endif

$(B)/bin/zkserver: $(B)/obj/server/main.o $(SERVER_A)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(SERVER_A) -Wl,--end-group $(SERVER_LIBS)

$(B)/bin/zkfs: $(B)/obj/mountd/main.o $(MOUNT_A)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(MOUNT_A) -Wl,--end-group $(FUSE_LIBS)

define archive_rule
$(call lib_of,$(1)): $(call objs_of,$($(1)_SRC))
	@mkdir -p $$(@D)
	@rm -f $$@
	@ar rcs $$@ $$^
endef
$(foreach m,$(ARCHIVES),$(eval $(call archive_rule,$(m))))

# Conversions are checked where numbers decide: in the pure modules.
$(B)/obj/server/jute/%.o $(B)/obj/server/tree/%.o $(B)/obj/server/core/%.o: WARN += -Wconversion -Wno-sign-conversion
$(B)/obj/fusefs/%.o $(B)/obj/mountd/%.o $(B)/obj/tests/unit/%.o $(B)/obj/tests/bench/passthrough.o: \
    CPPFLAGS_ALL += $(FUSE_CFLAGS)

$(B)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<

# ---- try it, install it --------------------------------------------------------------------------
.PHONY: run stop deps install uninstall
run: ## install what is missing, build, mount at MNT=./mnt; ZK=host:2181 mounts that ensemble
	@scripts/deps build run
	@$(MAKE) --no-print-directory -s all
	@MNT='$(MNT)' ZK='$(ZK)' scripts/run

stop: ## unmount MNT=./mnt and end its daemon and server
	@MNT='$(MNT)' scripts/stop

deps: ## install the missing Debian packages for building, running and testing
	@scripts/deps

# mount.zkfs lets `mount -t zkfs` work where mount(8) looks for it, which is in /usr/sbin: PREFIX=/usr.
DEST  := $(DESTDIR)$(PREFIX)
# docs/man/zkfs.8 -> share/man/man8/zkfs.8
PAGES := $(foreach p,$(wildcard docs/man/*.?),$(DEST)/share/man/man$(subst .,,$(suffix $(p)))/$(notdir $(p)))
install: all ## install the programs and manual pages; DESTDIR= PREFIX=/usr/local
	install -d $(DEST)/bin $(DEST)/sbin
	install -t $(DEST)/bin $(PROGRAMS)
	ln -sf ../bin/zkfs $(DEST)/sbin/mount.zkfs
	for page in $(PAGES); do install -D -m 644 docs/man/$${page##*/} $$page; done

uninstall: ## remove what install has put there
	rm -f $(PROGRAMS:$(B)/%=$(DEST)/%) $(DEST)/sbin/mount.zkfs $(PAGES)

# ---- unit tests and fuzz regression -------------------------------------------------------------
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
TESTLIB_O  := $(call objs_of,$(wildcard tests/lib/*.c))
ALL_A      := $(foreach m,$(ARCHIVES),$(call lib_of,$(m)))

$(B)/unit/%: $(B)/obj/tests/unit/%.o $(TESTLIB_O) $(ALL_A)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(TESTLIB_O) -Wl,--start-group $(ALL_A) -Wl,--end-group \
		-lcmocka $(FUSE_LIBS) $(SERVER_LIBS)

.PHONY: unit
unit: $(UNIT_TESTS) ## build and run the unit tests of this VARIANT
	@tests/run-unit $(UNIT_TESTS)

# Each target replays its corpus without a fuzzer; an abort of the target fails the build.
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

$(B)/fuzz/%: $(B)/obj/tests/fuzz/%.o $(B)/obj/tests/fuzz/main.o $(TESTLIB_O) $(ALL_A)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(B)/obj/tests/fuzz/main.o $(TESTLIB_O) -Wl,--start-group $(ALL_A) \
		-Wl,--end-group $(FUSE_LIBS) $(SERVER_LIBS)

.PHONY: fuzz-replay fuzz
fuzz-replay: $(FUZZERS) ## replay the fuzzers' corpora in this VARIANT
	$(Q)set -e; for f in $(FUZZERS); do $$f tests/fuzz/corpus/$${f##*/fuzz_}/*; done

# The whole target is compiled in one go, with clang's coverage: there is nothing to share with a variant.
FUZZ         ?= config
FUZZ_SECONDS ?= 60
fuzz: ## fuzz FUZZ=config for FUZZ_SECONDS=60 with clang's libFuzzer
	@mkdir -p build/fuzz/$(FUZZ)
	clang $(CPPFLAGS_ALL) -std=gnu11 -O1 -g -pthread -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined -o build/fuzz/fuzz_$(FUZZ) tests/fuzz/fuzz_$(FUZZ).c \
		$(wildcard tests/lib/*.c) $(common_SRC) $(foreach m,$(PURE) $(SHELL_),$($(m)_SRC)) \
		$(server_SRC) $(SERVER_LIBS)
	build/fuzz/fuzz_$(FUZZ) -max_total_time=$(FUZZ_SECONDS) -timeout=10 -artifact_prefix=build/fuzz/$(FUZZ)- \
		build/fuzz/$(FUZZ) tests/fuzz/corpus/$(FUZZ)

# ---- simulator -----------------------------------------------------------------------------------
SIM_O := $(call objs_of,$(wildcard tests/sim/*.c))
SEEDS ?= 1000
FIRST ?= 1
JOBS  ?= 2

$(B)/bin/sim: $(SIM_O) $(TESTLIB_O) $(SERVER_A)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(SIM_O) $(TESTLIB_O) -Wl,--start-group $(SERVER_A) -Wl,--end-group \
		$(SERVER_LIBS)

.PHONY: sim sim-check sim-mutants sim-builds
sim sim-check: export SIM_COMMIT = $(shell git describe --always --dirty 2>/dev/null)
sim-check: $(B)/bin/sim
	@$< -c
	@$< -j $(JOBS) 1 200

sim: $(B)/bin/sim ## simulate ensembles: SEEDS=1000 runs from seed FIRST=1 on; V=1 shows every step
	@$< $(if $(filter 1,$(V)),-v) -j $(JOBS) $(FIRST) $(SEEDS)

sim-builds: $(B)/bin/sim ## the simulator takes the same steps under the address sanitizer
	@$(MAKE) --no-print-directory VARIANT=asan build/asan/bin/sim
	@tests/sim/compare-builds $(B)/bin/sim build/asan/bin/sim

MUTANTS ?= E1 E2 E3 E5 E6 S1 S2 S3 S4 S5 S6 S8 S10 S11 S12 S13 L6 W1 W2 W3 W4 W5 W6 W8 W11 SYNC
sim-mutants: ## plant each of the bugs MUTANTS="E1 E2 ..." in a build of its own: the simulator must find it
	@$(MAKE) --no-print-directory VARIANT=mutants build/mutants/bin/sim
	@tests/sim/run-mutants build/mutants/bin/sim $(MUTANTS)

.PHONY: check
check: all unit sim-check fuzz-replay lint-arrows ## fast tests, under a minute

# ---- end to end -----------------------------------------------------------------------------------
# Debian's own python3: its kazoo and pytest are what scripts/deps installs. A + keeps make from holding
# back what a long run prints.
PYTEST := /usr/bin/python3 -m pytest -c tests/e2e/pytest.ini

.PHONY: e2e test bench
e2e: all $(B)/bin/zkworker ## end-to-end tests; T=expression runs a selection (pytest -k), F=file one file
	+@$(PYTEST) $(if $(T),-k '$(T)') tests/e2e$(if $(F),/$(F))

# A client of the fault tests.
$(B)/bin/zkworker: $(B)/obj/tests/e2e/clients/zkworker.o
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -lzookeeper_mt

test: ## install what is missing, build, run every test
	@scripts/deps
	+@tests/run-all

BENCH_PROGRAMS := $(foreach p,zkload fsload rawload passthrough,$(B)/bin/$(p))
bench: all $(BENCH_PROGRAMS) ## measure server and mount, and Apache's server beside ours
	+@/usr/bin/python3 tests/bench/bench.py

$(B)/bin/zkload: $(B)/obj/tests/bench/zkload.o $(call lib_of,common)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

$(B)/bin/fsload $(B)/bin/rawload $(B)/bin/passthrough: $(B)/bin/%: $(B)/obj/tests/bench/%.o
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(FUSE_LIBS)

.PHONY: bench-store
bench-store: $(B)/bin/store_bench ## measure log replay and snapshots of 1,000,000 nodes
	$(Q)dir=$$(mktemp -d) && $< $$dir; rc=$$?; rm -rf $$dir; exit $$rc

$(B)/bin/store_bench: $(B)/obj/tests/bench/store_bench.o $(SERVER_A)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(SERVER_A) -Wl,--end-group $(SERVER_LIBS)

# ---- lint -----------------------------------------------------------------------------------------
.PHONY: lint lint-arrows
lint-arrows: all
	@tests/lint-arrows $(foreach m,$(PURE),$(call lib_of,$(m)))

lint: lint-arrows ## include arrows, purity of the core, clang-tidy, cppcheck, shellcheck
	@tests/lint

# ---- help -------------------------------------------------------------------------------------------
.PHONY: help clean
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 14

clean: ## remove build/
	rm -rf build

# Objects of the tests are kept: make would drop them as intermediate files.
.SECONDARY:

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
