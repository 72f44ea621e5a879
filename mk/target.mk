# What runs on the machine: kernel, memory server, personality, programs, initrd.

target-outputs :=
target-objects :=

# ---- asm-offsets.h: what assembly must know of C structures. The compiler evaluates the
# expressions; lines `->NAME value` of its assembly output become definitions. That compiler is gcc
# in any case, since clang insists that the text be assembly; both lay structures out alike. ----
ifneq ($(wildcard arch/riscv/asm-offsets.c),)
asm-offsets := $(B)/gen/asm-offsets.h
$(B)/gen/asm-offsets.s: arch/riscv/asm-offsets.c $(B)/obj/kernel/.flags
	$(call say,GEN,asm-offsets.h)
	@mkdir -p $(@D)
	$(Q)$(CROSS)gcc $(c-flags) $(lean-arch) $(gcc-flags) -DPAGODA_KERNEL -MMD -MP -MF $@.d -MT $@ \
	    -S -o $@ $<
$(asm-offsets): $(B)/gen/asm-offsets.s
	@{ echo '/* Generated from arch/riscv/asm-offsets.c. */'; \
	   sed -nE 's/^[[:space:]]*->([A-Za-z0-9_]+)[[:space:]]+[$$#]?(-?[0-9]+).*/#define \1 \2/p' $<; \
	 } > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
-include $(B)/gen/asm-offsets.s.d
endif

# Linked twice: once with relocations, for the check that nothing refers to what is given away.
define link-checked
$(Q)$(call link,$(lean-arch),rv64imac/lp64,$<,$@.refs,$(ld-option)--emit-relocs $(filter %.o,$^))
$(Q)PYTHONDONTWRITEBYTECODE=1 python3 -m harness.bootrefs $(CROSS)readelf $@.refs
$(Q)rm -f $@.refs $@.refs.map
$(Q)$(call link,$(lean-arch),rv64imac/lp64,$<,$@,$(filter %.o,$^))
endef

# ---- kernel ----
kernel-sources := $(filter-out arch/riscv/asm-offsets.c,$(call sources,arch/riscv kernel))
library-sources := $(call sources,lib)
pager-sources  := $(call sources,mmserver/core mmserver/server mmserver/place/kernel)
kernel-objects := $(call objects,kernel,$(kernel-sources) $(library-sources))
pager-objects  := $(call objects,kernel,$(pager-sources))
target-objects += $(kernel-objects) $(pager-objects)
$(kernel-objects) $(pager-objects): | $(asm-offsets)

ifneq ($(wildcard arch/riscv/kernel.lds),)
$(B)/kernel.elf: $(kernel-objects) $(pager-objects)
$(B)/kernel-nopager.elf: $(kernel-objects)
$(B)/kernel.elf $(B)/kernel-nopager.elf: arch/riscv/kernel.lds harness/bootrefs.py $(B)/gen/sources \
		$(B)/obj/kernel/.flags
	$(call say,LD,$@)
	$(link-checked)
# (lld cannot reach the undefined weak symbols of the pager at address 0; GNU ld can)
target-outputs += $(B)/kernel.elf $(if $(filter gcc,$(CC)),$(B)/kernel-nopager.elf)
endif

# ---- the memory server as a program ----
mmserver-sources := $(call sources,mmserver/core mmserver/server mmserver/place/user lib)
mmserver-objects := $(call objects,mmserver,$(mmserver-sources))
target-objects   += $(mmserver-objects)
ifneq ($(wildcard mmserver/place/user/mmserver.ld),)
$(B)/mmserver.elf: mmserver/place/user/mmserver.ld harness/bootrefs.py $(mmserver-objects) \
		$(B)/gen/sources $(B)/obj/mmserver/.flags
	$(call say,LD,$@)
	$(link-checked)
target-outputs += $(B)/mmserver.elf
initrd-files   += sbin/mmserver=$(B)/mmserver.elf
endif

# ---- libc and programs. All of libc's objects are linked and the unused sections dropped, so that
# our definitions win over picolibc's defaults. ----
libc-sources := $(filter-out libc/crt0.%,$(call sources,libc))
libc-objects := $(call objects,user,$(libc-sources))
crt0         := $(call objects,user,$(wildcard libc/crt0.S libc/crt0.c))
libpagoda    := $(B)/libpagoda.a
target-objects += $(libc-objects) $(crt0)
$(eval $(call archive-rule,$(libpagoda),$(libc-objects)))

link-user = $(call link,$(full-arch),.,libc/user.ld,$@,$(crt0) \
	$(filter-out $(crt0),$(filter %.o,$^)) $(filter-out $(libpagoda),$(filter %.a,$^)) \
	$(ld-option)--whole-archive $(libpagoda) $(ld-option)--no-whole-archive)
user-link-needs := libc/user.ld $(crt0) $(libpagoda) $(B)/gen/sources $(B)/obj/user/.flags

# $(call program-rule,output,sources,archives)
define program-rule
$(1): $(call objects,user,$(2)) $(3) $(user-link-needs)
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$(Q)$$(link-user)
target-objects += $(call objects,user,$(2))
target-outputs += $(1)
endef

# The page allocator is measured by itself: the program brings the server's sources with it.
pages-extra := $(call sources,mmserver/core lib)

# $(call program-set,source directory,output subdirectory,initrd directory)
define program-set
ifneq ($(wildcard $(1)/lib/*.c),)
$(call archive-rule,$(B)/lib$(2).a,$(call objects,user,$(call sources,$(1)/lib)))
target-objects += $(call objects,user,$(call sources,$(1)/lib))
endif
$(foreach n,$(call program-names,$(1)),$(eval $(call program-rule,$(B)/$(2)/$(n), \
	$(call program-sources,$(1),$(n)) $($(n)-extra),$(if $(wildcard $(1)/lib/*.c),$(B)/lib$(2).a))))
initrd-files += $(foreach n,$(call program-names,$(1)),$(3)/$(n)=$(B)/$(2)/$(n))
endef

ifneq ($(wildcard libc/user.ld),)
linux-sources := $(call sources,user/linux)
ifneq ($(linux-sources),)
linux-objects := $(call objects,server,$(linux-sources) $(library-sources) $(libc-sources) \
	$(wildcard libc/crt0.S libc/crt0.c))
target-objects += $(linux-objects)
$(B)/linux.elf: libc/user.ld $(linux-objects) $(B)/gen/sources $(B)/obj/server/.flags
	$(call say,LD,$@)
	$(Q)$(call link,$(lean-arch),rv64imac/lp64,$<,$@,$(filter %.o,$^))
target-outputs += $(B)/linux.elf
initrd-files += sbin/linux=$(B)/linux.elf
endif
$(eval $(call program-set,user/bin,user,bin))
$(eval $(call program-set,user/bench,bench-bin,bench))
$(eval $(call program-set,tests/guest,guest,test))
$(eval $(call program-set,tests/diff,diff,diff))
endif

# ---- initrd ----
ifneq ($(initrd-files),)
rootfs-files := $(shell find user/rootfs -type f -o -type l 2>/dev/null | sort)
$(B)/gen/initrd-files: FORCE
	$(call update-if-changed,$(initrd-files) $(rootfs-files))
$(B)/initrd.cpio: harness/mkinitrd.py $(B)/gen/initrd-files $(rootfs-files) \
		$(foreach f,$(initrd-files),$(lastword $(subst =, ,$(f))))
	$(call say,CPIO,$@)
	$(Q)PYTHONDONTWRITEBYTECODE=1 python3 harness/mkinitrd.py -o $@ \
	    $(if $(rootfs-files),--root user/rootfs) $(initrd-files)
target-outputs += $(B)/initrd.cpio
endif

-include $(target-objects:.o=.d)
