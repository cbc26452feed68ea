# SPDX-License-Identifier: MIT
"""The boot tests: each is one start of one machine. See tools/quire_tools/case.py for the fields."""
import json

from quire_tools.case import Case, Said, outcomes_table
from quire_tools.core_check import against_oracle, one_of_several
from quire_tools.fairness import both_cpus, fair
from quire_tools.hostile_guests import Ends, beside_fuzzers
from quire_tools.linux_guests import life, packed, reclaimed, shares_as_the_oracle, shell_answers
from quire_tools.machine import BUILD, TOP
from quire_tools.overcommit import PASSER, Passers, audited_often, desktops, refused_often, refused_until, resumes_after, squeezed
from quire_tools.reclaim import taxed
from quire_tools.scan_share import within_its_share
from quire_tools.trace_check import trace_holds

# Where a guest or a script sleeps for a time that must be enough: QEMU's clock counts instructions
# then, or a busy host would be blamed on us. (Bochs' always does.) So few in a second that what waits for
# time to pass, as for a serial line, costs little.
COUNTED = {"count": 6, "ips": 10000000}
QUICK = {"count": 3}
END = ["wait all 100", "audit"]
# The guests of oracle.cfg hold still, and the scanner has had a while.
HELD = [Said("# hold", 5), "sleep 1500"]
QEMU, BOCHS = ("qemu",), ("bochs",)
SEABIOS = "/usr/share/seabios/bios.bin"  # leaves IA32_FEATURE_CONTROL as it found it: unlocked
ENDS = outcomes_table("tests/boot/hostile.tsv")


def with_cpus(name, config, **more):
    """The same guests on one CPU and on two."""
    return [Case(f"{name}, 1 CPU", config, smp=1, **more), Case(f"{name}, 2 CPUs", config, smp=2, **more)]


def refused(name, words, cpu=None, **options):
    """A machine that lacks something: no guest, one plain sentence, and a monitor all the same."""
    machine = "bochs" if cpu not in ("max,-npt", "max,-svm") else "qemu"
    return Case(f"refused: {name}", "hello.cfg", machines=(machine,), cpu={machine: cpu}, smp=1, refused=words,
                script=["info", "hwinfo"], options=options)


def somebody_waited(session, notes):
    """The guests' memory was more than the machine's: without a wait the case proves nothing."""
    _, lines = session.command("sharing --json")
    total = next(json.loads(line) for line in lines if line.startswith("{"))
    notes.append(f"faults that waited for a frame: {total['waits']}")
    return [] if total["waits"] else ["no fault ever waited for a frame"]


# What the CPU has decides by what the scanner learns of writes; the command line may choose something else that it has.
DIRTY = [("no dirty flags", "corei7_sandy_bridge_2600k", "", "wp"),
         ("dirty flags", "corei7_haswell_4770", "", "flags"),
         ("a log on skylake", "corei7_skylake_x", "", "pml"),
         ("a log on icelake", "corei7_icelake_u", "", "pml"),
         ("a log on tigerlake", "tigerlake", "", "pml"),
         ("flags beside a log", "corei7_skylake_x", "dirty=flags", "flags"),
         ("protection beside flags", "corei7_haswell_4770", "dirty=wp", "wp"),
         ("a log asked for in vain", "corei7_haswell_4770", "dirty=pml", "flags")]

DEBIAN = {"deb-1": 2, "deb-2": 1, "deb-3": 1, "deb-4": 1}


def powers_off(*names):
    return lambda machine: {name: "poweroff" for name in names}


def debian(name, config, cpus, full, less, after=(), rounds=2, kernel="", **more):
    """Debian guests (name -> CPUs) from start to power-off; see tools/quire_tools/linux_guests.py. On QEMU its CPU 0 must not run
    them (docs/machines.md, "The exit that was nobody's")."""
    if more["machines"] is QEMU:
        more.update(smp=3, options={"append": "guests.first=1"})
    return Case(name, config, script=[], outcomes=powers_off(*cpus),
                check=life(cpus, full=full, less=less, rounds=rounds, kernel=kernel, after=list(after)), **more)


def another_kernel(package, release):
    """The same life under another of Debian's kernels, on two guests."""
    return debian(f"two Debian guests, {package}", "linux-two.cfg", {"deb-1": 2, "deb-2": 1}, 192, 144, [shell_answers("deb-2")],
                  kernel=release, linux=package, group="linux-more", machines=QEMU, memory=640, timeout=560)


# Groups of their own: they need what `make linux` makes, and take minutes. `linux` is part of `make test` on QEMU.
LINUX = [
    debian("four Debian guests", "linux.cfg", DEBIAN, 192, 144, [shell_answers("deb-2"), shares_as_the_oracle(list(DEBIAN))],
           group="linux", machines=QEMU, memory=1024, timeout=900),  # 150 s where nothing else runs
    debian("a Debian guest on VT-x", "linux-one.cfg", {"deb-1": 1}, 128, 96, [shell_answers("deb-1")], rounds=1,
           group="linux", machines=BOCHS, smp=1, memory=256, timeout=1800),

    # fill comes when they have used their memory: then 32 MiB more are in use than there is.
    Case("two Debian guests give memory that is promised to more than one", "linux-reclaim.cfg", script=[], outcomes=powers_off("deb-1", "deb-2"),
         check=reclaimed(["deb-1", "deb-2"], "fill", by=8), group="linux-more", machines=QEMU, smp=3, memory=368, timeout=560,
         options={"append": "guests.first=1"}),
    # 8 MiB are read in each round, and nothing else uses them.
    Case("a Debian guest's cold pages are compressed, and come back", "linux-compress.cfg", script=[], outcomes=lambda machine: {"deb-1": "reboot"}, check=packed("deb-1", 2000),
         group="linux-more", machines=QEMU, smp=3, memory=320, timeout=560, options={"append": "guests.first=1"}),
    another_kernel("linux-image-amd64", r"^6\.1\..*[0-9]-amd64$"),
    another_kernel("linux-image-6.12-cloud-amd64", r"^6\.12\..*-cloud-amd64$"),
    debian("a Debian guest with four vCPUs", "linux-four-cpus.cfg", {"deb-1": 4}, 192, 144, [shell_answers("deb-1")],
           group="linux-more", machines=QEMU, memory=512, timeout=560),
    debian("a Debian guest with two vCPUs on VT-x", "linux-two-cpus.cfg", {"deb-1": 2}, 128, 96, [shell_answers("deb-1")], rounds=1,
           group="linux-more", machines=BOCHS, memory=256, timeout=3600),
]

def fuzz(name, calls, machine, wave=12000, **more):
    """Fuzzing guests beside neighbours. QEMU's counted time is shared by its CPUs, so there is one. The neighbours ask for
    less than their share. On Bochs a serial line takes a CPU for milliseconds: there are some to spare."""
    qemu = machine == "qemu"
    return Case(name, "fuzz.cfg", machines=(machine,), smp=1 if qemu else 4, memory=64, script=[], outcomes=lambda machine: Ends(),
                options=QUICK if qemu else {"ips": 25000000},
                check=beside_fuzzers(calls, wave, neighbour=f"period=20 units={12 if qemu else 3}"), **more)


# `make fuzz-guest`: minutes.
FUZZ = [
    fuzz("a million calls of fuzzing guests", 1000000, "qemu", group="fuzz", timeout=3600),
    fuzz("a million calls of fuzzing guests", 1000000, "bochs", group="fuzz", timeout=7200),
]

def refusals(name, number, **more):
    return Case(name, "refusals.cfg", memory=48, script=[], outcomes=lambda machine: Passers(PASSER),
                check=refused_until(number, ("storm-1", "storm-2", "storm-3")), **more)


# `make refuse-million`: minutes.
REFUSALS = [
    refusals("a million refusals", 1000000, machines=QEMU, group="refusals", timeout=3600),
    Case("ten thousand audits in storms", "refusals.cfg", machines=QEMU, memory=48, script=[], outcomes=lambda machine: Passers(PASSER), options=COUNTED, group="refusals", timeout=3600,
         check=audited_often(10000, ("storm-1", "storm-2", "storm-3"))),
    refusals("refusals on VT-x", 100000, machines=BOCHS, group="refusals", timeout=3600),
]

CASES = LINUX + FUZZ + REFUSALS + [
    refusals("storms, and balloons that are destroyed, under refusals", 100000, machines=QEMU, options=COUNTED, timeout=200),
    *with_cpus("hello", "hello.cfg"),
    *with_cpus("hypercalls", "hypercalls.cfg", options=COUNTED),
    *with_cpus("hypercalls with two vCPUs", "hypercalls2.cfg", options=COUNTED),
    *with_cpus("local APICs", "apic.cfg", options=QUICK),
    *with_cpus("fill", "fill.cfg"),
    Case("fill on 2 MiB leaves", "fill-large.cfg"),
    *with_cpus("storm", "storm.cfg", options=COUNTED),
    *with_cpus("balloon", "balloon.cfg"),
    Case("balloon from 2 MiB leaves", "balloon-large.cfg"),
    Case("balloon in extents of 2 MiB", "balloon-extents.cfg", heard=["extents out=8 in=8 calls=1"]),
    Case("1 GiB out and in, 128 MiB a call", "balloon-gib.cfg", machines=QEMU, smp=1, memory=1280, timeout=400, options=COUNTED | {"append": "scan.on=0"},
         script=["wait all 300", "audit"], heard=["extents out=512 in=512 calls=8"]),
    Case("balloon follows mem-set", "balloon-follow.cfg", options=COUNTED,
         # One page less than asked: shared_info took the place of one of its pages, as in Xen.
         script=["sleep 500", "mem-set balloon 5", Said("target=1280 current=1280"), "mem-set balloon 8", Said("target=2048 current=2047"),
                 "shutdown balloon", "shutdown fill", *END]),
    *with_cpus("xenstore", "store.cfg", options=COUNTED, script=["wait other 60", "mem-set store 12", Said("target=3072 current=3072"), "mem-set store 15",
                                                                 Said("target=3840 current=3840"), "shutdown store", *END]),
    *with_cpus("grants", "grant.cfg", options=COUNTED,
               script=["wait lender 60", "audit", "destroy lender", "wait borrower 60", "audit"]),
    Case("tlb, 1 CPU", "tlb-one.cfg", smp=1),
    Case("tlb, 2 CPUs", "tlb.cfg"),
    Case("tlb notices that a merge lacks its second flush", "tlb.cfg", options={"elf": str(BUILD / "no-second-flush.elf")},
         outcomes=lambda machine: {"tlb": "fails: no look found bytes of another page"}, tries=5),
    *with_cpus("idle", "idle.cfg", options=COUNTED, script=["sleep 500", "shutdown idle", *END]),
    *with_cpus("spin", "spin.cfg"),
    Case("two vCPUs work at the same time", "busy-smp.cfg", script=["sleep 1500"], check=both_cpus),

    # Ten seconds of the machine's own clock; Bochs' runs slower, so that they pass sooner.
    Case("fair shares", "fair.cfg", check=fair, options={"ips": 10000000}, script=["sleep 14000"]),
    # Five seconds of it, for the same reason on a slow CPU; storm gives the scanner something to do all the time.
    Case("the scanner keeps to its share", "share.cfg", options=COUNTED, script=[],
         check=within_its_share, timeout=400),
    # Only where instructions are counted: a host that is busy itself would be blamed on us.
    Case("a waking guest among four that spin", "wake.cfg", machines=BOCHS, options={"ips": 10000000},
         script=["wait wake 60", *(f"shutdown spin-{n}" for n in (1, 2, 3, 4)), *END]),

    Case("more is written than there is", "overcommit.cfg", memory=18, check=somebody_waited, options=COUNTED,
         script=[Said("# hold", 3), *(f"shutdown fill-{n}" for n in (1, 2, 3)), *END]),

    Case("all have used all of their memory, and it is more than there is", "desktops.cfg", machines=QEMU, memory=48, options=COUNTED, timeout=400, script=[], check=desktops(5, 100)),

    *with_cpus("more is written than there is, and packed", "compress.cfg", memory=18, options=COUNTED, check=squeezed, timeout=400,
               script=[Said("# hold", 3), *(f"shutdown fill-{n}" for n in (1, 2, 3)), *END]),
    Case("it refuses while pages are packed, and one is destroyed", "compress.cfg", memory=18, options=COUNTED, check=refused_often, timeout=400,
         outcomes=lambda machine: {"fill-2": "alive"}, heard=["@quire compressed domain=1"],
         script=["sleep 3000", "refuse every 3", "sleep 3000", "audit", "refuse all 1000", "sleep 2000", "destroy fill-2", "refuse off", "audit",
                 "sleep 6000", "compress fill-1 2", "audit", "shutdown fill-1", "shutdown fill-3", *END]),
    *with_cpus("nothing can run until one is destroyed", "stall.cfg", memory=18, options=COUNTED | {"append": "reclaim.on=0 reserve=16"}, script=[], timeout=400,
               outcomes=lambda machine: {"fill-3": "alive"}, check=resumes_after("destroy fill-3", (), last=(Said("# hold", ("fill-1", "fill-2")), "shutdown fill-1", "shutdown fill-2"))),
    # On Bochs it passes too, and takes a minute and a half.
    Case("nothing can run until a balloon is moved", "stall-balloon.cfg", machines=QEMU, memory=32, options=COUNTED | {"append": "scan.on=0 reclaim.on=0"}, script=[], timeout=400,
         outcomes=lambda machine: {"fill-2": "alive"},  # for one of the two it is enough; which, chance decides
         check=resumes_after("mem-set balloon 4", (), last=("sleep 4000", "destroy fill-2", "sleep 4000", "shutdown fill-1", "shutdown balloon"),
                             first=("sleep 3000", "unpause fill-1", "unpause fill-2"))),

    # Two equal guests, one idle, with and without the tax on idle memory.
    Case("idle memory moves to who uses it", "tax.cfg", machines=QEMU, memory=32, script=[], timeout=400, check=taxed,
         options=QUICK | {"append": "scan.on=0 reclaim.tau=0 reclaim.round=500 reclaim.period=1000"}),

    *with_cpus("the allocator refuses, and nobody minds", "refuse.cfg", options=COUNTED | {"ips": 25000000}, check=refused_often,
               script=["sleep 500", "refuse every 3", "sleep 1500", "audit", "refuse all 1000", "sleep 1500", "audit",
                       "refuse every 2", "sleep 1500", "refuse off", *END]),
    Case("it refuses where there is nothing to give", "overcommit.cfg", memory=18, options=COUNTED, check=refused_often,
         script=["refuse every 3", "sleep 4000", "audit", "refuse all 1000", "sleep 4000", "refuse off", "audit",
                 *(f"shutdown fill-{n}" for n in (1, 2, 3)), *END]),

    Case("sharing equals the oracle", "oracle.cfg", options=COUNTED, script=HELD, check=against_oracle),
    *(Case(f"sharing equals the oracle, {what}", "oracle.cfg", machines=BOCHS, cpu={"bochs": cpu}, options=COUNTED | {"append": append},
           script=[*HELD, "info"], heard=[f"what was written is told by: {source}"], check=against_oracle)
      for what, cpu, append, source in DIRTY),
    Case("sharing equals the oracle on 2 MiB leaves", "oracle-large.cfg", options=COUNTED, script=[Said("# hold", 3), "sleep 1500", "settle", "scan"],
         heard=["leaves domain=large-1 large=0", "leaves domain=alone large=2"], check=against_oracle),
    # Zeroes that are not filled yet would be merged, page by page.
    Case("2 MiB are shared as a whole", "twins-large.cfg", options={**COUNTED, "append": "scan.on=0"},
         script=["sleep 2500", "settle", "scan", "sharing"],
         heard=[*(f"leaves domain=twin-{n} large=2" for n in (1, 2)), "shared=2 merged=2"], check=against_oracle),
    Case("sharing equals the oracle, nested page tables and write protection", "oracle.cfg", machines=QEMU,
         options={**COUNTED, "append": "dirty=wp"}, script=[*HELD, "info"],
         heard=["what was written is told by: wp"], check=against_oracle),
    Case("storm by write protection", "storm.cfg", machines=BOCHS, cpu={"bochs": "corei7_sandy_bridge_2600k"}),
    Case("storm by a log", "storm.cfg", machines=BOCHS, cpu={"bochs": "corei7_skylake_x"}, heard=["told by: pml"],
         script=["info", *END]),
    Case("tlb by a log", "tlb.cfg", machines=BOCHS, cpu={"bochs": "tigerlake"}),

    # A tick is much work, so on Bochs no slow CPU.
    Case("a trace says what each page holds", "oracle.cfg", options={"count": 6, "trace": True}, script=["trace on 50", *HELD],
         check=trace_holds),

    Case("one guest dumped while others run", "core.cfg", options=COUNTED, script=[Said("# filled", ("quiet", "other"))], check=one_of_several),

    *with_cpus("hostile", "hostile.cfg"),
    # A serial line's time passes sooner on a slow CPU.
    Case("hostile ends", "hostile-ends.cfg", memory=256, outcomes=ENDS, options={"ips": 10000000}),
    Case("hostile goes on for ever", "hostile-alive.cfg", outcomes=ENDS, options={"ips": 10000000},
         script=["wait fill 100", "list", "destroy fault_loop", "destroy ac_loop", "destroy undefined_loop",
                 "destroy pae_reserved", "audit"]),
    # QEMU 7.2 itself aborts on a data breakpoint while an exception is delivered.
    Case("hostile makes a loop of #DB", "hostile-db.cfg", machines=BOCHS, outcomes=ENDS, options={"ips": 10000000},
         script=["wait fill 100", "destroy db_loop", "audit"]),
    fuzz("fuzzing guests", 50000, "qemu", timeout=200),
    fuzz("fuzzing guests", 50000, "bochs", wave=7000, timeout=600),
    Case("hostile on AMD-V with next-RIP save", "hostile.cfg", machines=BOCHS, cpu={"bochs": "ryzen"}),

    refused("no EPT", "EPT", cpu="core2_penryn_t9600"),
    refused("no unrestricted guest", "unrestricted guest", cpu="corei5_lynnfield_750"),
    refused("no VT-x", "VT-x", cpu="p4_prescott_celeron_336"),
    refused("VT-x locked off by firmware", "firmware", bios=SEABIOS, grub="insmod wrmsr; wrmsr 0x3a 1"),
    refused("no nested paging", "nested paging", cpu="max,-npt"),
    refused("no AMD-V", "AMD-V", cpu="max,-svm"),
    Case("VT-x left unlocked by firmware", "hello.cfg", machines=BOCHS, smp=2, options={"bios": SEABIOS}),

    Case("fill on skylake", "fill.cfg", machines=BOCHS, cpu={"bochs": "corei7_skylake_x"}),
    Case("through GRUB, BIOS", "hello.cfg", machines=QEMU, options={"iso": True}),
    Case("domains from GRUB's module lines", machines=QEMU, heard=["(d1 a) hello from a guest of 8 MiB", "(d2 b) hello"],
         options={"iso": True, "modules": [f"{BUILD}/guests/hello.elf kernel name=a memory=8",
                                           f"{BUILD}/guests/hello.elf ramdisk name=a",
                                           f"{BUILD}/guests/hello.elf kernel name=b memory=4"]}),
    Case("a config from GRUB's module lines", "hello.cfg", machines=QEMU, heard=["(d2 fromgrub) hello"],
         options={"iso": True, "modules": [f"{TOP}/tests/boot/fromgrub.cfg config"]}),
    Case("created from the monitor", "hello.cfg", machines=QEMU, heard=["(d2 second) hello"],
         script=["create name=second kernel=hello.elf memory=8 vcpus=2", *END]),
    # 128 MiB are cleared for it: in one piece, `busy` was off its CPU for 213 ms, at 125 million instructions a second.
    Case("a domain is made, and its neighbour works on", "create.cfg", machines=QEMU, smp=1, memory=256, options=QUICK,
         script=["sleep 500", "create name=large kernel=hello.elf memory=128 superpages=1 paused=1", "unpause large", *END, "dmesg"],
         heard=['domain 3 is "large"', "(large) is made: "]),
    Case("through GRUB, UEFI", "hello.cfg", machines=QEMU, memory=256, options={"uefi": True}),
    Case("built by clang", "fill.cfg", machines=QEMU, options={"elf": str(BUILD / "clang/quire.elf")}),
    Case("four CPUs", "fill.cfg", machines=QEMU, smp=4),
]
