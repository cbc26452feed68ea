#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The oracle counts tiny sets made by hand as a person would; what the generator planned is what it wrote."""
import json
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
from quire_tools import image_files, image_report, made_sets, oracle, real_images  # noqa: E402
from quire_tools.machine import MachineError  # noqa: E402
from quire_tools.oracle import ONES, PAGE, ZERO, Tally  # noqa: E402


def page(text):
    return text.encode().ljust(PAGE, b".")


def write_set(folder, guests, then=None):
    """Guests as lists of contents, at one or two instants; the open set."""
    vms = []
    for vm, contents in enumerate(guests):
        (folder / f"{vm}.t0").write_bytes(b"".join(contents))
        if then and then[vm]:
            (folder / f"{vm}.t1").write_bytes(b"".join(then[vm]))
        vms.append({"t0": f"{vm}.t0", "t1": f"{vm}.t1" if then and then[vm] else None})
    return image_files.Set(folder, {"name": "hand", "vms": vms})


A, B, C = page("a"), page("b"), page("c")
ALMOST_A = A[:-1] + b"!"  # equal but for the last byte


def counted(folder, guests, **expected):
    got = write_set(folder, guests).count()["t0"]
    return all(got[key] == value for key, value in expected.items()), got


def by_hand(folder):
    return counted(folder, [[A, A, B, ZERO, ONES, ZERO], [A, C, C, C, B, ZERO]], pages=12, distinct=5, constants=2,
                   savable=9, zero=3, ones=1, intra=3, inter=2)


def no_constants(folder):
    return counted(folder, [[A, A], [A, B]], pages=4, distinct=2, constants=0, savable=2, intra=1, inter=1)


def last_byte(folder):
    return counted(folder, [[A, ALMOST_A]], distinct=2, savable=0)


def almost_constant(folder):
    return counted(folder, [[ZERO[:-1] + b"\1", ONES[:-1] + b"\0", ZERO]], distinct=3, constants=1, savable=1, zero=1, ones=0)


def one_page(folder):
    return counted(folder, [[A]], pages=1, distinct=1, constants=0, savable=0)


def second_instant(folder):
    images = write_set(folder, [[A, B], [C, C], [A, ZERO]], [[A, A], None, [ZERO, ZERO]])
    got = images.count()["t1"]
    return ({key: got[key] for key in ("pages", "distinct", "savable", "zero", "intra", "inter", "changed")}
            == {"pages": 6, "distinct": 3, "savable": 4, "zero": 2, "intra": 2, "inter": 0, "changed": 2}), got


def collisions(folder):
    """With a hash that says that everything is equal, the comparison alone decides."""
    oracle.hash = lambda content: 1
    try:
        return by_hand(folder)
    finally:
        del oracle.hash


def groups(folder):
    """Equal pages of two share groups are not equal; constants are everyone's."""
    pages = [A, A, A, ZERO]
    tally = Tally(lambda where: pages[where])
    for where, group in enumerate((1, 1, 2, 2)):
        tally.add(where, pages[where], where, group)
    t = tally.truth()
    return (t.pages, t.distinct, t.inter_saved, t.self_saved, t.zero, t.saved) == (4, 2, 1, 0, 1, 2), t


def odd_size(folder):
    (folder / "odd").write_bytes(bytes(PAGE + 1))
    try:
        image_files.Image(folder / "odd")
    except ValueError as mistake:
        return "whole number of pages" in str(mistake), mistake
    return False, "it was taken"


def census(folder):
    images = write_set(folder, [[A, A, B, ZERO], [A, C, ZERO, ZERO]], [[A, C, B, ZERO], None])
    said = image_report.table(images)
    lines = {line[:36].strip(): line[36:].split("  ")[-1].strip() for line in said.splitlines() if line[:1].isalpha()}
    wanted = {"pages": "8", "distinct contents": "4", "savable, one frame kept a content": "4 = 50.00 %"}
    first = {line[:36].strip(): line[36:70].strip() for line in said.splitlines() if line[:1].isalpha()}
    good = all(first.get(key) == value for key, value in wanted.items())
    good = good and first["zero pages (each guest's)"] == "3 (1 2)" and first["within a guest (constant, other)"] == "2 (1, 1)"
    good = good and first["between guests (constant, other)"] == "2 (1, 1)" and lines["distinct contents"] == "4"
    good = good and "1: 2 (2); 2: 0 (0); 3: 2 (6)" in said and "changed t0 -> t1: 1 pages = 12.50 % (each guest's: 1 0)" in said
    good = good and "were one of equals at t0 1, got a content that was there at t0 1" in said and "1.0 of 64 lines and 1 bytes" in said
    return good, said


def made(name):
    """The plan's truth is what the oracle counts, and a rerun writes nothing."""
    def case(folder):
        entry, there = made_sets.make_set(folder, name, vms=3, mib=1, seed=7)
        got = image_files.Set(folder, entry).count()
        before = {file: file.stat().st_mtime_ns for file in folder.rglob("*.t?")}
        again, there_again = made_sets.make_set(folder, name, vms=3, mib=1, seed=7)
        after = {file: file.stat().st_mtime_ns for file in folder.rglob("*.t?")}
        listed = json.loads((folder / "manifest.json").read_text())["sets"]
        left = [file.name for file in folder.iterdir() if file.name not in (name, "manifest.json")]
        good = got == entry["truth"] and not there and there_again and again == entry and before == after and listed == [entry]
        return good and not left and got["t0"]["pages"] == 768, (got, entry, left)
    return case


def mix_moves(folder):
    """mix has what its table says: a quarter zero, 2 % that change."""
    entry, _ = made_sets.make_set(folder, "mix", vms=2, mib=4)
    t0, t1 = entry["truth"]["t0"], entry["truth"]["t1"]
    return (t0["zero"], t1["changed"], t0["inter"], t0["intra"]) == (512, 40, 204, 2 * 25 * 3), entry


def prefix_is_hard(folder):
    entry, _ = made_sets.make_set(folder, "prefix", vms=1, mib=1)
    contents = list(image_files.Set(folder, entry).t0[0])
    return len({c[:-64] for c in contents}) == 1 and len({c[-64:] for c in contents}) == 256, entry


def lost_file(folder):
    """A set whose file is gone is made again."""
    entry, _ = made_sets.make_set(folder, "inter", vms=2, mib=1)
    (folder / "inter/vm1.t0").unlink()
    again, there = made_sets.make_set(folder, "inter", vms=2, mib=1)
    return not there and again == entry and (folder / "inter/vm1.t0").exists(), again


def other_seed(folder):
    """Another seed is another memory with the same truth."""
    first, _ = made_sets.make_set(folder, "intra", vms=1, mib=1, seed=1)
    one = (folder / "intra/vm0.t0").read_bytes()
    second, there = made_sets.make_set(folder, "intra", vms=1, mib=1, seed=2)
    return not there and first["truth"] == second["truth"] and one != (folder / "intra/vm0.t0").read_bytes(), second


class Ended:
    """A process: None while it runs."""

    def __init__(self, status):
        self.returncode = status

    def poll(self):
        return self.returncode


def heard(folder, text, status=None):
    """What is made of a guest's console: rounds done, or the sentence of an error."""
    guest = object.__new__(real_images.Guest)
    guest.name, guest.console, guest.process = "vm0", folder / "vm0.log", Ended(status)
    guest.console.write_text(text)
    guest.console.with_suffix(".qemu").write_text("")
    try:
        return guest.rounds()
    except MachineError as mistake:
        return str(mistake)


def consoles(folder):
    begins = "linux: user space at 3 s\nlinux: work files begins\n"
    ok = "linux: work files round 9 ok: 30 of 700 files\nvm0# linux: work files round 10 ok: x\n"
    got = [heard(folder, ""), heard(folder, begins), heard(folder, begins + ok),
           heard(folder, begins + ok + "linux: work files round 11 BAD: a sum\n"),
           heard(folder, begins + "linux: work files ended, status 1\n"),
           heard(folder, begins + "linux: work files ended, status 0\n"), heard(folder, "Kernel panic\n", 0)]
    return got == [0, 0, 10, "vm0: linux: work files round 11 BAD: a sum", "vm0: linux: work files ended, status 1", 0,
                   "vm0: QEMU ended with status 0: Kernel panic\n"], got


CASES = [
    ("a set counted by hand", by_hand), ("no constant content", no_constants), ("pages that differ in the last byte", last_byte),
    ("pages that are constant but for one byte", almost_constant), ("a single page", one_page),
    ("a second instant, of some of the guests", second_instant), ("the same with a hash that always collides", collisions),
    ("share groups", groups), ("half a page is refused", odd_size), ("the table for people", census),
    *((f"plan and oracle agree on {name}", made(name)) for name in made_sets.NAMES),
    ("what mix is made of", mix_moves), ("what prefix is made of", prefix_is_hard), ("a lost file is written again", lost_file),
    ("the seed", other_seed), ("what a guest's console says", consoles),
]


def main():
    failed = 0
    print(f"1..{len(CASES)}")
    for number, (name, case) in enumerate(CASES, 1):
        with tempfile.TemporaryDirectory() as folder:
            good, seen = case(Path(folder))
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {name}" + ("" if good else f": {seen}"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
