# SPDX-License-Identifier: MIT
"""Takes a core file of a running machine: the monitor's `dump-core` holds the guests, the emulator gives their memory."""
import json
import os

from . import core_file
from .oracle import FRAMES, pages_of, runs_of

PLACES = ("memory_pages", "low_pages", "high_first", "high_pages")
RELEASE = b" "  # any key does
REGISTERS = ("core-vcpu", "core-control")


class Held:
    """What `dump-core` told of the instant."""

    def __init__(self, tags, objects):
        self.tag = next(pairs for word, pairs, _ in tags if word == "core")
        self.runs = list(runs_of(tags))
        self.total = next((o for o in objects if "domain" not in o), None)
        sharing = {o["domain"]: o for o in objects if "domain" in o}
        self.domains = [{"domain": int(p["domain"]), "name": p["name"], "group": int(p["group"]),
                         **{key: int(p[key]) for key in PLACES}, "sharing": sharing[int(p["domain"])],
                         "vcpus": registers(tags, p["domain"], int(p["vcpus"]))}
                        for word, p, _ in tags if word == "core-domain"]

    def only(self, name):
        """Of these guests the one of that name."""
        self.domains = [d for d in self.domains if name in (d["name"], str(d["domain"]))]
        self.runs = [run for run in self.runs if run.domain == self.domains[0]["domain"]]

    def description(self):
        return {"version": core_file.VERSION, "time_ns": int(self.tag["time_ns"]), "total": self.total, "domains": self.domains}


def registers(tags, domain, vcpus):
    """A dictionary for each vCPU, empty for one that was never started."""
    out = [{} for _ in range(vcpus)]
    for word, pairs, _ in tags:
        if word in REGISTERS and pairs["domain"] == domain:
            out[int(pairs["vcpu"])].update({k: int(v, 16) for k, v in pairs.items() if k not in ("domain", "vcpu")})
    return out


def told(heard):
    """What the last `dump-core` has told."""
    line = next(line for word, pairs, line in reversed(heard.tags) if word == "core" and "version" in pairs)
    tag = max(i for i, t in enumerate(heard.tags) if t[2] == line)
    first = max(i for i, text in enumerate(heard.lines) if text == line)
    return Held(heard.tags[tag:], [json.loads(text) for text in heard.lines[first:] if text.startswith("{")])


def fetch(machine, held, path):
    """The memory of what is held, into a core file."""
    memory = machine.folder / "memory.dump"
    try:
        machine.dump(memory, [mfn for run in held.runs if run.kind in FRAMES for _, mfn in pages_of(run)])
        with open(memory, "rb") as f:
            return core_file.write(path, held.description(), held.runs, f)
    finally:
        memory.unlink(missing_ok=True)


def take(session, path, name="all", first=None, count=None):
    """Write a core file; returns (Held, status), Held None if the monitor refused."""
    # Bochs' debugger reads through the page tables of the CPU, which must not be a guest's: nobody may run.
    whole = session.machine.options.machine == "bochs" and name != "all"
    line = " ".join(["dump-core", "all" if whole else name] + ([str(first), str(count)] if first is not None else []))
    seen, _ = session.enter(line)
    session.until(lambda: is_held(session.heard) or session.heard.dones > seen, "the guests to be held")
    if session.heard.dones > seen:
        return None, session.ended(line, seen)
    held = told(session.heard)
    if whole:
        held.only(name)
    try:
        fetch(session.machine, held, path)
    finally:
        os.write(session.machine.fd, RELEASE)
        status = session.ended(line, seen)
    held.held_ns = int(session.heard.tag("core")["held_ns"])
    return held, status


def is_held(heard):
    """`@quire core held` has nothing behind it; the lines before and after have."""
    return heard.tag("core") == {}
