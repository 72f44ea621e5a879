# Static checks, formatting, size.

c-directories := $(wildcard abi arch kernel lib libc mmserver user tests)
c-files  := $(if $(c-directories),$(shell find $(c-directories) -name '*.[ch]' | sort))
py-files := $(sort $(wildcard harness/*.py tests/*.py))

.PHONY: check check-format check-layers check-python check-cppcheck check-analyzer format size
check: deps
	@$(MAKE) check-format check-layers check-python check-cppcheck check-analyzer
	@echo 'check: all is well'

check-format:
	$(call say,CHECK,format)
	$(Q)bad=; for f in $(c-files); do \
	    clang-format --dry-run -Werror $$f >/dev/null 2>&1 || bad="$$bad $$f"; \
	done; \
	[ -z "$$bad" ] || { echo "check: \`make format\` would change:$$bad" >&2; exit 1; }

check-layers:
	$(call say,CHECK,layers)
	$(Q)PYTHONDONTWRITEBYTECODE=1 python3 -m harness.layers

check-python:
	$(call say,CHECK,python)
	$(Q)for f in $(py-files); do \
	    python3 -c 'import sys; compile(open(sys.argv[1]).read(), sys.argv[1], "exec")' $$f || exit 1; \
	done

# Only what finds mistakes: no style, no opinion on unused functions of a library. Two idioms of a
# kernel are no mistakes: comparing two symbols of the linker script, touching a volatile byte.
cppcheck-files := $(filter %.c,$(filter-out tests/% libc/%,$(c-files)))
cppcheck-options := --quiet --std=c11 --platform=unix64 --inline-suppr --error-exitcode=1 \
	--enable=warning --enable=portability -D__riscv=1 -D__riscv_xlen=64 -DPAGODA_KERNEL \
	-I. -Iabi -I$(PICOLIBC)/include/release --suppress='*:$(PICOLIBC)/*' \
	--suppress=missingInclude --suppress=missingIncludeSystem \
	--suppress=comparePointers --suppress=selfAssignment
check-cppcheck:
	$(call say,CHECK,cppcheck)
	$(Q)$(if $(cppcheck-files),cppcheck $(cppcheck-options) -j $(shell nproc) $(cppcheck-files))

# gcc's path analysis of the code that has the most to lose; each object is made once per change.
# It does not follow capabilities to objects: what it says of null and uninitialised values there
# is wrong more often than right.
analyzer-cc    := $(CROSS)gcc
analyzer-flags  = $(kernel-flags) -fanalyzer -Wno-analyzer-null-dereference \
	-Wno-analyzer-use-of-uninitialized-value -Wno-maybe-uninitialized
analyzer-files := $(call sources,kernel lib mmserver/core mmserver/server)
$(eval $(call flavour-rules,analyzer))
analyzer-objects := $(call objects,analyzer,$(filter %.c,$(analyzer-files)))
ifeq ($(CC),gcc)
check-analyzer: $(analyzer-objects)
else
check-analyzer:
	@echo 'check: gcc -fanalyzer needs CC=gcc; left out'
endif
-include $(analyzer-objects:.o=.d)

format:
	$(Q)$(if $(c-files),clang-format -i $(c-files))

# Lines without comments and blanks, as a preprocessor that expands nothing sees them.
size: $(B)/kernel-nopager.elf
	@echo 'Kernel without the in-kernel pager, bytes:'
	@$(CROSS)size $(B)/kernel-nopager.elf
	@for d in kernel arch/riscv lib; do \
	    files=$$(find $$d -name '*.[chS]' | sort); [ -n "$$files" ] || continue; \
	    lines=0; for f in $$files; do \
	        lines=$$((lines + $$($(CROSS)gcc -fpreprocessed -dD -E -P -x c $$f 2>/dev/null | wc -l))); \
	    done; \
	    printf '%-12s %6d lines of code, %6d with comments and blanks\n' $$d $$lines \
	        $$(cat $$files | wc -l); \
	done
