# SPDX-License-Identifier: MIT
"""What a trace says of a running machine, held against the machine's memory: a check that a boot test may name."""
from .core_check import end
from .oracle import HOLDS, pages_of
from .snapshot import snapshot
from .trace_file import Reader, convert


def contents_told(path):
    """{(domain, guest frame): number of its content} at the end of a compact trace, and how many ticks it has."""
    held, ticks = {}, 0
    for op, *rest in Reader(path).operations():
        if op == "W":
            held.update(((rest[0], gfn), content) for gfn, content in rest[1])
        elif op == "O":
            for gfn in range(rest[1], rest[1] + rest[2]):
                held.pop((rest[0], gfn), None)
        elif op == "D":
            held = {at: c for at, c in held.items() if at[0] != rest[0]}
        ticks += op == "T"
    return held, ticks


def pages_seen(core):
    """Each page of the core file that guests alone write: ((domain, guest frame), its bytes)."""
    for run in core.runs:
        if run.kind in HOLDS and not run.pinned:
            for gfn, number in pages_of(run):
                yield (run.domain, gfn), core.content(run, number)


def differences(core, held):
    """Equal numbers, equal bytes, over all guests: sentences where that is not so, and how many pages were looked at."""
    number_of, bytes_of, wrong, pages = {}, {}, [], 0
    for at, content in pages_seen(core):
        pages += 1
        number = held.get(at)
        if number is None:
            wrong.append(f"domain {at[0]}: nothing was told of guest frame {at[1]:#x}")
        elif number_of.setdefault(content, number) != number or bytes_of.setdefault(number, content) != content:
            wrong.append(f"domain {at[0]}: guest frame {at[1]:#x} holds something else than content {number}")
    if number_of.get(bytes(4096), 0) != 0 or number_of.get(b"\xff" * 4096, 1) != 1:
        wrong.append("a constant page has another number")
    return wrong, pages


def trace_holds(session, notes):
    """A trace taken while guests wrote, scanned and shared says of each of their pages what it holds."""
    names = list(dict.fromkeys(g.name for g in session.heard.guests.values()))
    trouble = []
    with snapshot(session, names) as seen:
        for line in ("sleep 300", "trace off"):
            status, _ = session.command(line)
            trouble += [f"`{line}` ended with status {status}"] if status else []
        raw, compact = session.machine.trace_path(), session.machine.folder / "trace.compact"
        notes += convert(raw, compact)
        held, ticks = contents_told(compact)
        wrong, pages = differences(seen.core, held)
        notes.append(f"trace: {ticks} ticks, {Reader(compact).head['writes']} writes, {pages} pages compared")
        trouble += seen.troubles + wrong[:5] + ([] if ticks > 2 and pages > 1000 else ["too few ticks or pages: the case proves nothing"])
    return trouble + end(session, names)
