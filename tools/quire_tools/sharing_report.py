# SPDX-License-Identifier: MIT
"""Tables of how sharing among Linux guests grows: from the raw figures of tools/sharing-linux."""

PARTS = ("zero", "self", "inter")
PER_MIB = 256
NEAR = (50, 90, 99)  # per cent of what there is


def mib(pages):
    return f"{pages / PER_MIB:.1f}"


def variants(lines):
    """{variant: (its description, its samples)}"""
    out = {}
    for line in lines:
        if "tables" in line:
            out[line["variant"]] = (line, [s for s in lines if s["variant"] == line["variant"] and "at_s" in s])
    return out


def row(cells):
    return "| " + " | ".join(str(c) for c in cells) + " |"


def table(head, rows):
    return "\n".join([row(head), row(["---"] + ["---:"] * (len(head) - 1))] + [row(r) for r in rows])


def over_time(samples):
    rows = []
    for s in (s for s in samples if s["oracle"]):
        mine, truth = s["monitor"], s["oracle"]
        has, could = sum(mine.values()), sum(truth[k] for k in mine)
        rows.append([f"{s['at_s']:.1f}", s["user_space"], *(f"{mib(mine[p])} / {mib(truth[p])}" for p in PARTS),
                     f"{mib(has)} / {mib(could)}", f"{1000 * has // could / 10} %" if could else "-", mib(truth["pages"]), mib(s["counters"]["frames_free"]), s["counters"]["full_scans"]])
    return table(["seconds", "in user space", *PARTS, "all", "of all", "pages of guests", "free", "whole passes"], rows)


def reached(samples, part, percent):
    """The first counted time from which on the monitor's figure was that near to the oracle's."""
    since = None
    for s in (s for s in samples if s["oracle"]):
        could = sum(s["oracle"][k] for k in s["monitor"]) if part == "all" else s["oracle"][part]
        has = sum(s["monitor"].values()) if part == "all" else s["monitor"][part]
        if could and 100 * has >= percent * could:
            since = s["at_s"] if since is None else since
        elif could:
            since = None
    return "not" if since is None else f"{since:.1f}"


def all_reached(found):
    rows = [[name, part, *(reached(samples, part, percent) for percent in NEAR)] for name, (_, samples) in found.items() for part in (*PARTS, "all")]
    return table(["guests' command line", "part", *(f"{percent} %" for percent in NEAR)], rows)


def table_pages(found):
    keys = ("pages", "breaks", "of_constants", "ends", "most_breaks_of_a_page", "events", "lost")
    rows = [[name, *(d["tables"][k] for k in keys)] for name, (d, _) in found.items()]
    ages = [f"{name}: " + ", ".join(f"age {age}: {n}" for age, n in d["tables"]["breaks_by_age"].items()) for name, (d, _) in found.items()]
    return table(["guests' command line", "pages", "breaks by walks", "of these from a constant frame", "back-offs that ended",
                  "most breaks of one page", "events", "lost"], rows) + "\n\nBreaks by the age of the back-off that they began: " + "; ".join(ages) + "."


def summary(lines):
    found = variants(lines)
    return "\n\n".join([f"{name}\n{over_time(samples)}" for name, (_, samples) in found.items()] + [all_reached(found), table_pages(found)])


PAGE = """# Results: sharing among four Debian guests, over time

Made by

	make sharing-linux

{conditions}
One instruction is one nanosecond of this machine's time, for both of its CPUs together, so a second here is what a CPU does in {giga} instructions, and two runs agree but for
what the monitor's typing disturbs. Time counts from the guests' start, without the moments in which they were held. But the guests' own clocks go on meanwhile, so
that work which is due by then is done at once: counting often makes them busier, and sharing later. The scanner and its policy are the default ones,
which work in idle time and take one per cent of a busy CPU.

Each cell is what Quire saves / what there was to save, in MiB, at one and the same instant: the monitor's figure and the oracle's, which counts equal pages in a [core
file](dump-core.md) of that instant. *zero* are pages that are all zero (written once; never-touched memory saves nothing in any figure), *self* further pages equal within one guest, *inter* further pages equal
between guests; *all* has the few pages of ones too. The oracle leaves out pages that hold page tables of a guest and pinned ones. While guests work it counts pages that no
scanner could have seen in time, too: those that were just written.

{tables}

## When was how much of it reached?

The first counted second from which on Quire saved at least so much of what there was to save:

{reached}

## Pages with page tables

A table that is merged while it rests is broken by the next walk; then it is left alone, for about twice as long each time (`mm/guest_table.c`). The log of these events, read once a
second, was held against the rule that no page is broken twice in one back-off, and that no back-off is younger than the last: {verdict}.

{breaks}

## Raw figures

[results-sharing.jsonl](results-sharing.jsonl): a line a look at the figures, in pages; `oracle` is null where nothing was counted. `tools/sharing-linux --from docs/results-sharing.jsonl` makes
these tables of it.

## Real world

Linux's KSM finds none of this by itself: a process must ask with madvise, and 100 pages each 20 ms, its default, would take {ksm:.0f} s for one look at these guests' {guests} MiB, of which it needs two.
Distributions of Linux leave `init_on_free` off because it costs each free a page write; under a hypervisor that shares it turns free memory, which holds what was there last, into pages of zeroes.

## Exercises

1. Why is *zero* so much larger with `init_on_free=1`, and does *all* grow by as much?
2. Give the four guests four different kinds of work, or one kind. Which of the three parts changes?
"""


def verdict(tables):
    wrong, lost = (sum(t[key] for t in tables) for key in ("against_the_rule", "lost"))
    if wrong:
        return f"{wrong} events break it"
    return f"it holds, as far as {lost} events that were lost let us see" if lost else "it holds for every page"


def page(lines):
    found = variants(lines)
    first = next(iter(found.values()))[0]
    guests = 4 * 192
    tables = "\n\n".join(f"## Guests' command line: {name}\n\nUser space after " + ", ".join(f"{s:.1f} s ({n})" for n, s in sorted(d["user_space_s"].items())) +
                         f" of the guests' clocks.\n\n{over_time(samples)}" for name, (d, samples) in found.items())
    conditions = (f"on QEMU with AMD-V: a machine of {first['machine_mib']} MiB and {first['cpus']} CPUs, the four guests of `tests/boot/linux.cfg` of 192 MiB each, "
                  f"kernel {first['kernel']}, one share group.")
    return PAGE.format(conditions=conditions, giga="10^9", tables=tables, reached=all_reached(found), breaks=table_pages(found),
                       verdict=verdict([d["tables"] for d, _ in found.values()]),
                       ksm=guests * PER_MIB / 100 * 0.02, guests=guests)
