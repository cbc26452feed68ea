# SPDX-License-Identifier: MIT
"""The raw form of a trace, as it leaves the machine (mm/trace_format.h): packets of records, and maybe other bytes
between them, which an emulator prints on the same output."""
import struct
from dataclasses import dataclass, field
from pathlib import Path

VERSION = 1
MAGIC = b"QTRC"
HEAD = struct.Struct("<4sHHII")
RECORD = struct.Struct("<BBHIQ")
START, CREATE, DESTROY, WRITE, POPULATE, BREAK, OUT, TICK, LOST, STOP = range(1, 11)
ZERO, ONES = 0, 1


class TraceError(Exception):
    """A trace that is not one; the text says what, where, and what to do."""


@dataclass
class Quality:
    """What was wrong with the bytes between the records."""
    packets: int = 0
    skipped_bytes: int = 0
    missing_packets: int = 0
    notes: list = field(default_factory=list)


def packet_sum(body):
    return sum(struct.unpack(f"<{len(body) // 4}I", body)) & 0xffffffff


def packet_at(data, at):
    """(head, body) of the packet at this place, or None."""
    if at + HEAD.size > len(data):
        return None
    head = HEAD.unpack_from(data, at)
    body = data[at + HEAD.size:at + HEAD.size + 16 * head[2]]
    if len(body) != 16 * head[2] or packet_sum(body) != head[4]:
        return None
    return head, body


def records(path, quality):
    """Each record as (type, domid, serial, gfn, value). A damaged packet is left out, and noted."""
    data = Path(path).read_bytes()
    at, expected = 0, 0
    if MAGIC not in data:
        raise TraceError(f"{path}: no packet of a trace in {len(data)} bytes; was `trace on` typed, and was the machine started with --trace?")
    while (found := data.find(MAGIC, at)) >= 0:
        quality.skipped_bytes += found - at
        packet = packet_at(data, found)
        if packet is None:
            quality.notes.append(f"byte {found}: a packet that is cut or damaged")
            quality.skipped_bytes += 4
            at = found + 4
            continue
        (_, version, count, number, _), body = packet
        if version != VERSION:
            raise TraceError(f"{path}: packets of version {version}; this tool reads version {VERSION}: use the one that belongs to the image that made them")
        if number != expected and quality.packets:
            quality.missing_packets += max(0, number - expected)
        quality.packets += 1
        expected = number + 1
        yield from RECORD.iter_unpack(body)
        at = found + HEAD.size + 16 * count
    quality.skipped_bytes += len(data) - at
