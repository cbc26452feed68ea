# SPDX-License-Identifier: MIT
"""How many pages could be saved, counted from memory itself: a snapshot of the machine, or images of guests.

Shares no code with Quire and knows no fingerprints: two pages are equal when all of their bytes have been compared.
Within a share group

	saved = pages - distinct contents + 1 for each constant content present

because the two constant pages (all zero bits, all one bits) need no frame of
anyone's. Pages that a rule keeps out of sharing are counted apart.
"""
import re
from dataclasses import dataclass, replace

PAGE = 4096
ZERO, ONES = bytes(PAGE), b"\xff" * PAGE
# What the monitor's map calls memory that holds a guest's bytes.
HOLDS = {"private", "shared", "zero", "ones"}
# Of these each guest frame has a machine frame to itself in the map.
FRAMES = {"private", "shared", "foreign"}


@dataclass
class Run:
    """Consecutive guest frames in consecutive machine frames, unless the kind has no frames of its own.

    In a core file `mfn` is the number of the page in that file.
    """
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
        shift = begin - self.gfn if self.kind in FRAMES else 0
        return replace(self, gfn=begin, count=max(0, end - begin), mfn=self.mfn + shift)


@dataclass
class Truth:
    """Counts of pages; `distinct` is without the constant contents."""
    pages: int = 0
    distinct: int = 0
    zero: int = 0
    ones: int = 0
    self_saved: int = 0
    inter_saved: int = 0
    pinned: int = 0
    guest_tables: int = 0

    @property
    def saved(self):
        return self.zero + self.ones + self.self_saved + self.inter_saved


class Tally:
    """Which contents occur, how often, and with whom.

    Pages are grouped by Python's hash of their bytes, and compared with one page of each content that has that
    hash: read(where) gives it again. So no content is kept, and no collision counts as equal.
    """

    def __init__(self, read):
        self.read = read
        self.pages = 0
        self.constants = {ZERO: {}, ONES: {}}  # content -> {owner: pages}
        self.seen = {}                         # (group, hash) -> [(where, {owner: pages})]

    def find(self, content, group=None):
        """{owner: pages} of a content; None if it does not occur."""
        if content in self.constants:
            return self.constants[content] or None
        for where, holders in self.seen.get((group, hash(content)), ()):
            if self.read(where) == content:
                return holders
        return None

    def add(self, owner, content, where, group=None):
        self.pages += 1
        holders = self.constants[content] if content in self.constants else self.find(content, group)
        if holders is None:
            holders = {}
            self.seen.setdefault((group, hash(content)), []).append((where, holders))
        holders[owner] = holders.get(owner, 0) + 1

    def holders(self):
        """{owner: pages} of each content that is not constant."""
        return (holders for entries in self.seen.values() for _, holders in entries)

    def truth(self):
        t = Truth(pages=self.pages, zero=sum(self.constants[ZERO].values()), ones=sum(self.constants[ONES].values()))
        for holders in self.holders():
            t.distinct += 1
            t.inter_saved += len(holders) - 1
            t.self_saved += sum(holders.values()) - len(holders)
        return t


STRETCH = re.compile(r" ([0-9a-f]+)\+(\d+)=([0-9a-f]+):(\w+)(:pinned)?(:table)?")


def runs_of(tags):
    """The stretches of the map lines among tagged lines."""
    for word, pairs, line in tags:
        if word == "map":
            for gfn, count, mfn, kind, pinned, table in STRETCH.findall(line):
                yield Run(int(pairs["domain"]), int(gfn, 16), int(count), int(mfn, 16), kind, bool(pinned), bool(table))


def pages_of(run):
    step = 1 if run.kind in FRAMES else 0
    for i in range(run.count):
        yield run.gfn + i, run.mfn + i * step


def truth(read, runs, group_of):
    """read(n): the bytes of a page of `runs`; group_of: domain id -> anything that is equal for one share group."""
    constant = {"zero": ZERO, "ones": ONES}
    tally = Tally(read)
    pinned = guest_tables = 0
    for run in runs:
        if run.kind not in HOLDS:
            continue
        if run.pinned or run.guest_table:
            pinned += run.count if run.pinned else 0
            guest_tables += 0 if run.pinned else run.count
            continue
        for _, n in pages_of(run):
            tally.add(run.domain, constant.get(run.kind) or read(n), n, group_of(run.domain))
    return replace(tally.truth(), pinned=pinned, guest_tables=guest_tables)
