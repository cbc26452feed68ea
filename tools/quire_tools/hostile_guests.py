# SPDX-License-Identifier: MIT
"""Fuzzing guests beside neighbours who must not notice: their work, their memory, and every frame.

All in one run of one machine, in machine time: the neighbours work beside an idle guest first, then
beside the fuzzers (guests/fuzz), and what they did in windows of both is compared.
"""
import json
import re

WORK = re.compile(r"^# neighbour window=(\d+) work=([\d,]+)")
GONE = re.compile(r"^\(quire\) domain \d+ \((\S+)\) is gone: (\d+) slices, the longest of (\d+) us")
SLICE_US = 20_000  # of the machine's time, on an emulator that makes some ten million instructions a second
LATEST = re.compile(r"^# neighbour latest_us=(\d+)")
WINDOW_NS = 250_000_000
LEAST = 0.95
# What a guest may do to end up as an operation: each is an exit of its own.
KINDS = ("hypercall", "msr_read", "msr_write", "io", "cpuid", "memory", "cr_write", "xsetbv")
FRAMES = ("frames_free", "frames_table", "frames_private", "frames_shared", "frames_service", "frames_reserved")


class Beside:
    """The steps of one run. calls: operations to be made, wave: of these by one fuzzer."""

    def __init__(self, session, notes, calls, wave, seed, neighbour):
        self.session, self.notes, self.trouble = session, notes, []
        self.calls, self.wave, self.seed = calls, wave, seed
        self.neighbour = neighbour  # its command line
        self.made, self.ended, self.exits = 0, {}, dict.fromkeys(KINDS, 0)

    # ---- the monitor

    def rows(self, line):
        _, lines = self.session.command(line + " --json")
        return [json.loads(text) for text in lines if text.startswith("{")]

    def do(self, line):
        status, _ = self.session.command(line)
        if status:
            self.trouble.append(f"`{line}` ended with status {status}")
        return not status

    def now(self):
        return next(row["uptime_ns"] for row in self.rows("info") if "uptime_ns" in row)

    def frames(self):
        """Of each kind, once nothing is left to be taken down."""
        self.settle(lambda rows: not rows)
        info = self.rows("info")[0]
        return {key: info[key] for key in FRAMES}

    def settle(self, ready, tries=400):
        """Wait until `list` satisfies ready()."""
        for _ in range(tries):
            if ready([row for row in self.rows("list") if "name" in row]):
                return
            self.session.command("sleep 100")  # what is printed takes a CPU, and is not the fuzzers' doing
        self.trouble.append("a domain that was destroyed is still there")

    def gone(self, name):
        self.settle(lambda rows: all(row["name"] != name for row in rows))

    def create(self, name, kernel, memory, vcpus, extra, **more):
        words = " ".join(f"{key}={value}" for key, value in more.items())
        return self.do(f'create name={name} kernel={kernel}.elf memory={memory} vcpus={vcpus} {words} extra="{extra}"')

    # ---- the steps

    def run(self):
        for name in ("neighbour", "idle", "fuzz"):
            self.do(f"destroy {name}")
        before = self.frames()
        self.create("large", "idle", 24, 1, "exits=1000", superpages=1)
        for n in (1, 2):
            self.create(f"neighbour-{n}", "neighbour", 8, 1, self.neighbour, share_group="g")
        quiet = self.beside_idle()
        loud = self.beside_fuzzers()
        self.do("audit")
        self.end()
        after = self.frames()
        if before != after:
            self.trouble.append(f"frames are missing: {before} before, {after} after")
        self.compare(quiet, loud)
        self.slices()
        self.notes.append(f"{self.made} operations of {len(self.ended)} guests, which ended so: {self.ends()}; "
                          "exits: " + ", ".join(f"{kind} {n}" for kind, n in self.exits.items() if n))
        if self.made < self.calls:
            self.trouble.append(f"only {self.made} of {self.calls} operations were made")
        return self.trouble

    def beside_idle(self):
        self.create("idle", "idle", 8, 2, "exits=1000")
        self.do("destroy large")
        self.gone("large")
        self.session.command("sleep 700")
        begin = self.now()
        self.session.command("sleep 2000")
        end = self.now()
        self.do("destroy idle")
        self.gone("idle")
        return [(begin, end)]

    def beside_fuzzers(self):
        """Two that make their calls to the end, and one after another that may not live so long."""
        phases, number = [], 0
        while self.made < self.calls and number < 1000 and not self.session.heard.panic:
            pair, begin = [f"fuzz-{number + i}" for i in (0, 1)], self.now()
            for i, name in enumerate(pair):
                self.create(name, "fuzz", 8, 2, f"seed={self.seed + number + i} calls={self.wave}", share_group="g")
            self.mortals(number, pair)
            for name in pair:
                self.session.command(f"wait {name} 600")
                self.count(name)
            phases.append((begin, self.now()))
            self.do("audit")  # holds all CPUs for a while: in nobody's window
            for name in pair:  # while the other one may have pages of it mapped
                self.do(f"destroy {name}")
            for name in pair:
                self.gone(name)
            number += 2
        return phases

    def mortals(self, number, pair):
        """Some are destroyed in the midst of what they do."""
        for i in range(4):
            name = f"mortal-{number}-{i}"
            self.create(name, "fuzz", 8, 3, f"seed={self.seed + 1000 * i + number} calls=4000 lethal", share_group="g")
            self.session.command(f"wait {name} 2" if i % 2 else "sleep 60")
            self.count(name)
            self.do(f"destroy {name}")
            self.gone(name)

    def count(self, name):
        """What it has done, by the hypervisor's count of its exits."""
        row = next((row for row in self.rows(f"exits {name}") if "exits" in row), None)
        if row is None:
            self.trouble.append(f"{name} has no exits to count")
            return
        for kind in KINDS:
            self.exits[kind] += row[kind]
        self.made += sum(row[kind] for kind in KINDS if kind != "memory")
        guest = next((g for g in self.session.heard.guests.values() if g.name == name), None)
        self.ended[name] = (guest.ended if guest else None) or "destroyed"

    def ends(self):
        kinds = sorted(set(self.ended.values()))
        return ", ".join(f"{sum(v == kind for v in self.ended.values())} {kind}" for kind in kinds)

    def end(self):
        for n in (1, 2):
            self.do(f"shutdown neighbour-{n}")
            self.do(f"wait neighbour-{n} 60")
        self.do("audit")
        for n in (1, 2):
            self.do(f"destroy neighbour-{n}")

    # ---- the verdict

    def slices(self):
        """Nobody waits long while a domain is taken down: a large one, or one that dies in the midst of a call."""
        gone = [(found.group(1), int(found.group(2)), int(found.group(3)))
                for found in map(GONE.match, self.session.heard.lines) if found]
        name, count, longest = max(gone, key=lambda one: one[2], default=("", 0, 0))
        large = max((count for name, count, _ in gone if name == "large"), default=0)
        self.notes.append(f"{len(gone)} domains were destroyed, the large one in {large} slices; the longest slice took {longest} us ({name})")
        if large < 10:
            self.trouble.append(f"a domain of 24 MiB was destroyed in {large} slices")
        if longest > SLICE_US:
            self.trouble.append(f"a slice of the end of {name} took {longest} us")

    def compare(self, quiet, loud):
        for n in (1, 2):
            guest = next((g for g in self.session.heard.guests.values() if g.name == f"neighbour-{n}"), None)
            lines = guest.lines if guest else []
            work = {}
            for found in filter(None, map(WORK.match, lines)):
                work.update((int(found.group(1)) + i, int(v)) for i, v in enumerate(found.group(2).split(",")))
            idle, busy = self.mean(work, quiet), self.mean(work, loud)
            if not idle or not busy:
                self.trouble.append(f"neighbour-{n} said nothing of its work")
                continue
            latest = next((int(found.group(1)) for found in map(LATEST.match, lines) if found), 0)
            self.notes.append(f"neighbour-{n}: {idle:.1f} units a window beside an idle guest, {busy:.1f} beside the fuzzers "
                              f"({busy / idle:.1%}); woke at most {latest / 1000:.1f} ms late")
            if busy < LEAST * idle:
                self.trouble.append(f"neighbour-{n} did {busy / idle:.1%} of its work while others fuzzed")

    @staticmethod
    def mean(work, phases):
        """Of the windows that lie within one of the phases."""
        values = [work.get(w, 0) for begin, end in phases for w in range(-(-begin // WINDOW_NS), end // WINDOW_NS)]
        return sum(values) / len(values) if values else 0


def beside_fuzzers(calls, wave=12000, seed=1, neighbour="period=20 units=12"):
    return lambda session, notes: Beside(session, notes, calls, wave, seed, neighbour).run()


class Ends(dict):
    """Fuzzers may come to any end; neighbours may not."""

    def __contains__(self, name):
        return name.startswith(("fuzz", "mortal", "idle", "large", "neighbour")) and not name.startswith("neighbour-")

    def pop(self, name):
        return "any"
