#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The program that measures our side against KSM saves exactly what can be saved, on tiny sets. Nothing is timed.

For every page-table format, size of leaves and of slices: after t0, after the change to t1 and after touches of parts of all
pages, what is saved is what Python counts, no page has another content, the audit finds nothing, and no batch of
merges flushed a space more than twice. And the ratios and medians of tools/bench-ksm are what they say.
"""
import random
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
from quire_tools import bench_ksm_report as report  # noqa: E402
from quire_tools.samples import Samples             # noqa: E402

PROGRAM = TOP / "build/bench/bench-quire"
PAGE = 4096
ZERO, ONES = bytes(PAGE), b"\xff" * PAGE
VARIANTS = [[], ["--format", "npt"], ["--large-leaves"], ["--large-leaves", "--format", "npt"], ["--slice", "1"],
            ["--slice", "4096"], ["changed=0.05"], ["changed=0.15"]]
PAGES = (700, 1100, 513)


def guests(rand, constants):
    """Three guests: constants, contents repeated within and between, unique ones, some equal but for their last line."""
    common = [rand.randbytes(PAGE) for _ in range(40)]
    start = rand.randbytes(PAGE - 64)

    def page():
        kind = rand.randrange(8)
        if kind < 2 and constants:
            return (ZERO, ONES)[kind]
        if kind < 5:
            return rand.choice(common)
        return start + rand.randbytes(64) if kind == 5 else rand.randbytes(PAGE)

    return [[page() for _ in range(n)] for n in PAGES]


def change(rand, memory):
    """A tenth of the pages get another content: a new one, another page's, zeroes, or their own but for a byte."""
    changed = [list(vm) for vm in memory]
    for vm in changed:
        for p in range(len(vm)):
            if rand.randrange(10) == 0:
                vm[p] = rand.choice([rand.randbytes(PAGE), rand.choice(memory[0]), ZERO, vm[p][:-1] + b"!"])
    return changed


def savable(memory):
    contents = [page for vm in memory for page in vm]
    return len(contents) - len(set(contents)) + len({ZERO, ONES} & set(contents))


def write(folder, name, vm):
    path = folder / name
    path.write_bytes(b"".join(vm))
    return str(path)


def check(values, t0, t1):
    expected = {"t0.saved": savable(t0), "t1.saved": savable(t1) if t1 else values["t1.savable"], "t0.mismatches": 0, "t1.mismatches": 0,
                "touch.mismatches": 0, "t0.audit_failures": 0, "t1.audit_failures": 0, "touch.audit_failures": 0,
                "touch.saved": values.get("touch.savable"), "quiet.bytes_read": 0, "quiet1.bytes_read": 0}
    wrong = [f"{name} is {values.get(name)}, expected {value}" for name, value in expected.items()
             if values.get(name) != value]
    if not values.get("t0.saved") or not values.get("apply.faults"):
        wrong.append("the test is worth nothing: nothing was saved, or nothing was broken")
    if not 0 < values.get("max_flushes", 9) <= 2:
        wrong.append(f"{values.get('max_flushes')} flushes of a space in a batch")
    return wrong


def run(arguments, files):
    done = subprocess.run([PROGRAM, *arguments, "--fractions", "0,0.05,0.5,1", *files], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    values = {}
    for line in done.stdout.splitlines():
        name, _, value = line.rpartition(" ")
        values[name] = float(value)
    return done, values


def sets(seed, constants, variants):
    """(name, complaints) of each variant over one set."""
    rand = random.Random(seed)
    t0 = guests(rand, constants)
    t1 = change(rand, t0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [f"{write(folder, f'{i}.t0', t0[i])}:{write(folder, f'{i}.t1', t1[i])}" for i in range(len(t0))]
        for arguments in variants:
            cut = bool(arguments) and arguments[-1].startswith("changed=")
            done, values = run(arguments[:-1], [arguments[-1], *files]) if cut else run(arguments, files)
            wrong = check(values, t0, None if cut else t1)
            part = values["changed"] / values["pages"]
            if cut and not 0.5 < part / float(arguments[-1].split("=")[1]) < 1.5:
                wrong.append(f"{values['changed']} pages changed")
            if done.returncode:
                wrong += [f"exit status {done.returncode}", *done.stderr.splitlines()]
            yield f"{' '.join(arguments) or 'as measured'}, seed {seed}", wrong


def ratios():
    """KSM's best setting of the same run counts; a run without KSM gives no ratio."""
    s = Samples()
    for s.run, (ours, ksm_a, ksm_b) in enumerate([(10, 100, 80), (20, 100, 300), (10, None, None)]):
        s.add("full_sharing", ours, "ns/page", "real", "quire")
        s.add("full_sharing_flushes", 0.01, "flushes/page", "real", "quire")
        s.add("full_sharing", ksm_a, "ns/page", "real", "ksm, default")
        s.add("full_sharing", ksm_b, "ns/page", "real", "ksm, b")
    report.ratios(s, ["real"])
    found = (s.values("ratio_full_sharing_real", "real", "both"), s.values("ratio_full_sharing_real_1us_a_flush", "real", "both"),
             s.values("ratio_full_sharing_real_default", "real", "both"))
    expected = ([8, 5], [80 / 20, 100 / 30], [10, 5])
    return [] if found == expected else [f"{found}, expected {expected}"]


def main():
    cases = [*sets(1, True, VARIANTS), *sets(2, False, VARIANTS[:1]),
             *sets(random.randrange(1 << 30), True, VARIANTS[:1]), ("ratios are of one run, to KSM's best", ratios())]
    failed = 0
    print(f"1..{len(cases)}")
    for number, (name, wrong) in enumerate(cases, 1):
        failed += bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} {number} - {name}")
        for line in wrong:
            print(f"# {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
