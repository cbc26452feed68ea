# SPDX-License-Identifier: MIT
"""Everything at one instant: the monitor's figures, its maps, and all of the guests' memory."""
import contextlib
import json

from .oracle import pages_of, runs_of, truth


class Snapshot:
    """What was seen while nothing ran: runs (the maps), domains and total (`sharing --json`), truth (the oracle's)."""

    def __init__(self, session):
        self.first = len(session.heard.tags)
        self.troubles = []
        self.runs = []
        self.domains = {}
        self.total = None
        self.truth = None

    def command(self, session, line):
        status, lines = session.command(line)
        if status:
            self.troubles.append(f"`{line}` ended with status {status}")
        return lines

    def ask(self, session, names):
        for name in names:
            self.command(session, f"map {name}")
        self.runs = list(runs_of(session.heard.tags[self.first:]))
        objects = [json.loads(line) for line in self.command(session, "sharing --json") if line.startswith("{")]
        self.domains = {o["domain"]: o for o in objects if "domain" in o}
        self.total = next((o for o in objects if "domain" not in o), None)

    def group_of(self, domain):
        return self.domains.get(domain, {}).get("share_group", domain)

    def part(self, dump, domain, first, pages):
        """The oracle's truth of some pages of one guest alone, whatever they are mapped to."""
        wanted = [run.cut(first, pages) for run in self.runs if run.domain == domain]
        return truth(dump, [run for run in wanted if run.count], lambda d: d)


@contextlib.contextmanager
def snapshot(session, names):
    """Pause and settle the guests, look, dump; yields (Snapshot, the open dump). They go on afterwards."""
    for name in names:
        session.command(f"pause {name}")
    session.command("scan off")  # or what settles later (a page that was a page table) is merged before we have counted
    session.command("settle")
    s = Snapshot(session)
    s.ask(session, names)
    path = session.machine.folder / "memory.dump"
    session.machine.dump(path, [mfn for run in s.runs for _, mfn in pages_of(run)])
    try:
        with open(path, "rb") as dump:
            s.truth = truth(dump, s.runs, s.group_of)
            yield s, dump
    finally:
        path.unlink()
        session.command("scan on")
        for name in names:
            session.command(f"unpause {name}")
