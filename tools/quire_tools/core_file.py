# SPDX-License-Identifier: MIT
"""Core files: the memory of guests at one instant, each frame stored once. The format is told in docs/dump-core.md.

	file header	magic, version, bytes of the description, runs, pages, offset of the pages
	description	JSON: time, the monitor's figures, domains with their vCPUs' registers
	runs		which guest frames are in which pages, and what the hypervisor calls them
	pages		4096 bytes each, in the order of their machine frames
"""
import json
import mmap
import os
import struct

from .oracle import FRAMES, ONES, PAGE, ZERO, Run, pages_of, truth

MAGIC, VERSION = b"QuireCor", 1
HEAD = struct.Struct("<8sIIQQQ")
RUN = struct.Struct("<QQQHHI")
KINDS = ["private", "shared", "zero", "ones", "untouched", "ballooned", "foreign", "compressed"]
PINNED, GUEST_TABLE = 1, 2
NO_PAGE = 2 ** 64 - 1


class CoreError(Exception):
    """A file that is no core file, or not a whole one; the text says why."""


def private(path, flags):
    """As confidential as the guests: for its owner alone."""
    return os.open(path, flags, 0o600)


def write(path, description, runs, memory):
    """memory: an open binary file with each machine frame at its place; returns the number of pages stored."""
    frames = sorted({mfn for run in runs if run.kind in FRAMES for _, mfn in pages_of(run)})
    number = {mfn: n for n, mfn in enumerate(frames)}
    text = json.dumps(description).encode()
    table = b"".join(RUN.pack(r.gfn, r.count, number[r.mfn] if r.kind in FRAMES else NO_PAGE, r.domain, KINDS.index(r.kind),
                              PINNED * r.pinned + GUEST_TABLE * r.guest_table) for r in runs)
    start = -(-(HEAD.size + len(text) + len(table)) // PAGE) * PAGE
    with open(path, "wb", opener=private) as out:
        out.write(HEAD.pack(MAGIC, VERSION, len(text), len(runs), len(frames), start) + text + table)
        out.truncate(start)
        out.seek(start)
        for mfn in frames:
            memory.seek(mfn * PAGE)
            page = memory.read(PAGE)
            if len(page) != PAGE:
                raise CoreError(f"machine frame {mfn:#x} is not in the memory that was fetched")
            out.write(page)
    return len(frames)


class Core:
    """A core file, read."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            head = f.read(HEAD.size)
            if len(head) < HEAD.size or head[:8] != MAGIC:
                raise CoreError(f"{path}: not a core file of Quire's; a line `!dump-core FILE` in a script of tools/run writes one")
            _, version, text, runs, self.pages, start = HEAD.unpack(head)
            if version != VERSION:
                raise CoreError(f"{path}: version {version} of the format, and this program reads {VERSION}")
            self.description = json.loads(f.read(text))
            table = f.read(runs * RUN.size)
            size = f.seek(0, 2)
            if size != start + self.pages * PAGE:
                raise CoreError(f"{path}: has {size} bytes, but should have {start + self.pages * PAGE}: was it cut off?")
            self.map = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        self.start = start
        self.runs = [Run(domain, gfn, count, page, KINDS[kind], bool(flags & PINNED), bool(flags & GUEST_TABLE))
                     for gfn, count, page, domain, kind, flags in RUN.iter_unpack(table)]
        self.total = self.description["total"]
        self.domains = {d["domain"]: d for d in self.description["domains"]}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.map.close()

    def page(self, number):
        at = self.start + number * PAGE
        return self.map[at:at + PAGE]

    def content(self, run, number):
        """The bytes of one page of a run, None where there is no memory."""
        if run.kind in FRAMES:
            return self.page(number)
        return {"zero": ZERO, "untouched": ZERO, "ones": ONES}.get(run.kind)

    def guest(self, word):
        """A domain by name or number."""
        found = [d for d in self.domains.values() if word in (d["name"], str(d["domain"]))]
        if not found:
            raise CoreError(f"{self.path}: no domain `{word}`; there are {', '.join(d['name'] for d in self.domains.values())}")
        return found[0]

    def read(self, domain, gfn):
        """The bytes of one guest frame; None where there is no memory."""
        for run in self.runs:
            if run.domain == domain and run.gfn <= gfn < run.gfn + run.count:
                return self.content(run, next(n for g, n in pages_of(run.cut(gfn, 1))))
        return None

    def group_of(self, domain):
        return self.domains[domain]["group"]

    def truth(self):
        """The oracle's count over all guests."""
        return truth(self.page, self.runs, self.group_of)

    def part(self, domain, first, pages):
        """The oracle's truth of some pages of one guest alone, whatever they are mapped to."""
        wanted = [run.cut(first, pages) for run in self.runs if run.domain == domain]
        return truth(self.page, [run for run in wanted if run.count], lambda d: d)
