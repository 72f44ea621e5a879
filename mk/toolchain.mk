# Compilers and flags. A *flavour* is one way to compile a source; its objects live in
# $(B)/obj/FLAVOUR. The same file may be compiled in several: lib/ and mmserver/core are.
#
#   kernel    the kernel, and the memory server when it is linked into it
#   mmserver  the memory server as a program: integer registers only
#   server    the personality, with a libc of its own: integer registers only, because a worker is
#             entered with its client's floating-point registers in place
#   user      programs, libc
#   host      everything portable, with sanitizers, for the tests that run here
#   fuzz      the same for libFuzzer
#   bench     the same without sanitizers, for counts of instructions

comma    := ,
CROSS    := riscv64-unknown-elf-
PICOLIBC := /usr/lib/picolibc/riscv64-unknown-elf

# The directory of the tree is kept out of what is built: figures are the same wherever it lies.
# gcc does not hand its option on to the assembler, which has one of another name.
as-flags  := $(if $(filter gcc,$(CC)),-Wa$(comma)--debug-prefix-map=$(CURDIR)=.)
c-flags   := -std=gnu17 -O2 -g -ffile-prefix-map=$(CURDIR)=. -Wall -Wextra -Werror -I. -Iabi
lean-arch := -march=rv64imac -mabi=lp64 -mcmodel=medany -msmall-data-limit=0
full-arch := -march=rv64imafdc -mabi=lp64d
libgcc     = $(shell $(CROSS)gcc $(1) -misa-spec=2.2 -print-libgcc-file-name)

# The memory server: where gcc looks for common expressions across jumps, it moves arguments that
# could stay where they came in away and back, up to twelve instructions of a fault.
stay-gcc  := -fno-cse-follow-jumps
gcc-flags := -misa-spec=2.2 --specs=picolibc.specs --picolibc-buildtype=release \
	-DPICOLIBC_INTEGER_PRINTF_SCANF
ifeq ($(CC),gcc)
TARGET_CC    := $(CROSS)gcc
ld-option    := -Wl$(comma)
target-flags := $(gcc-flags)
stay-flags   := $(stay-gcc)
# $(call link,arch flags,picolibc's directory for it,linker script,output,objects and archives)
# (an option for the linker among the objects is written with $(ld-option) before it)
link = $(TARGET_CC) $(1) $(target-flags) -nostartfiles -static -T $(3) -Wl,-z,max-page-size=4096 \
	-Wl,--gc-sections -Wl,--build-id=none -Wl,-Map=$(4).map -o $(4) $(5)
else
TARGET_CC    := clang
ld-option    :=
target-flags := --target=riscv64-unknown-elf -mno-relax -nostdlibinc -ftls-model=local-exec \
	-isystem $(PICOLIBC)/include/release -Wno-unused-command-line-argument \
	-fdouble-square-bracket-attributes
link = ld.lld -m elf64lriscv -static --gc-sections -z max-page-size=4096 --build-id=none \
	--defsym=vfprintf=__i_vfprintf --defsym=vfscanf=__i_vfscanf -Map=$(4).map \
	-T $(3) -o $(4) $(5) \
	--start-group $(PICOLIBC)/lib/release/$(2)/libc.a $(call libgcc,$(1)) --end-group
endif

# Freestanding, but memcpy and its like mean what they always mean.
lean-flags := $(c-flags) $(lean-arch) $(target-flags) -ffreestanding -fbuiltin -fno-pic \
	-fno-common -fno-strict-aliasing -fno-stack-protector -ffunction-sections -fdata-sections

# LOCK_CHECK=1: the memory server checks its lock order in the guest too (with a B of its own).
ifdef LOCK_CHECK
lean-flags += -DLOCK_CHECK
endif
kernel-cc      := $(TARGET_CC)
kernel-flags   := $(lean-flags) -DPAGODA_KERNEL
mmserver-cc    := $(TARGET_CC)
mmserver-flags := $(lean-flags) $(stay-flags) -DPAGODA_USER_PLACEMENT
$(B)/obj/kernel/mmserver/%: kernel-flags += $(stay-flags)
program-flags  := $(target-flags) -fno-pic -fno-common -fno-stack-protector \
	-ffunction-sections -fdata-sections $(addprefix -I,$(wildcard libc/include tests/guest/lib))
server-cc      := $(TARGET_CC)
server-flags   := $(c-flags) $(lean-arch) $(program-flags)
user-cc        := $(TARGET_CC)
user-flags     := $(c-flags) $(full-arch) $(program-flags)

HOSTCC     := $(or $(shell command -v clang),gcc)
host-cc    := $(HOSTCC)
host-flags := -std=gnu17 -O1 -g -Wall -Wextra -Werror -I. -Iabi -Itests/host/support \
	-fno-omit-frame-pointer -fno-common -fno-strict-aliasing -fsanitize=address,undefined \
	-fno-sanitize-recover=all -DPAGODA_HOST \
	-include tests/host/support/picolibc.h -idirafter $(PICOLIBC)/include/release
bench-cc    := $(HOSTCC)
bench-flags := -std=gnu17 -O2 -Wall -Wextra -Werror -I. -Iabi -Itests/host/support -fno-common \
	-fno-strict-aliasing -DPAGODA_HOST -DPAGODA_BENCH -include tests/host/support/picolibc.h \
	-idirafter $(PICOLIBC)/include/release
fuzz-cc    := clang
fuzz-flags := $(host-flags) -fsanitize=fuzzer-no-link -DPAGODA_FUZZ
