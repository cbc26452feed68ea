# SPDX-License-Identifier: MIT
"""The runs of an experiment: each policy, share of CPU and seed once over the trace, by build/bench/replay."""
import csv
import subprocess
from dataclasses import dataclass, field

from .experiment_file import REPLAY, ExperimentError


@dataclass
class Run:
    """One run: which, its figures, its rows."""
    choice: object
    cpu: float
    seed: int
    figures: dict = field(default_factory=dict)
    series: list = field(default_factory=list)
    passes: list = field(default_factory=list)

    def title(self):
        return f"{self.choice.name} at {self.cpu:g} %"


def rows(path):
    with open(path, newline="", encoding="ascii") as f:
        return [{k: float(v) if "." in v else int(v) for k, v in row.items()} for row in csv.DictReader(f)]


def command(experiment, run, trace, folder):
    c = [str(REPLAY), "--policy", run.choice.policy, "--cpu", f"{run.cpu:g}", "--mips", str(experiment.mips), "--slice", str(experiment.slice),
         "--format", experiment.format, "--seed", str(run.seed), "--series", str(folder / "series"), "--passes", str(folder / "passes"), "--progress"]
    for knob, value in run.choice.knobs.items():
        c += ["--knob", f"{knob}={value}"]
    return c + [str(trace)]


def derive(f):
    """Figures that follow from the counted ones."""
    f["part_of_oracle"] = f["saved_page_seconds"] / f["savable_page_seconds"] if f["savable_page_seconds"] else 1.0
    f["cpu_percent_used"] = 0.0
    f["instructions_per_page_merged"] = f["instructions"] / f["merges"] if f["merges"] else 0.0
    f["instructions_per_page_second"] = f["instructions"] / f["saved_page_seconds"] if f["saved_page_seconds"] else 0.0
    f["pages_read"] = f["bytes_read"] / 4096
    f["pages_read_per_pass"] = f["pages_read"] / f["full_scans"] if f["full_scans"] else 0.0
    for which in ("median", "p99"):
        f[f"wait_{which}_ticks"] = f[f"wait_{which}_ns"] / f["tick_ns"] if f["tick_ns"] else 0.0


def replay(experiment, run, trace, folder, progress):
    """Fills the run. `progress` is called with per cents."""
    process = subprocess.Popen(command(experiment, run, trace, folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    complaints = []
    try:
        for line in process.stderr:
            word, _, rest = line.strip().partition(" ")
            if word == "progress":
                progress(int(rest))
            else:
                complaints.append(line.strip())
        text = process.stdout.read()
        status = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
        process.stderr.close()
    if status:
        raise ExperimentError(f"{run.title()}: the replay failed: {'; '.join(complaints) or f'status {status}'}")
    run.figures = {name: int(value) for name, value in (line.split() for line in text.splitlines())}
    derive(run.figures)
    seconds = run.figures["nanoseconds"] / 1e9
    run.figures["cpu_percent_used"] = run.figures["instructions"] / (seconds * experiment.mips * 1e6) * 100 if seconds else 0.0
    run.series, run.passes = rows(folder / "series"), rows(folder / "passes")


def runs_of(experiment):
    return [Run(choice, cpu, seed) for cpu in experiment.cpu for choice in experiment.choices for seed in experiment.seeds]


def judge(experiment, runs):
    """[(sentence, met)] for each bar and each run that it is about."""
    verdicts = []
    for bar in experiment.bars:
        about = [r for r in runs if bar.get("policy", r.choice.name) == r.choice.name and bar.get("cpu", r.cpu) == r.cpu]
        if not about:
            raise ExperimentError(f"{experiment.path}: a [[bar]] is about no run: policy {bar.get('policy')}, cpu {bar.get('cpu')}")
        for run in about:
            if bar["figure"] not in run.figures:
                raise ExperimentError(f"{experiment.path}: a [[bar]] is about `{bar['figure']}`; these figures there are: {', '.join(sorted(run.figures))}")
            value = run.figures[bar["figure"]]
            met = bar.get("least", value) <= value <= bar.get("most", value)
            limits = " ".join(f"{word} {bar[word]:g}" for word in ("least", "most") if word in bar)
            verdicts.append((f"{run.title()}: {bar['figure']} {value:.4g}, {limits}", met))
    return verdicts
