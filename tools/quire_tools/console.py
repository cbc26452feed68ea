# SPDX-License-Identifier: MIT
"""Reads the console of a running Quire and keeps what counts as a verdict.

Only lines that the hypervisor itself tagged are believed:

	(dID NAME) text     a guest's line; TAP is read from these
	@quire WORD k=v...  the hypervisor speaking to tools
	(quire) text        its log
"""
import re
from dataclasses import dataclass, field

GUEST_LINE = re.compile(r"^\(d(\d+) ([^)]*)\) ?(.*)$")
TAG_LINE = re.compile(r"^@quire (\S+) ?(.*)$")
NOT_STARTED = re.compile(r'^\(quire\) error: (domain ".*" cannot be started: .*)$')
PAIR = re.compile(r"(\w+)=(\S+)")


@dataclass
class Guest:
    """The TAP of one domain."""
    ident: int
    name: str
    planned: int | None = None
    passed: int = 0
    failures: list = field(default_factory=list)
    lines: list = field(default_factory=list)
    ended: str | None = None  # reason of its shutdown

    def hear(self, text):
        self.lines.append(text)
        plan = re.match(r"^1\.\.(\d+)", text)
        if plan:
            self.planned = int(plan.group(1))
        elif text.startswith("not ok"):
            self.failures.append(text)
        elif re.match(r"^ok\b", text):
            self.passed += 1
        elif text.startswith("Bail out!"):
            self.failures.append(text)

    def trouble(self):
        """None if this guest did what it promised, else a sentence."""
        if self.failures:
            return f"{self.name}: {self.failures[0]}"
        if self.ended == "crash":
            return f"{self.name}: crashed"
        if self.planned is None:
            return f"{self.name}: reported no plan"
        if self.passed != self.planned:
            return f"{self.name}: {self.passed} of {self.planned} tests reported"
        return None


@dataclass
class Transcript:
    """Everything heard so far."""
    lines: list = field(default_factory=list)
    guests: dict = field(default_factory=dict)   # by domain id, in order of first line
    tags: list = field(default_factory=list)     # (word, {key: value}, whole line)
    latest: dict = field(default_factory=dict)   # word -> {key: value} of its last line
    dones: int = 0                               # commands that have ended
    not_started: list = field(default_factory=list)  # a sentence for each domain that could not be built
    panic: str | None = None
    refused: str | None = None

    def guest(self, ident, name):
        key = (ident, name)
        if key not in self.guests:
            self.guests[key] = Guest(ident, name)
        return self.guests[key]

    def hear(self, line):
        self.lines.append(line)
        found = GUEST_LINE.match(line)
        if found:
            self.guest(int(found.group(1)), found.group(2)).hear(found.group(3))
            return
        found = NOT_STARTED.match(line)
        if found:
            self.not_started.append(found.group(1))
            return
        found = TAG_LINE.match(line)
        if not found:
            return
        word, rest = found.groups()
        pairs = dict(PAIR.findall(rest))
        self.tags.append((word, pairs, line))
        self.latest[word] = pairs
        self.dones += word == "done"
        if word == "panic":
            self.panic = self.panic or rest
        elif word == "refused":
            self.refused = rest
        elif word == "shutdown" and "domain" in pairs:
            name = pairs.get("name", "?")
            self.guest(int(pairs["domain"]), name).ended = pairs.get("reason", "?")

    def tag(self, word):
        """The last tagged line of that word, as a dict, or None."""
        return self.latest.get(word)

    def troubles(self):
        return self.not_started + [t for t in (g.trouble() for g in self.guests.values()) if t]
