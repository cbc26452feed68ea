# SPDX-License-Identifier: MIT
"""How many pages could be saved, counted from a snapshot of machine memory.

Shares no code with Quire and knows no fingerprints: every page of every guest
is looked up by its whole content. Within a share group

	saved = pages - distinct contents + 1 for each constant content present

because the two constant pages (all zero bits, all one bits) need no frame of
anyone's. Pages that a rule keeps out of sharing are counted apart.
"""
import re
from dataclasses import dataclass, field, replace

PAGE = 4096
ZERO, ONES = bytes(PAGE), b"\xff" * PAGE
# What the monitor's map calls memory that holds a guest's bytes.
HOLDS = {"private", "shared", "zero", "ones"}


@dataclass
class Run:
    """Consecutive guest frames in consecutive machine frames (or all in one constant frame)."""
    domain: int
    gfn: int
    count: int
    mfn: int
    kind: str
    pinned: bool
    guest_table: bool

    def cut(self, first, pages):
        """The part of it that lies in these guest frames; may be empty."""
        begin, end = max(self.gfn, first), min(self.gfn + self.count, first + pages)
        shift = begin - self.gfn if self.kind not in ("zero", "ones") else 0
        return replace(self, gfn=begin, count=max(0, end - begin), mfn=self.mfn + shift)


@dataclass
class Truth:
    pages: int = 0
    distinct: int = 0
    zero: int = 0
    ones: int = 0
    self_saved: int = 0
    inter_saved: int = 0
    pinned: int = 0
    guest_tables: int = 0
    contents: dict = field(default_factory=dict)

    @property
    def saved(self):
        return self.zero + self.ones + self.self_saved + self.inter_saved


STRETCH = re.compile(r" ([0-9a-f]+)\+(\d+)=([0-9a-f]+):(\w+)(:pinned)?(:table)?")


def runs_of(tags):
    """The stretches of the map lines among tagged lines."""
    for word, pairs, line in tags:
        if word == "map":
            for gfn, count, mfn, kind, pinned, table in STRETCH.findall(line):
                yield Run(int(pairs["domain"]), int(gfn, 16), int(count), int(mfn, 16), kind, bool(pinned), bool(table))


def pages_of(run):
    step = 0 if run.kind in ("zero", "ones") else 1
    for i in range(run.count):
        yield run.gfn + i, run.mfn + i * step


def truth(dump, runs, group_of):
    """dump: an open binary file; group_of: domain id -> anything that is equal for one share group."""
    t = Truth()
    seen = {}  # (group, content) -> {domain: pages}
    for run in runs:
        if run.kind not in HOLDS:
            continue
        if run.pinned or run.guest_table:
            t.pinned += run.count if run.pinned else 0
            t.guest_tables += 0 if run.pinned else run.count
            continue
        for _, mfn in pages_of(run):
            dump.seek(mfn * PAGE)
            content = dump.read(PAGE)
            t.pages += 1
            if content == ZERO:
                t.zero += 1
            elif content == ONES:
                t.ones += 1
            else:
                holders = seen.setdefault((group_of(run.domain), content), {})
                holders[run.domain] = holders.get(run.domain, 0) + 1
    for holders in seen.values():
        t.distinct += 1
        t.inter_saved += len(holders) - 1
        t.self_saved += sum(holders.values()) - len(holders)
    return t
