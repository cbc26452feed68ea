# SPDX-License-Identifier: MIT
"""Reclaim on the live machine: does idle memory move to who uses it, and what work is gained?"""
import json
import re

from .overcommit import audited

SERVED = re.compile(r"^# cache served=(\d+) found=(\d+) pages=(\d+)")
SETTLE_S = 60     # of the machine's own clock, at the most
STEADY = 10       # looks, a second apart (20 rounds in tax.cfg's case), in which nobody's memory changes by more than
WITHIN = 0.02     # this part
MEASURED = 4      # reports of the busy guest
GAIN = 1.3        # ESX's paper: more than 30 % between tau 0 and 0.75
EQUAL = 0.05      # without the tax, equal shares give equal memory


def look(session):
    """What `reclaim --json` says: the machine, and the domains by name."""
    _, lines = session.command("reclaim --json")
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    return rows[0], {row["name"]: row for row in rows[1:]}


def steady(seen):
    """Whether the last looks show the same memory for everybody."""
    last = seen[-STEADY - 1:]
    return len(last) > STEADY and all(abs(a[name] - last[-1][name]) <= WITHIN * last[-1][name] for a in last for name in last[-1])


def settled(session, trouble, what):
    """Wait until memory moves no more. Returns how many seconds passed until it moved for the last time."""
    seen = []
    for second in range(SETTLE_S):
        session.command("sleep 1000")
        _, domains = look(session)
        seen.append({name: row["memory"] for name, row in domains.items()})
        if steady(seen):
            return second - STEADY
    trouble.append(f"{what}: memory still moved after {SETTLE_S} s: {seen[-STEADY:]}")
    return SETTLE_S


def served(session, name):
    """The reports of a cache guest: (served, found, pages)."""
    for guest in session.heard.guests.values():
        if guest.name == name:
            return [tuple(int(n) for n in found.groups()) for line in guest.lines if (found := SERVED.match(line))]
    return []


def measure(session, name):
    """Items that it serves in MEASURED intervals from now on, and the pages that it has at the end."""
    before = len(served(session, name))
    while len(served(session, name)) < before + 1 + MEASURED:  # the first began before
        session.command("sleep 500")
    rows = served(session, name)[before + 1:before + 1 + MEASURED]
    return sum(row[0] for row in rows), rows[-1][2]


def with_tau(session, tau, trouble, notes):
    """(work of the busy guest, rows) once all has settled."""
    if session.command(f"reclaim set tau {tau}")[0]:
        trouble.append(f"`reclaim set tau {tau}` failed")
    seconds = settled(session, trouble, f"tau {tau}")
    work, pages = measure(session, "busy")
    machine, domains = look(session)
    held = ", ".join(f"{name} {row['costs'] / 256:.1f} MiB of which {row['active'] * 100 // max(row['costs'], 1)} % is used"
                     for name, row in domains.items())
    notes.append(f"tau {tau}: steady after {seconds} s, state {machine['state']}, {machine['free']} pages free (goal {machine['goal']}); {held}; "
                 f"the busy guest served {work} items from {pages} pages")
    return work, domains


def taxed(session, notes):
    """Equal guests, one busy: the same memory for both without the tax, more work with it. One does not follow."""
    trouble = []
    without, equal = with_tau(session, 0, trouble, notes)
    gained, taxed_rows = with_tau(session, 75, trouble, notes)
    notes.append(f"work gained by the tax: {gained / without - 1:+.0%}")
    if abs(equal["busy"]["costs"] / equal["idle"]["costs"] - 1) > EQUAL:
        trouble.append(f"without the tax the busy guest has {equal['busy']['costs']} pages, the idle one {equal['idle']['costs']}")
    if gained < GAIN * without:
        trouble.append(f"the busy guest served {without} items without the tax and {gained} with it")
    for name, row in taxed_rows.items():
        follows = "does not follow" if name == "deaf" else "yes"
        if row["follows"] != follows:
            trouble.append(f"{name}: `{row['follows']}` is shown, not `{follows}`")
        if name != "deaf" and abs(row["costs"] - row["target"]) > WITHIN * row["target"] + 16:
            trouble.append(f"{name} has {row['costs']} pages, its target is {row['target']}")
    audited(session, trouble)
    for name in taxed_rows:
        session.command(f"shutdown {name}")
    for name in taxed_rows:
        if session.command(f"wait {name} 60")[0]:
            trouble.append(f"{name} did not end")
    audited(session, trouble)
    return trouble
