#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`make test`: the lanes of a group run at the same time, the parts of a lane one after the other, and each is told once.

The parts here are made up: processes that end when the test says so.
"""
import importlib.machinery
import importlib.util
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
loader = importlib.machinery.SourceFileLoader("test_all", str(TOP / "tools/test-all"))
test_all = importlib.util.module_from_spec(importlib.util.spec_from_loader("test_all", loader))
loader.exec_module(test_all)


class MadeUp:
    """A process that ends with `status` at its n-th poll."""

    def __init__(self, polls, status):
        self.polls, self.status, self.returncode = polls, status, None

    def poll(self):
        self.polls -= 1
        self.returncode = self.status if self.polls <= 0 else None
        return self.returncode


def follow(lanes, polls, status):
    """What was started, and what was told, in order."""
    said = []

    def start(part):
        said.append(f"start {part}")
        return MadeUp(polls[part], status.get(part, 0))

    test_all.start = start
    test_all.time.sleep = lambda _: None
    for part, code in test_all.follow(lanes):
        said.append(f"{part} {code}")
    return said


def main():
    said = follow([["a", "b"], ["c"]], {"a": 2, "b": 2, "c": 5}, {"b": 2})
    parts = [part for group in test_all.GROUPS for lane in group for part in lane]
    checks = [
        ("both lanes begin at once", said[:2] == ["start a", "start c"]),
        ("the next part of a lane begins when the one before has ended", said.index("start b") > said.index("a 0")),
        ("the other lane is not waited for", said.index("start b") < said.index("c 0")),
        ("each part is told once, with its status", sorted(s for s in said if s[:5] != "start") == ["a 0", "b 2", "c 0"]),
        ("no part is run twice", len(parts) == len(set(parts))),
        ("the boot tests, of Debian guests too, are parts", {"boot-svm", "boot-vtx", "boot-linux-svm"} <= set(parts)),
    ]
    print(f"1..{len(checks)}")
    for number, (name, good) in enumerate(checks, 1):
        print(f"{'ok' if good else 'not ok'} {number} - {name}")
    if not all(good for _, good in checks):
        print(f"# heard: {said}")
    return not all(good for _, good in checks)


if __name__ == "__main__":
    sys.exit(main())
