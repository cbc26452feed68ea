# Quire: everything is built from here; `make help` lists the targets.
#
# Objects mirror the sources under build/hv (the hypervisor, freestanding) and
# build/native (the same files for native tests, with sanitizers).

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

CC      := gcc
B       := build
# `make V=1` shows each command.
Q := $(if $(V),,@)

WARN    := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wundef -Werror
COMMON  := -std=gnu11 -I. -g $(WARN) -MMD -MP

# ---- the hypervisor -------------------------------------------------------
HV_CFLAGS := $(COMMON) -O2 -ffreestanding -mgeneral-regs-only -mno-red-zone \
	-mcmodel=kernel -fno-pic -fno-pie -fno-omit-frame-pointer -fno-strict-aliasing \
	-fno-asynchronous-unwind-tables -fno-common -fcf-protection=none \
	-fstack-protector-strong -mstack-protector-guard=global
HV_LDFLAGS := -nostdlib -static -no-pie -Wl,-T,linker.ld -Wl,--build-id=none \
	-Wl,-z,max-page-size=0x1000 -Wl,-z,noexecstack -Wl,--fatal-warnings

HV_SRCS := $(wildcard mm/*.c mm/policy/*.c arch/x86_64/*.c arch/x86_64/*.S \
	arch/x86_64/vmx/*.c arch/x86_64/vmx/*.S arch/x86_64/svm/*.c arch/x86_64/svm/*.S \
	arch/x86_64/guest/*.c kernel/*.c drivers/*.c)
HV_OBJS := $(addprefix $(B)/hv/,$(addsuffix .o,$(basename $(HV_SRCS))))

# Linked twice: the first time to learn the addresses of the functions, for
# backtraces; the table has a size of its own section, so nothing moves.
define link_hv
	@mkdir -p $(@D)
	$(Q)$(CC) $(HV_LDFLAGS) -o $(@:.elf=.pass1.elf) $(1)
	$(Q)tools/symbols $(@:.elf=.pass1.elf) > $(@:.elf=.symbols.S)
	$(Q)$(CC) -c -o $(@:.elf=.symbols.o) $(@:.elf=.symbols.S)
	@echo "  LINK    $@"
	$(Q)$(CC) $(HV_LDFLAGS) -o $@ $(1) $(@:.elf=.symbols.o)
endef

$(B)/quire.elf: $(HV_OBJS) linker.ld tools/symbols
	$(call link_hv,$(HV_OBJS))

# The same with the second flush of a merge taken out: guests/tlb must notice.
$(B)/hv/tests/boot/merge.o: $(B)/hv/mm/merge.o
	@mkdir -p $(@D)
	$(Q)objcopy --redefine-sym deferred_seal=no_second_flush $< $@
NO_FLUSH_OBJS := $(filter-out $(B)/hv/mm/merge.o,$(HV_OBJS)) $(B)/hv/tests/boot/merge.o \
	$(B)/hv/tests/boot/no_second_flush.o
$(B)/no-second-flush.elf: $(NO_FLUSH_OBJS) linker.ld tools/symbols
	$(call link_hv,$(NO_FLUSH_OBJS))

$(B)/hv/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(HV_CFLAGS) -c -o $@ $<
$(B)/hv/%.o: %.S
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(HV_CFLAGS) -D__ASSEMBLY__ -c -o $@ $<

# ---- guests: one folder, one image ----------------------------------------
GUESTS := $(filter-out lib,$(patsubst guests/%/,%,$(sort $(dir $(wildcard guests/*/*.c)))))
GUEST_ELFS := $(GUESTS:%=$(B)/guests/%.elf)
GUEST_CFLAGS := $(COMMON) -O2 -ffreestanding -mgeneral-regs-only -mno-red-zone -fno-pic -fno-pie \
	-fno-omit-frame-pointer -fno-asynchronous-unwind-tables -fno-stack-protector \
	-fcf-protection=none -fno-strict-aliasing
GUEST_LIB_OBJS := $(addprefix $(B)/,$(addsuffix .o,$(basename $(wildcard guests/lib/*.c guests/lib/*.S))))

$(B)/guests/%.o: guests/%.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<
$(B)/guests/%.o: guests/%.S
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(GUEST_CFLAGS) -D__ASSEMBLY__ -c -o $@ $<

define guest_rule
$(B)/guests/$(1).elf: $(addprefix $(B)/,$(addsuffix .o,$(basename $(wildcard guests/$(1)/*.c guests/$(1)/*.S)))) \
		$(GUEST_LIB_OBJS) guests/lib/guest.ld
	@echo "  LINK    $$@"
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-T,guests/lib/guest.ld -Wl,--build-id=none \
		-Wl,-z,noexecstack -Wl,-z,max-page-size=0x1000 -o $$@ $$(filter %.o,$$^)
endef
$(foreach g,$(GUESTS),$(eval $(call guest_rule,$(g))))

.PHONY: guests
guests: $(GUEST_ELFS)

# ---- images ---------------------------------------------------------------
# A bundle is a cpio archive of a config and the files that it names.
CONFIG ?= tests/boot/demo.cfg
$(B)/demo.bundle: tests/boot/demo.cfg tools/pack $(GUEST_ELFS)
	@echo "  IMAGE   $@"
	$(Q)tools/pack --out $@ --search $(B)/guests $<

$(B)/quire.iso: $(B)/quire.elf $(B)/demo.bundle tools/mkiso
	@echo "  IMAGE   $@"
	$(Q)tools/mkiso --out $@ --elf $(B)/quire.elf --bundle $(B)/demo.bundle

.PHONY: all
all: $(B)/quire.elf $(B)/quire.iso guests

.PHONY: run run-vtx run-linux
run: all
	@tools/run --machine qemu --tour --memory 256 --timeout 3600 tests/boot/demo.cfg
run-linux: all linux
	@tools/run --machine qemu --smp 3 --append guests.first=1 --tour linux --linux $(LINUX) --memory 1024 --timeout 3600 tests/boot/demo-linux.cfg
run-vtx: all
	@tools/run --machine bochs --tour --memory 64 --timeout 3600 tests/boot/demo-vtx.cfg

# ---- a Linux guest from Debian's packages: another kernel by KERNEL=linux-image-amd64 ----
KERNEL := linux-image-cloud-amd64
LINUX  := $(B)/$(patsubst linux-image-cloud-amd64,linux,$(KERNEL))
LINUX_MADE := $(addprefix $(LINUX)/,vmlinux vmlinuz initrd.img initrd-small.img packages.json)
LINUX_FROM := tools/linux-guest $(addprefix tools/quire_tools/,linux_guest.py debian.py bzimage.py cpio.py) \
	$(wildcard guests/linux/* guests/linux/works/*)
$(LINUX_MADE) &: $(LINUX_FROM)
	$(Q)tools/linux-guest --kernel $(KERNEL) --out $(LINUX) --archives $(B)/packages
$(LINUX)/disk.ext4 $(LINUX)/disk.json &: $(LINUX_FROM)
	$(Q)tools/linux-guest --disk --out $(LINUX) --archives $(B)/packages

.PHONY: linux linux-disk images
linux: $(LINUX_MADE)
# With a disk, whose userland is larger: for the images of guests' memory.
linux-disk: $(LINUX_MADE) $(LINUX)/disk.ext4
# Images of guests' memory to measure sharing on; FORCE=1 makes them anew.
images: linux-disk
	tools/guest-images made $(if $(FORCE),--force)
	tools/guest-images real --linux $(LINUX) $(if $(FORCE),--force)

# ---- native tests ---------------------------------------------------------
# One program for each tests/unit/*.c, and one of all tests/model/*.c. They link an
# archive of every file of ours that can be compiled natively, so that a test may
# put a fake of its own in the place of any file.
NATIVE_CFLAGS := $(COMMON) -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all
NATIVE_LDFLAGS := -fsanitize=address,undefined -lcmocka -llz4 -lpthread
NATIVE_SRCS := $(wildcard mm/*.c mm/policy/*.c tests/host/*.c arch/x86_64/guest/*.c) \
	$(wildcard $(addprefix arch/x86_64/,vmx/vmx_exit.c vmx/vmx_controls.c vmx/vmx_check*.c vmx/vmx_msr.c vmx/ept.c \
	svm/svm_exit.c svm/svm_controls.c svm/svm_state.c svm/insn_len.c svm/npt.c spec_plan.c hvm_event.c \
	madt.c acpi.c multiboot2.c pvh_boot.c boot_found.c memmap.c frames.c symbols.c)) \
	$(wildcard $(filter-out kernel/main.c kernel/mm_env.c kernel/mm_page.c kernel/string.c,$(wildcard kernel/*.c)))
NATIVE_OBJS := $(NATIVE_SRCS:%.c=$(B)/native/%.o)
TESTS := $(patsubst tests/%.c,$(B)/tests/%,$(wildcard tests/unit/*.c)) $(B)/tests/model/model

$(B)/native/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(NATIVE_CFLAGS) -c -o $@ $<
$(B)/native/libquire.a: $(NATIVE_OBJS)
	@rm -f $@
	@echo "  AR      $@"
	$(Q)ar rcs $@ $^
$(B)/tests/model/model: $(patsubst %.c,$(B)/native/%.o,$(wildcard tests/model/*.c))
$(TESTS): $(B)/tests/%: $(B)/native/tests/%.o $(B)/native/libquire.a
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(B)/native/libquire.a $(NATIVE_LDFLAGS)

.PHONY: unit
unit: $(TESTS) $(B)/bench/bench-quire $(B)/bench/count.so $(B)/bench/replay
	tools/ktap $(TESTS) $(wildcard tests/tools/*.py)

# The model test with fresh seeds, for an hour or as long as one likes.
MODEL_SECONDS := 3600
.PHONY: model-long
model-long: $(B)/tests/model/model
	tools/model-long --seconds $(MODEL_SECONDS) $<

# ---- fuzzing: each tests/fuzz/*.c is a program of clang's libFuzzer ----------
FUZZ_CC     := clang
FUZZ_CFLAGS := $(COMMON) -O1 -fno-omit-frame-pointer -fno-sanitize-recover=all
FUZZ_OBJS   := $(NATIVE_SRCS:%.c=$(B)/fuzz/%.o)
FUZZERS     := $(patsubst tests/fuzz/%.c,$(B)/fuzz/bin/%,$(wildcard tests/fuzz/*.c))
FUZZ_SECONDS := 60

$(B)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<
$(B)/fuzz/libquire.a: $(FUZZ_OBJS)
	@rm -f $@
	@echo "  AR      $@"
	$(Q)ar rcs $@ $^
$(FUZZERS): $(B)/fuzz/bin/%: $(B)/fuzz/tests/fuzz/%.o $(B)/fuzz/libquire.a
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $< $(B)/fuzz/libquire.a

.PHONY: fuzz fuzz-short
fuzz: $(FUZZERS)
	tools/fuzz --part fuzz --seconds $(FUZZ_SECONDS) $(FUZZERS)
fuzz-short: $(FUZZERS)
	tools/fuzz --part fuzz-short --seconds 10 $(FUZZERS)

# The memory core once more, under ThreadSanitizer: threads as CPUs.
TSAN_FLAGS := $(COMMON) -O1 -fno-omit-frame-pointer -fsanitize=thread
TSAN_OBJS := $(patsubst %.c,$(B)/tsan/%.o,$(wildcard mm/*.c mm/policy/*.c) \
	$(addprefix tests/host/,env.c guest.c toy_format.c))
TSAN_TESTS := $(patsubst tests/tsan/%.c,$(B)/tests/tsan/%,$(wildcard tests/tsan/*.c))

$(B)/tsan/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(TSAN_FLAGS) -c -o $@ $<
$(TSAN_TESTS): $(B)/tests/%: $(B)/tsan/tests/%.o $(TSAN_OBJS)
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(CC) -fsanitize=thread -o $@ $^ -lcmocka -lpthread

.PHONY: tsan
tsan: $(TSAN_TESTS)
	tools/ktap --part tsan $(TSAN_TESTS)

# ---- which lines and branches of mm/ the unit and model tests reach ----------
# Needs the package gcovr, which nothing else here does.
.PHONY: coverage coverage-report
coverage:
	@command -v gcovr >/dev/null || { echo 'make coverage: gcovr is missing: apt-get install gcovr' >&2; exit 1; }
	@$(MAKE) --no-print-directory B=$(B)/coverage NATIVE_CFLAGS='$(COMMON) -O0 --coverage' \
		NATIVE_LDFLAGS='--coverage -lcmocka -llz4 -lpthread' coverage-report
coverage-report: $(TESTS)
	@find $(B) -name '*.gcda' -delete
	@for t in $(TESTS); do $$t >$$t.log 2>&1 || { echo "coverage: $$t fails: see $$t.log" >&2; exit 1; }; done
	@gcovr --root . --filter 'mm/' --object-directory $(B) --txt $(B)/lines.txt $(B)/native
	@gcovr --root . --filter 'mm/' --object-directory $(B) --txt $(B)/branches.txt --branches $(B)/native
	@cat $(B)/lines.txt $(B)/branches.txt

# ---- mutants: mm/ and the hypercalls broken on purpose; some test must notice ----
# Two builds of the native tests: one from which tools/mutants links each mutant, and one by
# which it learns what line which test reaches.
#	make mutants			all: the named ones and the generated ones
#	make mutants ONLY=NAME		one, named or generated
#	make mutants FILES=mm/merge.c	those of some files
MUTANT_B      := $(B)/mutants
MUTANT_CFLAGS  = $(NATIVE_CFLAGS) -g0 -w
REPLAYS       := $(patsubst tests/fuzz/%.c,$(B)/replay/%,$(wildcard tests/fuzz/*.c))

$(REPLAYS): $(B)/replay/%: $(B)/native/tests/fuzz/%.o $(B)/native/tests/mutants/replay.o $(B)/native/libquire.a
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(CC) -o $@ $^ $(NATIVE_LDFLAGS)

.PHONY: mutants mutants-base
mutants: # -j2 makes the builds faster; the mutants run two at a time anyway
	@$(MAKE) --no-print-directory B=$(MUTANT_B)/base NATIVE_CFLAGS='$(MUTANT_CFLAGS)' mutants-base
	@$(MAKE) --no-print-directory B=$(MUTANT_B)/reach NATIVE_CFLAGS='$(COMMON) -O0 -g0 -w --coverage' \
		NATIVE_LDFLAGS='--coverage -lcmocka -llz4 -lpthread' mutants-base
	@tools/mutants --base $(MUTANT_B)/base --reach $(MUTANT_B)/reach --cc '$(CC)' --cflags '$(MUTANT_CFLAGS)' --ldflags '$(NATIVE_LDFLAGS)' \
		$(addprefix --only ,$(ONLY)) $(addprefix --file ,$(FILES)) $(MUTANT_ARGS)
mutants-base: $(TESTS) $(REPLAYS)

# ---- native measurements: optimised as the hypervisor is, no sanitizers ----
# The files of the hypervisor with its own flags, but for the code model; what drives
# them (tests/) as any program.
BENCH_FLAGS := $(filter-out -mcmodel=kernel,$(HV_CFLAGS))
BENCH_CORE := $(patsubst %.c,$(B)/bench/%.o,$(wildcard mm/*.c mm/policy/*.c) kernel/mm_page.c \
	arch/x86_64/vmx/ept.c arch/x86_64/svm/npt.c)
BENCH_HOST := $(addprefix $(B)/bench/tests/,host/oracle.o bench/world.o bench/writer.o bench/sets.o)
BENCHES := $(addprefix $(B)/bench/bench-,hash quire ksm policies fingerprint breaks growth scan pack)

$(B)/bench/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(COMMON) -O2 -fno-pie -c -o $@ $<
$(B)/bench/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(BENCH_FLAGS) -c -o $@ $<
$(B)/bench/bench-hash: $(addprefix $(B)/bench/,tests/bench/hash.o mm/hash.o mm/index.o)
$(B)/bench/bench-pack: $(addprefix $(B)/bench/,tests/bench/pack.o mm/lz4.o)
$(B)/bench/bench-quire: $(B)/bench/tests/bench/quire.o $(BENCH_HOST) $(BENCH_CORE)
$(B)/bench/bench-quire: BENCH_LINK := -Wl,--wrap=merge_commit
$(B)/bench/bench-ksm: $(B)/bench/tests/bench/ksm.o $(B)/bench/tests/bench/sets.o
$(B)/bench/bench-policies: $(B)/bench/tests/bench/policies.o $(BENCH_HOST) $(BENCH_CORE)
$(B)/bench/bench-fingerprint: $(B)/bench/tests/bench/fingerprint.o $(B)/bench/tests/bench/world.o $(BENCH_CORE)
$(B)/bench/bench-breaks: $(B)/bench/tests/bench/breaks.o $(BENCH_HOST) $(BENCH_CORE)
$(B)/bench/bench-growth: $(B)/bench/tests/bench/growth.o $(BENCH_HOST) $(BENCH_CORE)
$(B)/bench/bench-scan: $(B)/bench/tests/bench/scan.o $(BENCH_HOST) $(BENCH_CORE)
$(BENCHES) $(B)/bench/replay:
	@echo "  LINK    $@"
	$(Q)$(CC) -no-pie $(BENCH_LINK) -o $@ $^
$(B)/bench/replay: $(addprefix $(B)/bench/tests/bench/,replay.o replay_guests.o replay_truth.o trace_file.o world.o writer.o) $(BENCH_CORE)
$(B)/bench/replay: BENCH_LINK := -Wl,--wrap=p2m_share -Wl,--wrap=p2m_switch
.PHONY: replay
replay: $(B)/bench/replay
bench-hash: $(B)/bench/bench-hash
	$< $(B)/bench/bench-hash.jsonl
bench-scan: $(B)/bench/bench-scan
	$< $(B)/bench/bench-scan.jsonl
# Guests' work with the scanner on and off: its rows go into the same file.
bench-work: all
	tools/bench-work
bench-ksm: $(BENCHES)
	@test -f $(B)/images/manifest.json || $(MAKE) --no-print-directory images
	tools/bench-ksm

# Counts a whole machine's instructions, in QEMU.
$(B)/bench/count.so: tests/bench/count_plugin.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(COMMON) -O2 -shared -fPIC -o $@ $<

# The policy `ksm` against Linux's ksmd, pass by pass: on the made sets, and on images of Linux guests if there are any.
validate-ksm: $(B)/bench/bench-ksm $(B)/bench/bench-policies
	@test -f $(B)/images/manifest.json || tools/guest-images made
	tools/validate-ksm

# ---- the rest is in tools/: each prints KTAP ------------------------------
.PHONY: boot-svm boot-vtx lint test bench bench-machine bench-linux bench-hash bench-scan bench-work bench-ksm
# The second compiler must build it too; a boot test starts what it built.
.PHONY: clang
clang:
	@$(MAKE) --no-print-directory B=$(B)/clang CC=clang $(B)/clang/quire.elf
boot-svm: all clang $(B)/no-second-flush.elf
	tools/boot-tests --machine qemu
boot-vtx: all $(B)/no-second-flush.elf
	tools/boot-tests --machine bochs
# Linux guests: each prints how long it took; on Bochs that is minutes.
.PHONY: boot-linux-svm boot-linux-vtx boot-linux-more-svm boot-linux-more-vtx linux-kernels
boot-linux-svm: all linux
	tools/boot-tests --machine qemu --group linux --linux $(notdir $(LINUX))
boot-linux-vtx: all linux
	tools/boot-tests --machine bochs --group linux --linux $(notdir $(LINUX))
# Other kernels of Debian's, and more vCPUs.
linux-kernels: linux # one after the other: they share apt's folder
	@$(MAKE) --no-print-directory KERNEL=linux-image-amd64 linux
	@$(MAKE) --no-print-directory KERNEL=linux-image-6.12-cloud-amd64 linux
boot-linux-more-svm: all linux linux-kernels
	tools/boot-tests --machine qemu --group linux-more
boot-linux-more-vtx: all linux
	tools/boot-tests --machine bochs --group linux-more
# How sharing among Debian guests grows after their start: a page of the book, with its raw figures.
.PHONY: headline headline-linux
headline: all
	tools/headline
headline-linux: all linux
	tools/headline --linux 60
.PHONY: sharing-linux
sharing-linux: all linux
	tools/sharing-linux --page docs/results-sharing.md
	cp $(B)/bench/sharing-linux.jsonl docs/results-sharing.jsonl
# A million calls of fuzzing guests on each machine, beside neighbours who must not notice.
.PHONY: fuzz-guest
fuzz-guest: all
	tools/boot-tests --machine qemu --group fuzz
	tools/boot-tests --machine bochs --group fuzz
.PHONY: refuse-million
refuse-million: all
	tools/boot-tests --machine qemu --group refusals
	tools/boot-tests --machine bochs --group refusals
lint: $(B)/quire.elf
	tools/lint $(B)/quire.elf
test: all
	tools/test-all
bench: bench-machine bench-linux bench-hash bench-scan bench-work bench-ksm
bench-machine: all
	tools/bench-machine
bench-linux: all linux $(B)/bench/count.so
	tools/bench-linux

.PHONY: format clean help
format:
	clang-format -i $$(git ls-files '*.c' '*.h')
clean:
	rm -rf $(B)
help:
	@echo 'make              the hypervisor, its image and the guests, under $(B)/'
	@echo 'make run          the demo on QEMU (AMD-V); the monitor on this terminal'
	@echo 'make run-vtx      the same on Bochs (VT-x)'
	@echo 'make linux        kernel and initramfs of a Linux guest, from Debian packages, in $(B)/linux/; KERNEL=PACKAGE: another'
	@echo 'make images       images of guests'"'"' memory: sets of known truth, and four Linux guests; in $(B)/images/'
	@echo 'make run-linux    four Debian guests, with a shell on the console of each'
	@echo 'make test         all tests; parts: unit, tsan, fuzz-short, boot-svm, boot-vtx, boot-linux-svm, lint'
	@echo 'make boot-linux-svm, make boot-linux-vtx    Debian guests on QEMU and on Bochs, from start to power-off'
	@echo 'make boot-linux-more-svm, make boot-linux-more-vtx    the same with other kernels and more vCPUs'
	@echo 'make headline         52 guests of 1 GiB that use all of it, on a machine of 16 GiB, and how many more (QEMU; needs 18 GiB)'
	@echo 'make headline-linux   the same with as many Debian guests as start in an hour'
	@echo 'make sharing-linux    how long after their start four Debian guests share what they could (docs/results-sharing.md)'
	@echo 'make fuzz         each fuzzer for FUZZ_SECONDS=$(FUZZ_SECONDS) seconds; two at a time'
	@echo 'make fuzz-guest   a million hostile calls of guests on QEMU and on Bochs, with neighbours who must not notice; an hour'
	@echo 'make refuse-million   the allocator refuses a million times under storms, balloons and destroyed guests (QEMU; fewer on Bochs)'
	@echo 'make model-long   the model test with fresh seeds, for MODEL_SECONDS=$(MODEL_SECONDS) seconds'
	@echo 'make mutants      the core broken in some hundred ways; each must fail a test (ONLY=NAME, FILES=mm/merge.c)'
	@echo 'make coverage     lines and branches of mm/ that the native tests reach, and which they do not'
	@echo 'make bench        counted costs, as JSON lines in $(B)/bench/; parts: bench-machine, bench-linux, bench-hash, bench-scan, bench-work'
	@echo 'make replay       the program that replays a trace of guests with any scan policy (docs/trace.md; tools/experiment)'
	@echo 'make bench-ksm    the memory core and Linux KSM on the same memory, RUNS=5 times; needs root for KSM'
	@echo 'make format       clang-format over the sources'
	@echo 'make clean        remove $(B)/'

-include $(HV_OBJS:.o=.d) $(NATIVE_OBJS:.o=.d) $(FUZZ_OBJS:.o=.d) $(TSAN_OBJS:.o=.d) $(GUEST_LIB_OBJS:.o=.d)
-include $(wildcard $(B)/bench/*/*.d $(B)/bench/*/*/*.d $(B)/bench/*/*/*/*.d $(B)/guests/*/*.d $(B)/native/tests/*/*.d $(B)/fuzz/tests/*/*.d $(B)/tsan/tests/*/*.d)
