#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The log of page-table pages is held against its rule, and the tables say when a share was reached for good."""
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
from quire_tools.sharing_report import over_time, page, reached, summary, verdict  # noqa: E402
from quire_tools.table_log import TableLog                                        # noqa: E402


def log(*lines):
    t = TableLog()
    for first, text in lines:
        t.hear(first, f"@quire table-log first={first}{text}")
    return t


def obeyed():
    t = log((0, " 1:a:b:1:3 2:a:c:1:3 1:a:o:1:4"), (3, " 1:a:p:2:5 1:a:o:2:9 1:a:b:3:9 3:1f:b:15:9 3:1f:o:15:9 3:1f:b:15:9"))
    assert t.troubles() == [] and t.next == 9 and t.lost == 0
    f = t.figures()
    assert (f["pages"], f["breaks"], f["of_constants"], f["ends"], f["most_breaks_of_a_page"]) == (3, 5, 1, 3, 2), f
    assert f["pages_by_breaks"] == {"1": 1, "2": 2} and f["breaks_by_age"] == {"1": 2, "3": 1, "15": 2}, f


def broken_twice():
    t = log((0, " 1:a:b:1:3 1:b:o:1:3 1:a:b:2:4"))
    assert t.troubles() == ["d1 frame 0xa: broken twice in one back-off (pass 4)"], t.troubles()
    assert t.figures()["against_the_rule"] == 1


def does_not_grow():
    t = log((0, " 1:a:b:3:3 1:a:o:3:3 1:a:b:1:4"))
    assert t.troubles() == ["d1 frame 0xa: its back-off did not grow: 3, then 1 (pass 4)"], t.troubles()


def lost():
    t = log((0, " 1:a:b:1:3"), (7, " 1:a:o:1:3"))
    assert (t.lost, t.next) == (6, 8)
    assert verdict([t.figures()]).startswith("it holds, as far as 6 events")
    assert verdict([{"against_the_rule": 2, "lost": 0}]) == "2 events break it"


def sample(at, has, could, oracle=True):
    def parts(n):
        return {"zero": n, "ones": 0, "self": n * 2, "inter": 0}
    return {"variant": "v", "at_s": at, "user_space": 4, "monitor": parts(has), "counters": {"frames_free": 256, "full_scans": 7},
            "oracle": {**parts(could), "pages": 512} if oracle else None}


SAMPLES = [sample(1.0, 95, 100), sample(2.0, 10, 100), sample(3.0, 60, 100), sample(3.5, 99, 0, False), sample(4.0, 91, 100)]


def for_good():
    assert reached(SAMPLES, "zero", 90) == "4.0" and reached(SAMPLES, "all", 50) == "3.0"
    assert reached(SAMPLES, "zero", 99) == "not" and reached(SAMPLES, "inter", 50) == "not"
    text = over_time(SAMPLES)
    assert "| 3.0 | 4 | 0.2 / 0.4 | 0.5 / 0.8 | 0.0 / 0.0 | 0.7 / 1.2 | 60.0 % | 2.0 | 1.0 | 7 |" in text, text
    assert len(text.splitlines()) == 6


def whole_page():
    run = {"variant": "v", "tables": log((0, " 1:a:b:1:3")).figures(), "kernel": "6.1", "user_space_s": {"deb-1": 2.5}, "machine_mib": 1024, "cpus": 2}
    lines = [run] + SAMPLES
    text = page(lines)
    for words in ("## Guests' command line: v", "User space after 2.5 s (deb-1)", "it holds for every page", "kernel 6.1", over_time(SAMPLES),
                  "## Real world", "## Exercises"):
        assert words in text, words
    assert "v | zero | 3.0 | 4.0 | not" in summary(lines)


CASES = [obeyed, broken_twice, does_not_grow, lost, for_good, whole_page]


def main():
    failed = 0
    print(f"1..{len(CASES)}")
    for number, case in enumerate(CASES, 1):
        try:
            case()
            print(f"ok {number} - {case.__name__}")
        except AssertionError as error:
            failed += 1
            print(f"not ok {number} - {case.__name__}\n# {error}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
