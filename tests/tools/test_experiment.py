#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/experiment: a good file gives the same figures twice, in a folder that appears as a whole; a bad one gives one sentence that
says where, and leaves nothing behind. On the small stored trace.
"""
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
from quire_tools import experiment_live as live    # noqa: E402
from quire_tools.trace_file import Reader           # noqa: E402

TOOL = TOP / "tools/experiment"
STORED = "tests/tools/storm.qtrace"
GOOD = f"""name = "tried"
trace = "{STORED}"
policies = ["plain", "ksm"]
cpu = [0.2, 1]
[knobs.ksm]
pages_to_scan = 50
[[variant]]
name = "plain again"
policy = "plain"
"""
BAD = (  # what stands in the file, what the sentence must hold
    ('trace = ', "this is no TOML"),
    (f'trace = "{STORED}"\npolicys = "all"', ":2: there is no key `policys`; did you mean `policies`?"),
    (f'trace = "{STORED}"\npolicies = ["plane"]', ":2: there is no policy `plane`; did you mean `plain`?"),
    (f'trace = "{STORED}"\ncpu = "all"', ":2: `cpu` must be a list of numbers"),
    (f'trace = "{STORED}"\ncpu = [1, 0]', ":2: `cpu` must be above 0, not 0"),
    (f'trace = "{STORED}"\ncpu = [101]', "100 at most"),
    (f'trace = "{STORED}"\nseeds = [1.5]', "whole numbers"),
    (f'trace = "{STORED}"\nname = "../x"', "is no name for a folder"),
    (f'trace = "{STORED}"\n[knobs]\nplain = 3', "knobs belong to a policy"),
    (f'trace = "{STORED}"\n[knobs.ksm]\nnone_such = 3', "ksm has no such knob"),
    (f'trace = "{STORED}"\n[knobs.ksm]\nsmart_scan = 2', "a number from 0 to 1 is wanted"),
    (f'trace = "{STORED}"\n[[variant]]\nname = "x"', ":2: a [[variant]] needs a `name` and a `policy`"),
    (f'trace = "{STORED}"\npolicies = ["plain", "plain"]', "is there twice"),
    (f'trace = "{STORED}"\n[[bar]]\nfigure = "part_of_oracle"', "needs a `figure`, and `least` or `most`"),
    (f'trace = "{STORED}"\npolicies = ["plain"]\n[[bar]]\nfigure = "none"\nleast = 1', "these figures there are"),
    ('policies = "all"', "needs `trace = FILE`, or a section [live]"),
    ('trace = "none-such.qtrace"', "no section [record]"),
    ('[live]\nconfig = "none-such.cfg"', "none-such.cfg: no such file"),
    ('[live]\nseconds = 3', "needs a `config`"),
    ('trace = "README.md"\npolicies = ["plain"]', "not a trace of ours"),
)


class Results:
    def __init__(self):
        self.number = 0

    def case(self, ok, name, *detail):
        self.number += 1
        for line in detail if not ok else ():
            print(f"# {line}")
        print(f"{'ok' if ok else 'not ok'} {self.number} - {name}", flush=True)


def run(path, out, *arguments):
    done = subprocess.run([TOOL, path, "--out", out, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout, done.stderr


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if p.name != "file.toml")


def test_good(results, folder):
    path, out = folder / "file.toml", folder / "out"
    path.write_text(GOOD)
    plotted = shutil.which("gnuplot") is not None
    arguments = [] if plotted else ["--no-plots"]
    status, table, errors = run(path, out, *arguments)
    results.case(status == 0 and table.count("\n| ") == 6, "three policies at two shares of CPU", status, table, errors)
    names = {"series.csv", "passes.csv", "summary.json", "table.md"}
    names |= {"saved-0.2.svg", "saved-1.svg", "read-0.2.svg", "read-1.svg", "cost.svg", "wait.svg"} if plotted else set()
    results.case({p.name for p in out.iterdir()} == names and leftovers(folder) == ["out"], "its folder holds all of it, and nothing is left beside", leftovers(folder))
    first = {p.name: p.read_bytes() for p in out.iterdir()}
    (out / "old").write_text("from another time")
    run(path, out, *arguments)
    again = {p.name: p.read_bytes() for p in out.iterdir()}
    results.case(all(first[n] == again.get(n) for n in ("series.csv", "passes.csv", "summary.json", "table.md")) and "old" not in again,
                 "twice the same bytes, in a new folder", sorted(again))
    summary = json.loads(first["summary.json"])
    figures = {(r["name"], r["cpu"]): r["figures"] for r in summary["runs"]}
    results.case(figures["plain", 1] == figures["plain again", 1] and figures["plain", 1]["part_of_oracle"] > figures["plain", 0.2]["part_of_oracle"] > 0,
                 "figures follow from policy and share alone")
    series = list(csv.DictReader(first["series.csv"].decode().splitlines()))
    read = {key: sum(int(row["bytes_read"]) for row in csv.DictReader(first["passes.csv"].decode().splitlines())
                     if (row["policy"], float(row["cpu"])) == key) for key in figures}
    results.case(len(series) == 6 * figures["plain", 1]["ticks"] and all(0 <= f["bytes_read"] - read[key] for key, f in figures.items())
                 and read["plain", 1] == figures["plain", 1]["bytes_read"], "a row a tick; passes add up", len(series), read)
    path.write_text(GOOD + '[[bar]]\nfigure = "part_of_oracle"\npolicy = "plain"\nleast = 0.99\n')
    status, table, errors = run(path, out, "--no-plots")
    results.case(status == 2 and table.count("MISSED") == 2, "a bar that is missed ends with status 2", status, table, errors)


def test_bad(results, folder):
    path, out = folder / "file.toml", folder / "out"
    for text, words in BAD:
        path.write_text(text + "\n")
        status, _, error = run(path, out, "--no-plots")
        last = error.strip().splitlines()[-1] if error.strip() else ""
        results.case(status == 1 and words in last and "Traceback" not in error and leftovers(folder) == [], f"refused: {words}", status, error, leftovers(folder))
    status, _, error = run(folder / "none.toml", out)
    results.case(status == 1 and "no such file; these experiments there are" in error, "no file at all", error)


def test_interrupted(results, folder):
    """Ended in the middle: what was there stays, and nothing half-written is beside it."""
    path, out = folder / "file.toml", folder / "out"
    path.write_text(GOOD.replace("[0.2, 1]", "[100]"))
    out.mkdir()
    (out / "precious").write_text("x")
    process = subprocess.Popen([TOOL, path, "--out", out, "--no-plots"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    process.stderr.readline()  # the first of its runs is done
    os.killpg(process.pid, signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    done = process.returncode == 0  # it was faster than us
    results.case(done or (process.returncode == 130 and "nothing half-written" in error and leftovers(out) == ["precious"] and leftovers(folder) == ["out"]),
                 "interrupted: what was there stays", process.returncode, error, leftovers(folder))


def test_live_oracle(results):
    """The oracle of live runs counts what the replay's does."""
    after = live.savable_after(TOP / STORED)
    text = subprocess.run([TOP / "build/bench/replay", "--series", "/dev/stderr", TOP / STORED], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, check=True).stderr
    rows = list(csv.DictReader(text.splitlines()))
    results.case([s for _, s in after] == [int(r["savable"]) for r in rows] and len(after) == Reader(TOP / STORED).head["ticks"],
                 "both oracles agree")
    rows = [{"seconds": s, "saved": 0} for s in (0.1, after[3][0] + 0.01, 1e9)]
    live.join(rows, after)
    results.case([r["savable"] for r in rows] == [after[0][1], after[3][1], after[-1][1]], "a sample goes with the tick before it")


def main():
    results = Results()
    for test in (test_good, test_bad, test_interrupted):
        with tempfile.TemporaryDirectory() as name:
            test(results, Path(name))
    test_live_oracle(results)
    print(f"1..{results.number}")


if __name__ == "__main__":
    main()
