# SPDX-License-Identifier: MIT
"""What an experiment leaves: CSV, a JSON summary, plots. All of it in a folder that is put in place as a whole."""
import csv
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .experiment_file import ExperimentError

COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#117a65", "#7b7d7d", "#5d4037")
TABLE = (("part_of_oracle", "saved, of the oracle's integral", "{:.2%}"), ("cpu_percent_used", "CPU used, %", "{:.2f}"),
         ("pages_read", "pages read", "{:,.0f}"), ("bytes_compared", "bytes compared", "{:,.0f}"), ("merges", "merges", "{:,}"), ("breaks", "breaks", "{:,}"),
         ("instructions_per_page_merged", "instructions a page merged", "{:,.0f}"), ("wait_median_ticks", "wait, median, ticks", "{:.1f}"),
         ("wait_p99_ticks", "99th percentile", "{:.1f}"), ("in_vain_long", "equal in vain, long", "{:,}"))


class Output:
    """A folder that appears in its place only when everything is in it."""

    def __init__(self, place):
        self.place = Path(place)

    def __enter__(self):
        self.place.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f".{self.place.name}-", dir=self.place.parent))
        os.chmod(self.folder, 0o755)
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            old = None
            if self.place.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{self.place.name}-old-", dir=self.place.parent))
                os.replace(self.place, old / "old")
            os.replace(self.folder, self.place)
            if old:
                shutil.rmtree(old)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def write_csv(path, runs, attribute):
    rows = [(r, row) for r in runs for row in getattr(r, attribute)]
    columns = list(rows[0][1]) if rows else []
    with open(path, "w", newline="", encoding="ascii") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["policy", "cpu", "seed", *columns])
        for run, row in rows:
            out.writerow([run.choice.name, f"{run.cpu:g}", run.seed, *(row[c] for c in columns)])


def summary(experiment, runs, verdicts, source):
    return {"schema": 1, "name": experiment.name, "about": experiment.about, "source": source, "mips": experiment.mips, "slice": experiment.slice,
            "format": experiment.format,
            "runs": [{"name": r.choice.name, "policy": r.choice.policy, "knobs": r.choice.knobs, "cpu": r.cpu, "seed": r.seed, "figures": r.figures} for r in runs],
            "bars": [{"what": what, "met": met} for what, met in verdicts]}


def markdown(runs):
    """A table of all runs."""
    columns = [c for c in TABLE if any(c[0] in r.figures for r in runs)]
    lines = ["| CPU | policy | " + " | ".join(c[1] for c in columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for r in runs:
        cells = [c[2].format(r.figures[c[0]]) if c[0] in r.figures else "-" for c in columns]
        seed = f", seed {r.seed}" if len({x.seed for x in runs}) > 1 else ""
        lines.append(f"| {r.cpu:g} % | {r.choice.name}{seed} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


# ---- plots ----

def gnuplot(folder, name, script, size="900,480"):
    if not shutil.which("gnuplot"):
        raise ExperimentError("gnuplot is not installed: `tools/with-deps true` installs it, or use --no-plots")
    out = folder / name
    head = f"set terminal svg size {size} dynamic enhanced font 'sans,13' background 'white'\nset output '{out}'\nset termoption noenhanced\nset datafile separator ','\nset grid\nset autoscale xfix\n"
    done = subprocess.run(["gnuplot"], input=head + script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode or not out.exists():
        raise ExperimentError(f"gnuplot could not draw {name}: {done.stdout.strip()}")


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def data_block(name, rows):
    return f"${name} << EOD\n" + "".join(",".join(f"{v:.10g}" for v in row) + "\n" for row in rows) + "EOD\n"


def lines_plot(folder, name, title, runs, attribute, x, y, labels, oracle=False, log=False):
    script, parts = "", []
    for i, run in enumerate(runs):
        script += data_block(f"d{i}", ((row[x], y(row)) for row in getattr(run, attribute) if attribute == "series" or row["bytes_read"]))
        parts.append(f"$d{i} using 1:2 with {'points pt 7 ps 0.4' if attribute == 'passes' else 'lines lw 2'} lc rgb '{COLOURS[i % len(COLOURS)]}' title {quoted(run.choice.name)}")
    if oracle and runs:
        script += data_block("o", ((row[x], row["savable"]) for row in runs[0].series))
        parts.insert(0, "$o using 1:2 with lines lw 2 dt 2 lc rgb 'black' title 'oracle'")
    if log:
        script += "set logscale y\nset format y '%.0f'\n"
    gnuplot(folder, name, f"set title {quoted(title)}\nset xlabel {quoted(labels[0])}\nset ylabel {quoted(labels[1])}\nset key bottom right\n{script}plot {', '.join(parts)}\n")


def bars_plot(folder, name, title, runs, figures, label, log=False):
    rows = "".join(f'"{r.choice.name}, {r.cpu:g} %",' + ",".join(f"{max(r.figures[f], 0.01):.10g}" for f, _ in figures) + "\n" for r in runs)
    parts = [f"$b using {i + 2}:xtic(1) title {quoted(text)} lc rgb '{COLOURS[i]}'" for i, (_, text) in enumerate(figures)]
    extra = "set logscale y\nset format y '%g'\n" if log else "set yrange [0:*]\n"
    gnuplot(folder, name, f"set title {quoted(title)}\nset ylabel {quoted(label)}\nset style data histograms\nset style fill solid 0.8\nset xtics rotate by -35\n"
            f"{extra}$b << EOD\n{rows}EOD\nplot {', '.join(parts)}\n", "1000,620")


def plots(folder, experiment, runs):
    for cpu in experiment.cpu:
        some = [r for r in runs if r.cpu == cpu and r.seed == experiment.seeds[0]]
        at = f"{experiment.name}, {cpu:g} % of a CPU"
        lines_plot(folder, f"saved-{cpu:g}.svg", f"Pages saved: {at}", some, "series", "seconds", lambda row: row["saved"], ("seconds of the machine", "pages"), oracle=True)
        if any(r.passes for r in some):
            lines_plot(folder, f"read-{cpu:g}.svg", f"Pages read in a pass: {at}", some, "passes", "seconds", lambda row: row["bytes_read"] / 4096 / row["passes"],
                       ("seconds of the machine, at the end of the pass", "pages read and compared"), log=True)
    first = [r for r in runs if r.seed == experiment.seeds[0] and "instructions" in r.figures]
    if first:
        bars_plot(folder, "cost.svg", f"Cost: {experiment.name}", first, [("instructions_per_page_merged", "instructions a page merged"),
                  ("instructions_per_page_second", "instructions a page and second saved")], "instructions", log=True)
        bars_plot(folder, "wait.svg", f"From equal to shared: {experiment.name}", first, [("wait_median_ticks", "median"), ("wait_p99_ticks", "99th percentile")], "ticks", log=True)
