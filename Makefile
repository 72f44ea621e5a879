# Pagoda: the one entry. `make help` lists what it can do.
#
# Sources are found by directory, outputs go to $(B) only, and a rebuild happens when a source, a
# header, a flag or the set of sources changes. The parts:
#   mk/toolchain.mk  compilers and flags of each flavour    mk/rules.mk  how an object is made
#   mk/target.mk     what runs on the machine               mk/host.mk   what runs here: tests, fuzz
#   mk/check.mk      static checks, formatting, size

MAKEFLAGS += --no-builtin-rules --no-print-directory
ifeq ($(MAKELEVEL)$(filter -j% --jobserver%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif
.DELETE_ON_ERROR:
.SUFFIXES:

# ---- options, given on the command line: make run PAGER=kernel HARTS=4 ----
PAGING := sv39
PAGER  := user
HARTS  := 1
MEM    := 1G
APPEND :=
BUILD  := build
TIME   := 60
SEED   := 1
K      :=
V      :=
ifneq ($(origin CC),command line)
CC     := gcc
endif

require-one-of = $(if $(filter-out $(2),$($(1)))$(if $($(1)),,empty),\
	$(error $(1)='$($(1))': must be one of: $(2)))
$(call require-one-of,PAGING,sv39 sv48 sv57)
$(call require-one-of,PAGER,user kernel)
ifdef SHELL_PROGRAM
$(call require-one-of,SHELL_PROGRAM,busybox bash dash)
endif
$(call require-one-of,CC,gcc clang)

# Each compiler has an output directory of its own.
B := $(BUILD)$(if $(filter clang,$(CC)),/clang)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')

.PHONY: help
help:
	@echo 'Pagoda: a RISC-V microkernel whose memory manager is an ordinary program.'
	@echo
	@echo '  make deps     install the Debian packages of packages.txt that are missing'
	@echo '  make all      build kernel, servers, programs and initrd (objects and images in $(BUILD)/)'
	@echo '  make run      build, boot to the shell on this terminal; leave with Ctrl-A X'
	@echo '  make test     build, then every test: guest matrix, host, harness; JUnit XML in $(BUILD)/test/'
	@echo '  make test-linux   the guest tests on a real Linux kernel, which it downloads (Debian 13)'
	@echo '  make test-programs  programs of Debian 13, which it downloads, here and on Linux'
	@echo '  make bench    build, then count instructions per operation; $(BUILD)/bench/results.json'
	@echo '  make bench-accept  figures that moved on purpose become those that make test compares with'
	@echo '  make compare  the same in all placements and on Linux, as a page with pictures; $(BUILD)/compare'
	@echo '  make bench-slab  instructions of the object caches against malloc and mimalloc'
	@echo '  make gdb      boot under gdb, stopped at the first instruction'
	@echo '  make fuzz     run each fuzz target of tests/fuzz for TIME seconds'
	@echo '  make check    formatting, static analysis, layering'
	@echo '  make format   rewrite the C sources with clang-format'
	@echo '  make size     size and line counts of the kernel without the in-kernel pager'
	@echo '  make clean    remove the outputs'
	@echo
	@echo 'Options (with their present values):'
	@echo '  PAGING=$(PAGING)  sv39, sv48 or sv57        PAGER=$(PAGER)  user or kernel'
	@echo '  HARTS=$(HARTS)      number of harts           MEM=$(MEM)    memory of the machine'
	@echo '  CC=$(CC)      gcc or clang              BUILD=$(BUILD)  output directory'
	@echo '  SHELL_PROGRAM=...  busybox, bash or dash, of Debian, instead of our shell (make run)'
	@echo '  APPEND=...   more boot arguments       K=expr    only tests that match (pytest -k)'
	@echo '  SEED=$(SEED)       seed of tests and fuzzing  TIME=$(TIME)   seconds per fuzz target'
	@echo '  V=1          show the commands'

include mk/toolchain.mk
include mk/rules.mk
include mk/target.mk
include mk/host.mk
include mk/check.mk

.PHONY: all
all: $(target-outputs)
	@:

# ---- what is done with the outputs. Packages first, so that a fresh machine gets its compiler
# before anything is built; hence the build is a second make. ----
.PHONY: deps run test test-linux test-programs bench bench-accept compare gdb
deps: $(B)/.deps
$(B)/.deps: packages.txt mk/deps.sh
	@mkdir -p $(@D)
	@mk/deps.sh packages.txt
	@touch $@

# The interpreter must have pytest: Debian's own has it once python3-pytest is installed.
PYTHON = $(or $(shell for p in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, pytest, pexpect; assert sys.version_info >= (3, 11)' 2>/dev/null && \
	command -v $$p && break; done),$(error no Python >= 3.11 with pytest and pexpect found: \
	install python3-pytest and python3-pexpect (make deps)))
HARNESS = PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m harness --build-dir $(B)
machine-options := --paging $(PAGING) --pager $(PAGER) --harts $(HARTS) --mem $(MEM) \
	$(if $(APPEND),--append '$(APPEND)')

run: deps
	@$(MAKE) all
	@$(HARNESS) run $(machine-options) $(if $(SHELL_PROGRAM),--shell $(SHELL_PROGRAM))

test: deps
	@$(MAKE) all host-tests fuzz-targets
	@mkdir -p $(B)/test
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest tests \
	    --build-dir $(B) --seed $(SEED) --junit-xml $(B)/test/junit.xml $(if $(K),-k '$(K)')

test-linux: deps
	@$(MAKE) all
	@$(HARNESS) fetch-linux
	@mkdir -p $(B)/test
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest tests/test_guest.py tests/test_differential.py --linux \
	    --build-dir $(B) --seed $(SEED) -k 'linux$(if $(K), and ($(K)))'

test-programs: deps
	@$(MAKE) all
	@$(HARNESS) fetch-linux
	@mkdir -p $(B)/test
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest tests/test_programs.py --programs \
	    --build-dir $(B) --seed $(SEED) $(if $(K),-k '$(K)')

bench: deps
	@$(MAKE) all
	@$(HARNESS) bench $(if $(VERIFY),--verify)

# The figures that `make test` compares with become today's; commit harness/figures.json.
bench-accept: deps
	@$(MAKE) all
	@$(HARNESS) bench-accept

# The pager in and out of the kernel, beside Linux and seL4: build/compare/index.html. POLICY=NAME adds
# a column that boots with policy=NAME; AGAIN=1 measures twice and tells which figures differ.
compare: deps
	@mk/deps.sh packages-compare.txt || echo 'compare: goes on without PNG pictures'
	@$(MAKE) all
	@$(HARNESS) compare $(if $(POLICY),--policy $(POLICY)) $(if $(AGAIN),--again)

gdb: deps
	@$(MAKE) all
	@$(HARNESS) gdb $(machine-options)

.PHONY: clean
clean:
	rm -rf $(BUILD)

.PHONY: FORCE
FORCE:
