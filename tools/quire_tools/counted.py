# SPDX-License-Identifier: MIT
"""A QEMU that counts its instructions: tests/bench/count_plugin.c, and what it tells."""
import bisect
import re
import subprocess
from collections import Counter, namedtuple
from types import SimpleNamespace

from .machine import BUILD, Machine, MachineError

PLUGIN = BUILD / "bench/count.so"
LINE = re.compile(r"^(mark (?P<letter>.)|end) total=(?P<total>\d+) inside=(?P<inside>\d+) exits=(?P<exits>\d+)$")

# When a guest executed the NOP: instructions of the machine, those of the hypervisor, and exits until then.
Mark = namedtuple("Mark", "letter total inside exits")


def symbols(elf):
    """[(address, name)] in order."""
    text = subprocess.run(["nm", "-n", elf], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    return [(int(words[0], 16), words[2]) for words in map(str.split, text.splitlines()) if len(words) == 3]


class Counted(Machine):
    """One run on QEMU with -icount. elf: what starts, Quire unless given; seed: of all of its random numbers."""

    def __init__(self, seed, memory, elf=None, append="", config=None, profile=None):
        super().__init__(SimpleNamespace(machine="qemu", cpu=None, smp=1, memory=memory, append=append, elf=elf or str(BUILD / "quire.elf"),
                                         config=config, iso=False, uefi=False, bios=None, grub="", count=True, kvm=False, modules=[]))
        self.seed = seed
        self.profile = profile
        self.ramdisk = None  # instead of a bundle

    def plugin(self):
        words = {"out": self.folder / "marks"}
        at = {name: address for address, name in symbols(self.options.elf)}
        if "svm_landing" in at:
            words |= {"lo": at["text_start"], "hi": at["text_end"], "landing": at["svm_landing"]}
        if self.profile:
            words["profile"] = self.profile
        return ",".join([str(PLUGIN)] + [f"{key}={value}" for key, value in words.items()])

    def qemu_arguments(self):
        if not PLUGIN.exists():
            raise MachineError(f"{PLUGIN} is not built; type `make {PLUGIN.relative_to(BUILD.parent)}` first")
        more = ["-initrd", str(self.ramdisk)] if self.ramdisk else []
        return super().qemu_arguments() + ["-nodefaults", "-seed", str(self.seed), "-plugin", self.plugin()] + more

    def marks(self):
        lines = (self.folder / "marks").read_text().splitlines()
        found = [LINE.match(line) for line in lines]
        return [Mark(f["letter"] or "end", int(f["total"]), int(f["inside"]), int(f["exits"])) for f in found if f]


def functions(profile, elf):
    """The plugin's counts by address, summed by function, most first; instructions and calls of its first one."""
    table = symbols(elf)
    starts = [address for address, _ in table]
    sums, entered = Counter(), Counter()
    for line in open(profile):
        address, count = int(line.split()[0], 16), int(line.split()[1])
        start, name = table[bisect.bisect_right(starts, address) - 1]
        sums[name] += count
        if address == start:
            entered[name] += count
    total = sum(sums.values())
    return "".join(f"{n:14} {n / total:7.2%} {entered[name]:12} {name}\n" for name, n in sums.most_common())
