# SPDX-License-Identifier: MIT
"""What a boot test asks of Linux guests: user space, a balloon that follows, work that goes on, an end by itself."""
import json
import os
import re
import time

from .oracle_check import compare
from .snapshot import snapshot

USER_SPACE = re.compile(r"linux: user space at ([0-9.]+) s, kernel (\S+), (\d+) cpus")
ROUND_WELL = re.compile(r"linux: work \w+ round \d+ ok")
# What a kernel says when something is badly wrong, though it may go on; our guests' work says BAD.
ALARMS = re.compile(r"BUG:|Oops|Call Trace:|soft lockup|rcu.*stall|unchecked MSR|Kernel panic| BAD: ")
MIB_PAGES = 256


def rounds_of(guest):
    return sum(1 for line in guest.lines if ROUND_WELL.search(line))


def followed(row, before, pages):
    """Rows of `reclaim --json`: asked for so many pages or more, it has given as many, and costs as much less."""
    return (row["follows"] == "yes" and abs(row["memory"] - row["wish"]) <= MIB_PAGES and
            min(row["max"] - row["wish"], before["costs"] - row["costs"]) >= pages)


class GuestEnded(Exception):
    """A guest did not live as long as its test."""


class Watch:
    """A session with Linux guests under way."""

    def __init__(self, session, notes):
        self.session = session
        self.notes = notes
        self.trouble = []

    def ask(self, line):
        status, lines = self.session.command(line)
        if status:
            self.trouble.append(f"`{line}` ended with status {status}")
        return [json.loads(text) for text in lines if text.startswith("{")]

    def domains(self):
        return {o["name"]: o for o in self.ask("list --json")}

    def guest(self, name):
        return next((g for g in self.session.heard.guests.values() if g.name == name), None)

    def until(self, names, ready, what):
        """Wait until ready(guest) is true of each; the session's own time limits it."""
        def all_ready():
            self.still_there(names)
            return all(self.guest(n) is not None and ready(self.guest(n)) for n in names)
        self.session.until(all_ready, what)

    def still_there(self, names):
        """A guest that ended early ends the case; the audit says whether it was our doing."""
        ended = [f"{n}: ended early with {self.guest(n).ended}" for n in names if self.guest(n) and self.guest(n).ended]
        if ended:
            self.audit()
            raise GuestEnded("; ".join(ended))

    def user_space(self, names, cpus, kernel=""):
        self.until(names, lambda g: any(USER_SPACE.search(line) for line in g.lines), "user space")
        for name in names:
            said = next(found for line in self.guest(name).lines if (found := USER_SPACE.search(line)))
            if int(said.group(3)) != cpus[name]:
                self.trouble.append(f"{name}: has {said.group(3)} CPUs, not {cpus[name]}")
            if not re.search(kernel, said.group(2)):
                self.trouble.append(f"{name}: runs kernel {said.group(2)}, not {kernel}")
        self.notes.append(f"kernel {said.group(2)}; user space at " +
                          ", ".join(f"{USER_SPACE.search(' '.join(self.guest(n).lines)).group(1)} s ({n})" for n in names))

    def work(self, names, rounds):
        """Each guest ends so many rounds of its work from now on, each of them well."""
        before = {n: rounds_of(self.guest(n)) for n in names}
        self.until(names, lambda g: rounds_of(g) >= before[g.name] + rounds, f"{rounds} more rounds of work")

    def balloon(self, names, mib, tries=120):
        """mem-set each, and read back what it has: a page may be missing where shared_info lies."""
        for name in names:
            self.ask(f"mem-set {name} {mib}")
        for _ in range(tries):
            self.still_there(names)
            have = self.domains()
            off = [n for n in names if abs(have[n]["memory_pages"] - mib * MIB_PAGES) > MIB_PAGES]
            if not off:
                self.notes.append(f"at {mib} MiB: " + ", ".join(f"{n} {have[n]['memory_pages']} pages" for n in names))
                return
            self.ask("sleep 500")
        self.trouble.append(f"mem-set to {mib} MiB: " + ", ".join(f"{n} has {have[n]['memory_pages']} pages" for n in off))

    def reclaim(self):
        """What `reclaim --json` says of each guest, by name."""
        return {row["name"]: row for row in self.ask("reclaim --json") if "name" in row}

    def squeezed(self, names, before, by, tries=60):
        """Until reclaim has asked each for memory, each has given what it was asked for, and costs `by` MiB less than before."""
        for _ in range(tries):
            self.still_there(names)
            rows = self.reclaim()
            off = [n for n in names if not followed(rows[n], before[n], by * MIB_PAGES)]
            told = [f"{n} was asked to have {rows[n]['wish']} pages of {rows[n]['max']} and has {rows[n]['memory']} (it costs {rows[n]['costs']} "
                    f"of {before[n]['costs']}; follows: {rows[n]['follows']})" for n in off or names]
            if not off:
                break
            self.ask("sleep 1000")
        (self.trouble if off else self.notes).append("reclaim: " + "; ".join(told))

    def pack(self, name):
        """Compress all of it that is cold at this moment; returns what `compress` told."""
        self.ask(f"compress {name}")
        told = {key: int(value) for key, value in self.session.heard.tag("compressed").items()}
        self.notes.append(f"{told['pages']} pages of {name} compressed into {told['frames']} frames, {told['filled']} of them to a byte; {told['freed']} frames "
                          f"freed; {told['incompressible']} do not get smaller; {told['expanded']} have come back")
        return told

    def power_off(self, names):
        self.end(names, "poweroff")

    def end(self, names, how):
        """Each is asked, through xenstore, to power off or to reboot, and does."""
        for name in names:
            self.ask(f"reboot {name}" if how == "reboot" else f"shutdown {name}")
        self.ask("wait all 100")
        self.trouble += [f"{n}: ended with {self.guest(n).ended}" for n in names if self.guest(n).ended != how]

    def exits(self, names):
        for name in names:
            kinds = self.ask(f"exits {name} --json")[0]
            most = sorted((k for k in kinds if k not in ("schema", "domain", "name", "exits")), key=lambda k: -kinds[k])[:6]
            self.notes.append(f"{name}: {kinds['exits']} exits: " + ", ".join(f"{k} {kinds[k]}" for k in most))

    def alarms(self, names):
        for name in names:
            self.trouble += [f"{name}: {line}" for line in self.guest(name).lines if ALARMS.search(line)][:3]

    def audit(self):
        self.ask("audit")


def shares_as_the_oracle(names):
    """With all of them stopped and settled, the monitor's figures equal the oracle's, which knows only their memory."""
    def check(session, notes):
        with snapshot(session, names) as seen:
            return seen.troubles + compare(seen, notes)
    return check


def shell_answers(name):
    """`console NAME` is the guest's terminal: what is typed there its shell carries out; Ctrl-] leaves."""
    def check(session, notes):
        seen = session.heard.dones
        type_in(session, f"console {name}\r")
        session.until(lambda: any(line.startswith(f"The console of {name}") for line in session.heard.lines), "the console")
        type_in(session, "echo sum=$((6*7))\r")
        guest = next(g for g in session.heard.guests.values() if g.name == name)
        session.until(lambda: any("sum=42" in line for line in guest.lines), "the shell's answer")
        type_in(session, "\x1d")
        session.until(lambda: session.heard.dones > seen, "the monitor's prompt")
        return []
    return check


def type_in(session, keys):
    """As fast as a good typist: the monitor takes a key a turn."""
    for key in keys:
        os.write(session.machine.fd, key.encode())
        session.pump(0.03)
        time.sleep(0.03)


def life(cpus, full, less, after=(), rounds=2, kernel=""):
    """A check for Case: the whole life of these guests (name -> CPUs), with `full` MiB and at times `less`.

    kernel: what its release must match.
    """
    names = list(cpus)

    def live(w):
        w.user_space(names, cpus, kernel)
        w.work(names, 1)
        w.balloon(names, less)
        w.work(names, rounds)
        w.balloon(names, full)
        w.work(names, rounds)
        w.audit()
        for more in after:
            w.trouble += more(w.session, w.notes)
        w.power_off(names)

    return watched(names, live)


def reclaimed(names, neighbour, by):
    """A check for Case: when a paused neighbour comes, each of these guests is asked for memory by reclaim and gives at least `by` MiB of what it costs.
    Their work goes on."""
    def live(w):
        w.user_space(names, dict.fromkeys(names, 1))
        w.work(names, 2)
        before = w.reclaim()
        w.ask(f"unpause {neighbour}")
        w.squeezed(names, before, by)
        w.work(names, 1)
        w.audit()
        w.power_off([neighbour, *names])
    return watched(names, live)


def packed(name, pages):
    """A check for Case: most of what the guest does not use at this moment is compressed; two rounds later at least so many pages have come back, and all
    is as it was: the guest compares what it reads. It knows a SysRq, and reboots when it is asked to."""
    def live(w):
        w.user_space([name], {name: 1})
        w.work([name], 1)
        before = w.pack(name)
        w.work([name], 2)
        after = w.pack(name)
        back = after["expanded"] - before["expanded"]
        if before["pages"] < 2 * pages or back < pages:
            w.trouble.append(f"{before['pages']} pages were compressed and {back} came back: at least {2 * pages} and {pages} are expected")
        w.work([name], 2)
        w.audit()
        w.ask(f"sysrq {name} h")
        w.until([name], lambda g: any("sysrq: HELP" in line for line in g.lines), "the kernel's answer to a SysRq")
        w.end([name], "reboot")
    return watched([name], live)


def watched(names, live):
    """A check for Case: live(Watch), and what is asked of the guests at the end of any life."""
    def check(session, notes):
        w = Watch(session, notes)
        try:
            live(w)
        except GuestEnded as end:
            w.trouble.append(str(end))
        w.exits(names)
        w.alarms(names)
        w.audit()
        return w.trouble
    return check
