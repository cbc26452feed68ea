# SPDX-License-Identifier: MIT
"""All guests at one instant, with nothing left to merge: the monitor's figures, the maps and the memory, from one core file."""
import contextlib

from .core_file import Core
from .core_take import take


class Snapshot:
    """What was seen while nothing ran: core (the file, read), total (the monitor's figures), truth (the oracle's)."""

    def __init__(self, core, troubles):
        self.core = core
        self.troubles = troubles
        self.runs = core.runs
        self.total = core.total
        self.truth = core.truth()


@contextlib.contextmanager
def snapshot(session, names):
    """Pause and settle the guests, look, dump; yields a Snapshot. They go on afterwards."""
    troubles = []
    # Without `scan off` what settles later (a page that was a page table) is merged before we have counted.
    for line in [f"pause {name}" for name in names] + ["scan off", "settle"]:
        status, _ = session.command(line)
        troubles += [f"`{line}` ended with status {status}"] if status else []
    path = session.machine.folder / "guests.core"
    held, status = take(session, path)
    troubles += [f"`dump-core all` ended with status {status}"] if status or not held else []
    try:
        with Core(path) as core:
            yield Snapshot(core, troubles)
    finally:
        path.unlink(missing_ok=True)
        session.command("scan on")
        for name in names:
            session.command(f"unpause {name}")
