# SPDX-License-Identifier: MIT
"""The log of pages that hold page tables of guests (`table-log` in the monitor): collected, and held against its rule.

The rule: at most one break of a page in each of its back-offs, and each back-off older than the last.
"""
import re
from collections import Counter

EVENT = re.compile(r" (\d+):([0-9a-f]+):([bcpo]):(\d+):(\d+)")
BREAKS, MARKS = "bc", "bcp"
OLDEST = 15


class TableLog:
    def __init__(self):
        self.next = 0
        self.lost = 0
        self.events = []  # (page, what, age, pass); page is (domain, guest frame)

    def fetch(self, session):
        """Ask for what is new."""
        tags = len(session.heard.tags)
        status, _ = session.command(f"table-log {self.next}")
        for word, pairs, line in session.heard.tags[tags:]:
            if word == "table-log":
                self.hear(int(pairs["first"]), line)
        return status

    def hear(self, first, line):
        self.lost += first - self.next
        found = EVENT.findall(line)
        self.events += [((int(d), int(gfn, 16)), what, int(age), int(scan)) for d, gfn, what, age, scan in found]
        self.next = first + len(found)

    def pages(self):
        """{page: its events}"""
        out = {}
        for page, *event in self.events:
            out.setdefault(page, []).append(event)
        return out

    def troubles(self):
        """A sentence for each break that the rule forbids."""
        out = []
        for (domain, gfn), events in self.pages().items():
            marked, age = False, 0
            for what, now, scan in events:
                if what in MARKS:
                    if what in BREAKS and marked:
                        out.append(f"d{domain} frame {gfn:#x}: broken twice in one back-off (pass {scan})")
                    if now < age or now == age != OLDEST:
                        out.append(f"d{domain} frame {gfn:#x}: its back-off did not grow: {age}, then {now} (pass {scan})")
                    marked, age = True, now
                else:
                    marked = False
        return out

    def figures(self):
        """What it came to, as a dictionary."""
        pages = self.pages()
        breaks = Counter(page for page, what, _, _ in self.events if what in BREAKS)
        return {"events": len(self.events), "lost": self.lost, "against_the_rule": len(self.troubles()), "pages": len(pages), "breaks": sum(breaks.values()),
                "of_constants": sum(what == "c" for _, what, _, _ in self.events),
                "ends": sum(what == "o" for _, what, _, _ in self.events),
                "most_breaks_of_a_page": max(breaks.values(), default=0),
                "pages_by_breaks": {str(n): count for n, count in sorted(Counter(breaks.values()).items())},
                "breaks_by_age": {str(age): n for age, n in sorted(Counter(a for _, w, a, _ in self.events if w in BREAKS).items())}}
