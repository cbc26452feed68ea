# SPDX-License-Identifier: MIT
"""KTAP on standard output, and a small JSON file that `make test` adds up."""
import json
import time
from pathlib import Path

from .machine import BUILD


class Report:
    """Counts of one part of the tests."""

    def __init__(self, part):
        self.part = part
        self.passed = self.failed = 0
        self.failures = []
        self.skipped = []
        self.start = time.monotonic()
        print("KTAP version 1", flush=True)

    def case(self, ok, name, detail=()):
        """One result; detail: lines that help with a failure (or are worth seeing)."""
        number = self.passed + self.failed + 1
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            self.failures.append(name)
        print(f"{'ok' if ok else 'not ok'} {number} - {name}", flush=True)
        for line in detail:
            print(f"#   {line}", flush=True)
        return ok

    def finish(self):
        """Print the plan and the sum; returns the exit status."""
        seconds = time.monotonic() - self.start
        print(f"1..{self.passed + self.failed}")
        for name in self.skipped:
            print(f"# skipped: {name}")
        for name in self.failures:
            print(f"# failed: {name}")
        folder = BUILD / "results"
        folder.mkdir(parents=True, exist_ok=True)
        Path(folder / f"{self.part}.json").write_text(json.dumps(
            {"part": self.part, "passed": self.passed, "failed": self.failed,
             "seconds": round(seconds, 1), "failures": self.failures}) + "\n")
        print(f"# {self.part}: {seconds:.0f} s")
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0
