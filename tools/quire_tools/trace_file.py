# SPDX-License-Identifier: MIT
"""The compact form of a trace: tests/bench/trace_file.h has the format. Written here, read here to show what is in it."""
import struct
import zlib
from pathlib import Path

from . import trace_raw as raw
from .trace_raw import TraceError

MAGIC = b"QUIRETRC"
VERSION = 1
HEAD = struct.Struct("<8sII8Q")
HEAD_FIELDS = ("frames", "tick_ns", "number", "ticks", "writes", "contents", "lost", "domains")


def put(out, n):
    """A number, 7 bits a byte."""
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)


class Writer:
    """From records to operations."""

    def __init__(self):
        self.body = bytearray()
        self.head = dict.fromkeys(HEAD_FIELDS, 0)
        self.content = {raw.ZERO: 0, raw.ONES: 1}
        self.run = None      # (domain, [(gfn, content or None)]) of writes in ascending order
        self.faults = {}     # domain: [populates, breaks, kept]
        self.last_ns = None
        self.gaps = []       # nanoseconds between ticks

    def numbers(self, op, *numbers):
        self.body += op
        for n in numbers:
            put(self.body, n)

    def flush(self):
        if not self.run:
            return
        domid, pages = self.run
        self.numbers(b"W", domid, len(pages))
        before = -1
        for gfn, content in pages:
            put(self.body, gfn - before - 1)
            put(self.body, content)
            before = gfn
        self.run = None

    def write(self, domid, gfn, value):
        known = self.content.get(value)
        if known is None:
            self.content[value] = len(self.content)
        if not self.run or self.run[0] != domid or self.run[1][-1][0] >= gfn:
            self.flush()
            self.run = (domid, [])
        self.run[1].append((gfn, 0 if known is None else 1 + known))
        self.head["writes"] += 1

    def tick(self, ns):
        for domid, counts in sorted(self.faults.items()):
            self.numbers(b"F", domid, *counts)
        self.faults = {}
        self.numbers(b"T", 0 if self.last_ns is None else max(0, ns - self.last_ns))
        if self.last_ns is not None:
            self.gaps.append(ns - self.last_ns)
        self.last_ns = ns
        self.head["ticks"] += 1

    def fault(self, domid, which):
        self.faults.setdefault(domid, [0, 0, 0])[which] += 1

    def take(self, kind, domid, gfn, value):
        if kind == raw.WRITE:
            self.write(domid, gfn, value)
            return
        if kind == raw.POPULATE:
            self.fault(domid, 0)
            return
        if kind == raw.BREAK:
            self.fault(domid, 2 if value else 1)
            return
        self.flush()
        if kind == raw.START:
            self.head["frames"], self.head["number"] = gfn, value
        elif kind == raw.CREATE:
            self.numbers(b"C", domid, gfn, value & (1 << 48) - 1, value >> 48)
            self.head["domains"] += 1
        elif kind == raw.DESTROY:
            self.numbers(b"D", domid)
        elif kind == raw.OUT:
            self.numbers(b"O", domid, gfn, value)
        elif kind == raw.TICK:
            self.tick(value)
        elif kind == raw.LOST:
            self.head["lost"] = value
            self.numbers(b"L", value)

    def finish(self, path):
        self.flush()
        self.body += b"E"
        self.head["contents"] = len(self.content)
        self.head["tick_ns"] = sorted(self.gaps)[len(self.gaps) // 2] if self.gaps else 0
        data = HEAD.pack(MAGIC, VERSION, HEAD.size, *(self.head[f] for f in HEAD_FIELDS)) + bytes(self.body)
        Path(path).write_bytes(data + struct.pack("<I", zlib.adler32(data)))


def convert(source, path):
    """Writes the compact form; returns sentences about what was not well."""
    quality, writer, notes = raw.Quality(), Writer(), []
    first, stopped = True, False
    for kind, domid, _, gfn, value in raw.records(source, quality):
        if first and kind != raw.START:
            raise TraceError(f"{source}: its first record is no START: the beginning is missing; record it anew")
        if kind == raw.START and not first:
            raise TraceError(f"{source}: two traces one after the other; record each into a file of its own")
        if not raw.START <= kind <= raw.STOP:
            raise TraceError(f"{source}: a record of kind {kind}, which version {raw.VERSION} does not have")
        stopped |= kind == raw.STOP
        first = False
        writer.take(kind, domid, gfn, value)
    if quality.missing_packets:
        raise TraceError(f"{source}: {quality.missing_packets} packets are missing ({'; '.join(quality.notes[:3])}): record it anew")
    writer.finish(path)
    if not stopped:
        notes.append(f"{source}: no STOP: it was cut off; what came before is good")
    if writer.head["lost"]:
        notes.append(f"{source}: {writer.head['lost']} records of faults or balloon calls were lost; writes are never lost")
    if quality.skipped_bytes:
        notes.append(f"{source}: {quality.skipped_bytes} bytes belong to no packet, and were passed over")
    return notes


# ---- reading ----

class Reader:
    """The operations of a compact trace, as tuples."""

    def __init__(self, path):
        self.path, self.data = path, Path(path).read_bytes()
        if len(self.data) < HEAD.size + 5 or self.data[:8] != MAGIC:
            raise TraceError(f"{path}: not a compact trace; `tools/trace convert RAW {path}` makes one")
        fields = HEAD.unpack_from(self.data)
        if fields[1] != VERSION:
            raise TraceError(f"{path}: a trace of version {fields[1]}; this tool reads version {VERSION}: record it anew")
        if zlib.adler32(self.data[:-4]) != struct.unpack("<I", self.data[-4:])[0]:
            raise TraceError(f"{path}: cut or damaged: its sum is wrong; make it anew")
        self.head = dict(zip(HEAD_FIELDS, fields[3:]))
        self.at = HEAD.size

    def number(self):
        v = shift = 0
        while True:
            b = self.data[self.at]
            self.at += 1
            v |= (b & 0x7f) << shift
            shift += 7
            if b < 0x80:
                return v

    def operations(self):
        """('W', domid, [(gfn, content)]), or (letter, numbers...)"""
        count = {"C": 4, "D": 1, "O": 3, "F": 4, "L": 1, "T": 1, "E": 0}
        contents = 2
        while True:
            op = chr(self.data[self.at])
            self.at += 1
            if op != "W":
                yield (op, *(self.number() for _ in range(count[op])))
                if op == "E":
                    return
                continue
            domid, n, gfn, pages = self.number(), self.number(), 0, []
            for _ in range(n):
                gfn += self.number()
                content = self.number()
                if not content:
                    contents += 1
                pages.append((gfn, content - 1 if content else contents - 1))
                gfn += 1
            yield ("W", domid, pages)


def describe(path):
    """A table for people."""
    reader = Reader(path)
    domains, ns, faults = {}, 0, [0, 0, 0]
    for op, *rest in reader.operations():
        if op == "C":
            domains[rest[0]] = {"pages": rest[1], "group": rest[3], "writes": 0, "seen": set(), "out": 0}
        elif op == "W":
            domains[rest[0]]["writes"] += len(rest[1])
            domains[rest[0]]["seen"].update(gfn for gfn, _ in rest[1])
        elif op == "O":
            domains[rest[0]]["out"] += rest[2]
        elif op == "F":
            faults = [a + b for a, b in zip(faults, rest[1:])]
        elif op == "T":
            ns += rest[0]
    h = reader.head
    lines = [f"{path}: version {VERSION}, {len(reader.data)} bytes, trace {h['number']:#x}",
             f"  machine of {h['frames'] // 256} MiB; {h['ticks']} ticks of {h['tick_ns'] / 1e6:g} ms, {ns / 1e9:.1f} s in all",
             f"  {h['writes']} writes of {h['contents']} contents; faults: {faults[0]} populated, {faults[1]} broken, {faults[2]} taken over; {h['lost']} records lost"]
    for domid, d in sorted(domains.items()):
        lines.append(f"  domain {domid}: {d['pages'] // 256} MiB, group {d['group']}, {d['writes']} writes to {len(d['seen'])} pages, {d['out']} given back")
    return "\n".join(lines)
