# SPDX-License-Identifier: MIT
"""Sets of guest memory whose truth is known because we wrote them.

	uniq    no page equals another
	zero    all bytes zero
	intra   each content four times in one guest
	inter   each content once in each guest
	mix     25 % zero, 10 % as in intra, 20 % as in inter, 2 % that have another content at t1; the rest unique
	prefix  like uniq, but all pages are equal up to their last 64 bytes: hard for who compares from the front

Pages lie in another order in each guest. Contents come from a seed, and begin (or in prefix, end) with a number of
their own, so that no two are equal by chance. The truth is the plan's, not a count of what was written.
"""
import random
import shutil
import tempfile
from pathlib import Path

from .image_files import find_set, put_set
from .oracle import PAGE, ZERO

LINE = 64
COPIES = 4
NAMES = ["uniq", "zero", "intra", "inter", "mix", "prefix"]
# Fractions of a guest's pages, in percent; what is left is unique.
SHARES = {"uniq": {}, "prefix": {}, "zero": {"zero": 100}, "intra": {"intra": 100}, "inter": {"inter": 100},
          "mix": {"zero": 25, "intra": 10, "inter": 20, "volatile": 2}}


class Plan:
    """How many pages of a guest are of which kind."""

    def __init__(self, name, vms, pages):
        shares = SHARES[name]
        self.name, self.vms, self.pages = name, vms, pages
        self.zero, self.inter, self.volatile = (pages * shares.get(kind, 0) // 100 for kind in ("zero", "inter", "volatile"))
        self.intra = pages * shares.get("intra", 0) // 100 // COPIES * COPIES
        self.uniq = pages - self.zero - self.intra - self.inter - self.volatile

    def truth(self):
        """What must be true of the files: {"t0": ..., "t1": ... or None} (see image_files.py)."""
        constants = 1 if self.zero else 0
        intra = self.vms * (self.intra // COPIES * (COPIES - 1))
        inter = self.inter * (self.vms - 1)
        pages = self.vms * self.pages
        distinct = constants + self.vms * (self.uniq + self.volatile + self.intra // COPIES) + self.inter
        first = {"pages": pages, "distinct": distinct, "constants": constants, "savable": pages - distinct + constants,
                 "zero": self.vms * self.zero, "ones": 0, "intra": intra, "inter": inter}
        return {"t0": first, "t1": {**first, "changed": self.vms * self.volatile} if self.volatile else None}


class Writer:
    """Contents by number, and the files of one plan."""

    def __init__(self, plan, seed):
        self.plan = plan
        self.seed = seed
        self.next = 1
        self.prefix = random.Random(f"{seed} prefix").randbytes(PAGE - LINE)

    def content(self, number):
        """The page of that number; a number is used for one content only."""
        mark = number.to_bytes(8, "little")
        source = random.Random(f"{self.seed} {self.plan.name} {number}")
        if self.plan.name == "prefix":
            return self.prefix + source.randbytes(LINE - len(mark)) + mark
        return mark + source.randbytes(PAGE - len(mark))

    def take(self, count):
        numbers = range(self.next, self.next + count)
        self.next += count
        return list(numbers)

    def layout(self, vm, inter):
        """Numbers of a guest's contents at t0, in the order of its pages, 0 for zero; and {page: number at t1}."""
        plan = self.plan
        volatile = self.take(plan.volatile)
        numbers = ([0] * plan.zero + self.take(plan.intra // COPIES) * COPIES + inter + volatile + self.take(plan.uniq))
        random.Random(f"{self.seed} {plan.name} order {vm}").shuffle(numbers)
        then = dict(zip(volatile, self.take(plan.volatile)))
        return numbers, then

    def write(self, folder):
        """All files of the set; the manifest's list of them."""
        inter = self.take(self.plan.inter)
        vms = []
        for vm in range(self.plan.vms):
            numbers, then = self.layout(vm, inter)
            names = {"t0": f"vm{vm}.t0", "t1": f"vm{vm}.t1" if then else None}
            with open(folder / names["t0"], "wb") as file:
                for number in numbers:
                    file.write(self.content(number) if number else ZERO)
            if then:
                self.write_second(folder, names, numbers, then)
            vms.append(names)
        return vms

    def write_second(self, folder, names, numbers, then):
        shutil.copyfile(folder / names["t0"], folder / names["t1"])
        with open(folder / names["t1"], "r+b") as file:
            for page, number in enumerate(numbers):
                if number in then:
                    file.seek(page * PAGE)
                    file.write(self.content(then[number]))


def make_set(folder, name, vms=4, mib=64, seed=1, force=False):
    """The set's entry of the manifest; written anew only if it is not there as it is asked for. (entry, whether it was there)"""
    made = {"by": "plan", "vms": vms, "mib": mib, "seed": seed, "version": 1}
    entry = None if force else find_set(folder, name, made)
    if entry:
        return entry, True
    folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(name, vms, (mib << 20) // PAGE)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}.") as scratch:
        files = Writer(plan, seed).write(Path(scratch))
        shutil.rmtree(folder / name, ignore_errors=True)
        Path(scratch).rename(folder / name)
        Path(scratch).mkdir()  # for TemporaryDirectory to remove
    (folder / name).chmod(0o755)
    paths = [{when: f and f"{name}/{f}" for when, f in vm.items()} for vm in files]
    entry = {"name": name, "vms": paths, "truth": plan.truth(), "made": made}
    put_set(folder, entry)
    return entry, False
