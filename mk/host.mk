# What runs here: the portable sources with sanitizers, unit tests, fuzz targets.

host-libraries := core kernel lib support
core-sources    := $(call sources,mmserver/core mmserver/server mmserver/place/host)
kernel-host-sources := $(call sources,kernel arch/host)
support-sources := $(call sources,tests/host/support)

# $(call host-set,flavour): the archives of the portable code, compiled in that flavour.
define host-set
$(call archive-rule,$(B)/$(1)/libcore.a,$(call objects,$(1),$(core-sources)))
$(call archive-rule,$(B)/$(1)/libkernel.a,$(call objects,$(1),$(kernel-host-sources)))
$(call archive-rule,$(B)/$(1)/liblib.a,$(call objects,$(1),$(library-sources)))
$(call archive-rule,$(B)/$(1)/libsupport.a,$(call objects,$(1),$(support-sources)))
$(1)-archives := $(foreach l,support core kernel lib,$(B)/$(1)/lib$(l).a)
host-objects += $(call objects,$(1),$(core-sources) $(kernel-host-sources) $(library-sources) \
	$(support-sources))
endef

# $(call host-program,flavour,source directory,name,link flags)
define host-program
$(B)/$(1)/$(3): $(call objects,$(1),$(call program-sources,$(2),$(3))) $$($(1)-archives) \
		$(B)/gen/sources $(B)/obj/$(1)/.flags
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$(Q)$$($(1)-cc) $$($(1)-flags) $(4) -o $$@ $$(filter %.o,$$^) \
	    -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group
host-objects += $(call objects,$(1),$(call program-sources,$(2),$(3)))
endef

host-names := $(filter-out support,$(call program-names,tests/host))
fuzz-names := $(call program-names,tests/fuzz)
bench-names := $(call program-names,tests/bench)
$(foreach f,host fuzz bench,$(eval $(call host-set,$(f))))
$(foreach n,$(host-names),$(eval $(call host-program,host,tests/host,$(n),)))
$(foreach n,$(bench-names),$(eval $(call host-program,bench,tests/bench,$(n),-ldl)))
$(foreach n,$(fuzz-names),$(eval $(call host-program,fuzz,tests/fuzz,$(n),-fsanitize=fuzzer)))

.PHONY: host-tests fuzz-targets fuzz
host-tests: $(addprefix $(B)/host/,$(host-names)) $(addprefix $(B)/bench/,$(bench-names))
	@:
fuzz-targets: $(addprefix $(B)/fuzz/,$(fuzz-names))
	@:

# Instructions per allocate/free pair against malloc and mimalloc, on the same traces.
.PHONY: bench-slab
bench-slab: deps
	@$(MAKE) $(B)/bench/slab
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m harness.slab_bench $(B)/bench/slab

# Each target's corpus stays in the output directory and is gone on with next time.
fuzz: deps
	@$(MAKE) fuzz-targets
	@for n in $(fuzz-names); do \
	    echo "fuzz: $$n for $(TIME) s, seed $(SEED)"; \
	    mkdir -p $(B)/fuzz/corpus/$$n; \
	    $(B)/fuzz/$$n -max_total_time=$(TIME) -seed=$(SEED) -timeout=20 -print_final_stats=1 \
	        -artifact_prefix=$(B)/fuzz/$$n- $(B)/fuzz/corpus/$$n || exit 1; \
	done

-include $(host-objects:.o=.d)
