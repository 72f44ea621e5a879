# How objects and archives are made, and when again.

# $(call sources,directories): the C and assembly files directly in them.
sources = $(sort $(wildcard $(foreach d,$(1),$(d)/*.c $(d)/*.S)))
# $(call objects,flavour,sources)
objects = $(patsubst %,$(B)/obj/$(1)/%.o,$(2))
# A rule's command that rewrites a file only when its text changes, so that what hangs on it stays.
update-if-changed = @mkdir -p $(@D); printf '%s\n' '$(1)' | cmp -s - $@ || printf '%s\n' '$(1)' > $@

# The flags in use: whatever is compiled with them depends on this file.
$(B)/obj/%/.flags: FORCE
	$(call update-if-changed,$($*-cc) $($*-flags))

# The set of sources: whatever is linked from a glob depends on this file.
all-sources := $(sort $(wildcard $(foreach d,arch/* kernel lib libc mmserver/* mmserver/place/* \
	user/* user/*/* tests/host tests/host/support tests/bench tests/fuzz tests/guest tests/guest/*, \
	$(d)/*.c $(d)/*.S)))
$(B)/gen/sources: FORCE
	$(call update-if-changed,$(all-sources))

define flavour-rules
$(B)/obj/$(1)/%.c.o: %.c $(B)/obj/$(1)/.flags
	$$(call say,CC,$$< [$(1)])
	@mkdir -p $$(@D)
	$(Q)$$($(1)-cc) $$($(1)-flags) -MMD -MP -c -o $$@ $$<
$(B)/obj/$(1)/%.S.o: %.S $(B)/obj/$(1)/.flags
	$$(call say,AS,$$< [$(1)])
	@mkdir -p $$(@D)
	$(Q)$$($(1)-cc) $$($(1)-flags) $(as-flags) -I$(B)/gen -MMD -MP -c -o $$@ $$<
endef
flavours := kernel mmserver server user host fuzz bench
$(foreach f,$(flavours),$(eval $(call flavour-rules,$(f))))

# $(call archive-rule,archive,objects)
define archive-rule
$(1): $(2) $(B)/gen/sources
	$$(call say,AR,$$@)
	@mkdir -p $$(@D)
	@rm -f $$@
	$(Q)ar rcsD $$@ $$(filter %.o,$$^)
endef

# Programs of a directory: NAME.c, or NAME/ with several sources. `lib` holds what they share.
program-names = $(sort $(basename $(notdir $(wildcard $(1)/*.c))) \
	$(filter-out lib,$(notdir $(patsubst %/,%,$(dir $(wildcard $(1)/*/*.c))))))
program-sources = $(wildcard $(1)/$(2).c) $(call sources,$(1)/$(2))

# Keep the objects that only a chain of rules asked for.
.SECONDARY:
