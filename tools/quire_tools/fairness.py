# SPDX-License-Identifier: MIT
"""Whether equal guests did equal work (the guest `busy` counts its own)."""
import re

BUSY = re.compile(r"^# busy vcpu=(\d+) work=(\d+)")
WITHIN = 0.03


def equal_work(session, notes):
    """Each busy vCPU within 3 % of the mean."""
    work = {}
    for guest in session.heard.guests.values():
        for line in guest.lines:
            if found := BUSY.match(line):
                work[f"{guest.name}/{found.group(1)}"] = int(found.group(2))
    if len(work) < 2:
        return ["fewer than two busy guests said how much they did"]
    mean = sum(work.values()) / len(work)
    notes.append("work: " + ", ".join(f"{name} {value / mean - 1:+.2%}" for name, value in work.items()))
    return [f"{name} did {value / mean - 1:+.1%} of the mean" for name, value in work.items()
            if abs(value / mean - 1) > WITHIN]
