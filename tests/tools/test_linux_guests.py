#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The boot test of Linux guests passes a good life and notices each kind of bad one.

The machine here is made up: it answers the monitor's commands and prints what its guests say.
"""
import json
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
from quire_tools.console import Transcript            # noqa: E402
from quire_tools.linux_guests import MIB_PAGES, life  # noqa: E402
from quire_tools.session import Timeout               # noqa: E402

CPUS = {"a": 2, "b": 1}
SAID = "linux: user space at 4.50 s, kernel 6.1.0-1-amd64, {} cpus, 100 kB, work=files"


class MadeUp:
    """Two guests that do what they should, but for `sin`."""

    def __init__(self, sin=None):
        self.sin = sin
        self.heard = Transcript()
        self.pages = {name: 128 * MIB_PAGES - 1 for name in CPUS}
        self.round = 0
        for ident, (name, cpus) in enumerate(CPUS.items(), 1):
            said = SAID.format(1 if sin == "one CPU" else cpus)
            self.say(ident, name, said.replace("6.1.0", "5.10.0") if sin == "another kernel" else said)
        if sin == "stall":
            self.say(1, "a", "rcu: INFO: rcu_preempt self-detected stall on CPU")

    def say(self, ident, name, text):
        self.heard.hear(f"(d{ident} {name}) {text}")

    def until(self, ready, what):
        """Time passes: everybody ends a round of work, four times at most."""
        for _ in range(4):
            if ready():
                return
            self.round += 1
            for ident, name in enumerate(CPUS, 1):
                if not (name == "b" and self.sin == "no work" and self.round > 1):
                    bad = name == "b" and self.sin == "bad work"
                    self.say(ident, name, f"linux: work files round {self.round} " + ("BAD: a sum" if bad else "ok: 60"))
        if not ready():
            raise Timeout(f"waited for {what}")

    def command(self, line):
        verb, *words = line.split()
        lines, status = [], 0
        if verb == "mem-set" and not (words[0] == "b" and self.sin == "no balloon"):
            self.pages[words[0]] = int(words[1]) * MIB_PAGES - 1
        if verb == "mem-set" and self.sin == "crash":
            self.heard.hear("@quire shutdown domain=2 name=b reason=crash")
        if verb == "list":
            lines = [json.dumps({"name": n, "memory_pages": p}) for n, p in self.pages.items()]
        if verb == "exits":
            lines = [json.dumps({"schema": 1, "domain": 1, "name": words[0], "exits": 9, "cpuid": 7, "hlt": 2})]
        if verb == "shutdown":
            reason = "crash" if self.sin == "bad end" else "poweroff"
            self.heard.hear(f"@quire shutdown domain={list(CPUS).index(words[0]) + 1} name={words[0]} reason={reason}")
        if verb == "audit" and self.sin == "audit":
            status = 1
        return status, lines


def verdict(sin):
    notes = []
    try:
        return life(CPUS, full=128, less=96, kernel=r"^6\.1\.")(MadeUp(sin), notes), notes
    except Timeout as error:
        return [str(error)], notes


CASES = [
    (None, ""),
    ("one CPU", "a: has 1 CPUs, not 2"),
    ("another kernel", "a: runs kernel 5.10.0-1-amd64"),
    ("no work", "waited for"),
    ("bad work", "waited for"),
    ("no balloon", "b has 32767 pages"),
    ("crash", "b: ended early with crash"),
    ("bad end", "a: ended with crash"),
    ("stall", "a: rcu: INFO: rcu_preempt self-detected stall"),
    ("audit", "`audit` ended with status 1"),
]


def main():
    failed = 0
    print(f"1..{len(CASES)}")
    for number, (sin, words) in enumerate(CASES, 1):
        trouble, notes = verdict(sin)
        good = any(words in t for t in trouble) if sin else not trouble and any("cpuid 7" in n for n in notes)
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - " + (f"notices: {sin}" if sin else "a good life passes"))
        if not good:
            print(f"# heard: {trouble}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
