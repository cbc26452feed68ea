# SPDX-License-Identifier: MIT
"""Checks of core files that a boot test may name: their bytes, and the monitor's figures, against what is known otherwise."""
from .core_file import Core
from .core_take import take
from .fill_pattern import Filled
from .oracle_check import compare
from .snapshot import snapshot


def against_oracle(session, notes):
    """With everything paused and settled, the monitor's figures equal the oracle's, and the oracle's those of `fill`."""
    guests = list(session.heard.guests.values())
    with snapshot(session, list(dict.fromkeys(g.name for g in guests))) as seen:
        trouble = seen.troubles + compare(seen, notes) + [t for g in guests for t in known_truth(seen.core, g)]
    return trouble + end(session, [g.name for g in guests])


def end(session, names):
    for name in names:
        session.command(f"shutdown {name}")
    trouble = []
    for line in ("wait all 60", "audit"):
        status, _ = session.command(line)
        trouble += [f"after the dump: `{line}` ended with status {status}"] if status else []
    return trouble


def known_truth(core, guest):
    """`fill` knows what it wrote: a test of the oracle itself, and of each byte in the file."""
    fill = Filled(guest.lines)
    if not fill.known:
        return [f"{guest.name}: said nothing of what it wrote"]
    t = core.part(guest.ident, fill.gfn, fill.pages)
    counted = (t.pages, t.distinct + (t.zero > 0) + (t.ones > 0), t.zero, t.ones)
    wrote = (fill.pages, fill.distinct, fill.zero, fill.ones)
    trouble = [f"{guest.name}: wrote {wrote} (pages, distinct, zero, ones), the oracle counts {counted}"] if counted != wrote else []
    return trouble + bytes_differ(core, guest, fill)


def bytes_differ(core, guest, fill):
    wrong = fill.differs(core, guest.ident)
    return [f"{guest.name}: {len(wrong)} of {fill.pages} pages are not what it wrote, the first is guest frame {wrong[0]:#x}"] if wrong else []


def one_of_several(session, notes):
    """`dump-core quiet` gives that guest's bytes while its neighbours run; a part of it gives that part; none of it stops them."""
    guest = next(g for g in session.heard.guests.values() if g.name == "quiet")
    fill = Filled(guest.lines)
    path = session.machine.folder / "one.core"
    if not fill.known:
        return ["quiet: said nothing of what it wrote"]
    trouble = []
    for what, first, count in (("whole", None, None), ("part", fill.gfn + 10, 20)):
        held, status = take(session, path, "quiet", first, count)
        if status or not held:
            return trouble + [f"`dump-core` ({what}) ended with status {status}"]
        with Core(path) as core:
            notes.append(f"{what}: {len(core.runs)} runs, {core.pages} pages stored, {path.stat().st_size} bytes")
            if list(core.domains) != [guest.ident]:
                trouble.append(f"{what}: holds the domains {list(core.domains)}")
            trouble += bytes_differ(core, guest, fill) if count is None else part_differs(core, guest, fill, first, count)
    return trouble + end(session, ["quiet", "other", "storm"])


def part_differs(core, guest, fill, first, count):
    whole = [gfn for gfn in range(fill.gfn, fill.gfn + fill.pages) if core.read(guest.ident, gfn) is not None]
    if whole != list(range(first, first + count)):
        return [f"part: {len(whole)} frames, not the {count} that were asked for"]
    part = Filled([])
    part.gfn, part.pages, part.seed, part.mix = fill.gfn, fill.pages, fill.seed, fill.mix
    return [f"part: guest frame {gfn:#x} differs" for gfn in part.differs(core, guest.ident) if first <= gfn < first + count]
