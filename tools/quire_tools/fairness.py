# SPDX-License-Identifier: MIT
"""Whether equal guests got equal shares, by the machine's own clock and by the work they did."""
import json
import re

BUSY = re.compile(r"^# busy vcpu=(\d+) (work|longest_gap_ns)=(\d+)")
WITHIN = 0.03
SLICE_MS = 10.0


def unequal(what, values, notes):
    """Troubles of those more than 3 % off the mean."""
    if len(values) < 2:
        return [f"fewer than two busy guests to compare by {what}"]
    mean = sum(values.values()) / len(values)
    notes.append(f"{what}: " + ", ".join(f"{name} {value / mean - 1:+.2%}" for name, value in sorted(values.items())))
    return [f"{name} is {value / mean - 1:+.1%} off the mean of {what}" for name, value in values.items()
            if abs(value / mean - 1) > WITHIN]


def said(session, what):
    """What the busy guests said of themselves: work, or the longest time that one was off its CPU."""
    values = {}
    for guest in session.heard.guests.values():
        for line in guest.lines:
            found = BUSY.match(line)
            if found and found.group(2) == what:
                values[f"{guest.name}/{found.group(1)}"] = int(found.group(3))
    return values


def fair(session, notes):
    """Equal CPU time within 3 %. Where instructions are counted exactly (Bochs), equal work within 3 %
    too, and nobody who could run waited longer than two slices."""
    _, lines = session.command("vcpu-list --json")
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    busy = [row for row in rows if row["name"].startswith("busy")]
    trouble = unequal("CPU time", {row["name"]: row["time_ms"] for row in busy}, notes)
    waits = {name: ns / 1e6 for name, ns in said(session, "longest_gap_ns").items()}
    notes.append("longest time off the CPU: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in waits.items()))
    if session.machine.options.machine == "bochs":
        trouble += unequal("work", said(session, "work"), notes)
        trouble += [f"{name} waited {ms:.1f} ms for a CPU" for name, ms in waits.items() if ms > 2 * SLICE_MS]
    for row in rows:
        session.command(f"shutdown {row['name']}")
    return trouble + ended_well(session)


def ended_well(session):
    """Everybody shuts down, and the audit is clean."""
    return [f"`{line}` ended with status {status}" for line in ("wait all 60", "audit")
            if (status := session.command(line)[0])]


def both_cpus(session, notes):
    """Guest code has run on CPU 0 and on CPU 1, for most of the time that two busy vCPUs were there."""
    _, lines = session.command("info --json")
    cpus = {row["cpu"]: row["guest_ms"] for line in lines if line.startswith("{") and "cpu" in (row := json.loads(line))}
    notes.append("; ".join(f"CPU {cpu} ran guests for {ms:.0f} ms" for cpu, ms in cpus.items()))
    trouble = [] if len(cpus) == 2 and min(cpus.values()) > 600 else ["one of two CPUs hardly ran guest code"]
    return trouble + ended_well(session)
