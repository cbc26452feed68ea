# SPDX-License-Identifier: MIT
"""An experiment on a running machine: once for each policy and share of CPU. What is saved is asked of the monitor; what could be
saved is known from a trace that is recorded meanwhile. Machine time on QEMU is counted in instructions."""
import json
import tempfile
from pathlib import Path

from .experiment_file import ExperimentError
from .experiment_run import runs_of
from .machine import TOP, Machine
from .session import Ended, Session, Timeout
from .trace_file import Reader, convert
from .trace_record import machine_options, must, wait_for_work

LIMIT_S = 7200  # of the host's time, for one run


def savable_after(path):
    """[(seconds since the first tick, pages that could be saved)] for each tick of a compact trace."""
    group, held, count, savable, ns, after = {}, {}, {}, 0, 0, []

    def leave(at):
        nonlocal savable
        key = held.pop(at, None)
        if key is not None:
            savable -= key[1] < 2 or count[key] > 1
            count[key] -= 1

    def enter(at, content):
        nonlocal savable
        key = (group[at[0]], content)
        held[at] = key
        count[key] = count.get(key, 0) + 1
        savable += content < 2 or count[key] > 1

    for op, *rest in Reader(path).operations():
        if op == "C":
            group[rest[0]] = rest[3]
        elif op == "D":
            for at in [at for at in held if at[0] == rest[0]]:
                leave(at)
        elif op == "W":
            for gfn, content in rest[1]:
                leave((rest[0], gfn))
                enter((rest[0], gfn), content)
        elif op == "O":
            for gfn in range(rest[1], rest[1] + rest[2]):
                leave((rest[0], gfn))
        elif op == "T":
            ns += rest[0]
            after.append((ns / 1e9, savable))
    return after


def ask(session, line):
    return next((json.loads(text) for text in must(session, line) if text.startswith("{")), {})


def samples(session, live, progress, title):
    """A row every sample_ms of the machine's time."""
    rows, steps = [], max(1, int(live["seconds"] * 1000 // live["sample_ms"]))
    must(session, f"trace on {live['tick_ms']}")
    for step in range(1, steps + 1):
        must(session, f"sleep {int(live['sample_ms'])}")
        s = ask(session, "sharing --json")
        rows.append({"seconds": step * live["sample_ms"] / 1000, "saved": s["pages_saved"], "fingerprinted": s["pages_fingerprinted"],
                     "compared": s["pages_compared"], "merges": s["merges"], "breaks": s["breaks"], "full_scans": s["full_scans"]})
        progress(title, 100 * step // steps)
    must(session, "trace off")
    return rows


def join(rows, savable):
    """What could be saved at the last tick before each row."""
    at = 0
    for row in rows:
        while at + 1 < len(savable) and savable[at + 1][0] <= row["seconds"]:
            at += 1
        row["savable"] = savable[at][1] if savable else 0


def figures(rows):
    saved, could = sum(r["saved"] for r in rows), sum(r["savable"] for r in rows)
    last, first = rows[-1], rows[0]
    return {"part_of_oracle": saved / could if could else 1.0, "saved_at_end": last["saved"], "savable_at_end": last["savable"],
            "pages_read": last["fingerprinted"] - first["fingerprinted"], "merges": last["merges"] - first["merges"],
            "breaks": last["breaks"] - first["breaks"], "full_scans": last["full_scans"] - first["full_scans"]}


def words(experiment, run):
    extra = [experiment.live["append"], f"scan.policy={run.choice.policy}"]
    cmdline = (TOP / "kernel/cmdline.c").read_text()
    if '"scan.cpu"' in cmdline:
        extra.append(f"scan.cpu={run.cpu:g}")
    return " ".join(w for w in extra if w)


def live_run(experiment, run, progress):
    live = experiment.live
    with tempfile.TemporaryDirectory(prefix="live-") as folder:
        raw, compact = Path(folder) / "raw", Path(folder) / "compact"
        machine = Machine(machine_options(TOP / live["config"], raw, live["memory"], live["smp"], live["shift"], live["machine"], words(experiment, run)))
        try:
            machine.start()
            session = Session(machine, LIMIT_S)
            for knob, value in run.choice.knobs.items():
                must(session, f"scan set {knob} {value}")
            if live.get("wait"):
                wait_for_work(session, live["wait"], live["guests"], lambda _: None)
            run.series = samples(session, live, progress, run.title())
            session.command("poweroff")
        except Timeout as late:
            raise ExperimentError(f"{run.title()}: {late}, and {LIMIT_S} s of ours went by") from late
        except Ended as end:
            if session.heard.panic is not None or not run.series:
                raise ExperimentError(f"{run.title()}: the machine ended: {session.heard.panic or end}") from end
        finally:
            machine.stop()
        convert(raw, compact)
        join(run.series, savable_after(compact))
    run.figures = figures(run.series)


def run_all(experiment, progress):
    runs = runs_of(experiment)
    for i, run in enumerate(runs):
        live_run(experiment, run, lambda title, percent, i=i: progress.part(i, len(runs), title, percent))
        progress.say(f"{i + 1} of {len(runs)}: {run.title()}: {run.figures['part_of_oracle']:.1%} of the oracle")
    return runs
