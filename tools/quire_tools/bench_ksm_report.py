# SPDX-License-Identifier: MIT
"""What tools/bench-ksm tells: ratios of figures of one run, the bars, a table, a plot."""
import json
import shutil
import subprocess

QUIRE = "quire"
FLUSH_NS = 1000  # what a flush is taken to cost where one is added

# name of the ratio: our figure, KSM's figure, which settings of KSM
RATIOS = {
    "ratio_full_sharing": ("full_sharing", "full_sharing"),
    "ratio_steady_7pct": ("pass_7pct", "pass_7pct"),
    "ratio_steady_7pct_long_run": ("pass_7pct", "pass_7pct_long_run"),
}
# title, name of the row, set, side, bar, goal, whether more is better
BARS = [
    ("CPU to full sharing, real memory, KSM : Quire", "ratio_full_sharing_real", "real", "both", 6, 10, True),
    ("CPU of a pass, 7 % changed, smart_scan 0 : Quire", "ratio_steady_7pct_real", "real", "both", 40, 80, True),
    ("the same, smart_scan 1 in the long run : Quire", "ratio_steady_7pct_long_run_real", "real", "both", 5, 10, True),
    ("bytes read in a pass when nothing changed", "pass_unchanged_bytes_read", "real", QUIRE, 0, None, False),
    ("equal but for the last line : another unique page", "ratio_prefix", "prefix", QUIRE, 1.25, None, False),
    ("metadata, index included, bytes a frame", "metadata_bytes_per_frame", "real", QUIRE, 20, None, False),
    ("flushes of a space in a batch of merges", "max_flushes", "real", QUIRE, 2, None, False),
    ("cold fingerprint : cold read of a page", "fingerprint_cold", "", QUIRE, 1.25, None, False),
    ("break less 1.15 cold copies, ns", "break_over_copy", "", QUIRE, 300, None, False),
    ("a pass at 4 GiB : at 1 GiB, equal write rate", "growth_local_4_1", "", QUIRE, 1.15, None, False),
    ("a pass at 16 GiB : at 1 GiB, equal write rate", "growth_local_16_1", "", QUIRE, 1.15, None, False),
]


# ---- ratios ----

def best(samples, name, set_name, run):
    """KSM's cheapest setting in that run; None if none was measured."""
    values = [by_run[run] for side in samples.sides(name, set_name) if side.startswith("ksm")
              if run in (by_run := samples.by_run(name, set_name, side))]
    return min(values) if values else None


def add_ratio(samples, ratio, set_name, ours_name, theirs_name):
    for run, ours in samples.by_run(ours_name, set_name, QUIRE).items():
        theirs = best(samples, theirs_name, set_name, run)
        if theirs is None or not ours:
            continue
        samples.run = run
        flushes = samples.by_run(f"{ours_name}_flushes", set_name, QUIRE).get(run, 0)
        samples.add(f"{ratio}_{set_name}", theirs / ours, "x", set_name, "both")
        samples.add(f"{ratio}_{set_name}_1us_a_flush", theirs / (ours + FLUSH_NS * flushes), "x", set_name, "both")
        default = samples.by_run(theirs_name, set_name, "ksm, default").get(run)
        if default is not None:
            samples.add(f"{ratio}_{set_name}_default", default / ours, "x", set_name, "both")


def ratios(samples, sets):
    for set_name in sets:
        for ratio, (ours, theirs) in RATIOS.items():
            add_ratio(samples, ratio, set_name, ours, theirs)
    for side in list(dict.fromkeys(s for (n, _, s) in samples.rows if n == "full_sharing")):
        prefix, uniq = (samples.by_run("full_sharing", s, side) for s in ("prefix", "uniq"))
        for run in prefix.keys() & uniq.keys():
            samples.run = run
            samples.add("ratio_prefix", prefix[run] / uniq[run], "x", "prefix", side)


# ---- table ----

def cell(samples, name, set_name, side):
    found = samples.range(name, set_name, side)
    if not found:
        return "-"
    low, middle, high = (f"{v:.0f}" if float(v).is_integer() else f"{v:.4g}" for v in found)
    return middle if low == high else f"{middle} ({low} - {high})"


def block(samples, set_name, title, sides):
    """One table: a row for each figure, a column for each side that has any."""
    have = [side for side in sides if any((s, d) == (set_name, side) for (_, s, d) in samples.rows)]
    names = dict.fromkeys(n for (n, s, d) in samples.rows if s == set_name and d in have)
    if not names:
        return
    print(f"\n{set_name or 'any memory'}: {title}: median (min - max)")
    print(f"  {'':46}" + "".join(f"{side:>32}" for side in have))
    for name in names:
        row = "".join(f"{cell(samples, name, set_name, side):>32}" for side in have)
        print(f"  {name + ', ' + samples.units[name]:46}{row}")


def table(samples, sets):
    """Prints it; returns how many bars were missed."""
    sides = dict.fromkeys(side for (_, _, side) in samples.rows)
    ksm = [side for side in sides if side.startswith("ksm")]
    ours = [side for side in sides if side.startswith(QUIRE)]
    for set_name in [entry["name"] for entry in sets] + [""]:
        block(samples, set_name, "Linux KSM", ksm)
        block(samples, set_name, "Quire", ours)
        block(samples, set_name, "ratios", ["both"])
    print(f"\n{'':54} {'figure':>9} {'bar':>6} {'goal':>6}")
    missed = sum(verdict(samples, *bar) for bar in BARS)
    exact(samples, sets)
    return missed


def exact(samples, sets):
    """bench-quire has ended the program if one page too few was saved."""
    names = ", ".join(e["name"] for e in sets)
    print(f"  {'pages saved, exactly the number that can be':52} {'':>9} {'':>6} {'':>6}  met: {names}")


def verdict(samples, title, name, set_name, side, bar, goal, more):
    """One bar; returns whether it was missed."""
    value = samples.median(name, set_name, side)
    if value is None:
        print(f"  {title:52} {'-':>9} {bar:>6} {goal or '':>6}  not measured")
        return False
    reached = value >= bar if more else value <= bar
    above = goal is not None and (value >= goal if more else value <= goal)
    word = "MISSED" if not reached else "goal" if above else "met"
    print(f"  {title:52} {value:>9.4g} {bar:>6} {goal or '':>6}  {word}")
    return not reached


# ---- for docs/results-ksm.md ----

def markdown(paths):
    """The bars as a table, and the raw lines, of files that Samples.write made."""
    text = "".join(path.read_text() for path in paths)
    rows = {(r["name"], r["set"], r["side"]): r for r in map(json.loads, text.splitlines())}
    print("| | figure: median (min - max) | bar | goal | |\n|---|---|---|---|---|")
    for title, name, set_name, side, bar, goal, more in BARS:
        row = rows.get((name, set_name, side))
        if not row:
            print(f"| {title} | not measured | {bar} | {goal or ''} | |")
            continue
        value = row["value"]
        reached = value >= bar if more else value <= bar
        word = "MISSED" if not reached else "goal" if goal and (value >= goal if more else value <= goal) else "met"
        print(f"| {title} | {value:.4g} ({row['min']:.4g} - {row['max']:.4g}), {row['runs']} runs | {bar} | {goal or ''} | {word} |")
    print(f"\n```\n{text}```")


# ---- plot ----

PLOT = """set terminal svg size 800,500 font "sans,13"
set output "{out}"
set title "CPU of one pass over {pages}, by the part of the pages written before it"
set xlabel "pages changed before the pass, %"
set ylabel "CPU, ns for each page of the set"
set logscale y
set yrange [0.01:*]
set xtics ({tics})
set key outside bottom center horizontal
set grid
set style data linespoints
plot {curves}
"""


def plot(samples, set_name, fractions, out):
    """One curve a side, with the range of the runs; the x axis has one tick a fraction."""
    sides = dict.fromkeys(side for (name, s, side) in samples.rows if name.startswith("pass_changed_") and s == set_name)
    if not sides or not shutil.which("gnuplot"):
        print("# no plot: " + ("gnuplot is missing (apt-get install gnuplot-nox)" if sides else "no figures for it"))
        return
    data, curves = [], []
    for side in sides:
        rows = [(i, samples.range(f"pass_changed_{f:g}", set_name, side)) for i, f in enumerate(fractions)]
        block = "\n".join(f"{i} {r[1]:.5g} {r[0]:.5g} {r[2]:.5g}" for i, r in rows if r)
        name = f"$curve{len(data)}"
        data.append(f"{name} << EOD\n{block}\nEOD\n")
        curves.append(f"{name} using 1:2:3:4 with yerrorlines pointtype 7 pointsize 0.5 title \"{side}\"")
    tics = ", ".join(f'"{100 * f:g}" {i}' for i, f in enumerate(fractions))
    text = "".join(data) + PLOT.format(out=out.with_suffix(".svg"), pages=f"the set '{set_name}'", tics=tics,
                                       curves=", ".join(curves))
    subprocess.run(["gnuplot"], input=text, text=True, check=True)
