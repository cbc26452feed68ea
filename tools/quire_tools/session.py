# SPDX-License-Identifier: MIT
"""A conversation with the monitor: one command at a time, each once the last has answered."""
import os
import re
import select
import sys
import time

from .console import Transcript

# What the monitor's line editor draws: moves of the cursor, and the prompt itself.
DRAWING = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|^(quire> [^\r]*\r)+")


class Timeout(Exception):
    """The machine said nothing that we waited for in the time given."""


class Ended(Exception):
    """The machine is gone (power off, reboot, panic)."""


class Session:
    """Feeds bytes to the machine and lines to a transcript.

    echo: a file for everything heard, or None. host_limit: seconds of the
    host's time for the whole session.
    """

    def __init__(self, machine, host_limit, echo=None):
        self.machine = machine
        self.deadline = time.monotonic() + host_limit
        self.echo = echo
        self.heard = Transcript()
        self.partial = b""
        self.done_count = 0

    def pump(self, wait=0.2):
        """Hear what there is to hear; returns whether the machine still lives."""
        ready, _, _ = select.select([self.machine.fd], [], [], wait)
        if ready:
            try:
                data = os.read(self.machine.fd, 65536)
            except (BlockingIOError, OSError):
                data = b""
            if data:
                self.take(data)
                return True
        return self.machine.alive()

    def take(self, data):
        if self.echo:
            self.echo.write(data.decode("latin-1"))
            self.echo.flush()
        self.partial += data
        *lines, self.partial = self.partial.split(b"\n")
        for line in lines:
            # What follows the last erased prompt; no guest can print a carriage return.
            line = line.decode("latin-1").rstrip("\r").rsplit("\r\x1b[K", 1)[-1]
            text = DRAWING.sub("", line)
            self.heard.hear(text.replace("\r", ""))

    def until(self, ready, what):
        """Pump until ready() is true."""
        while not ready():
            if self.heard.panic is not None:
                self.drain()
                raise Ended("panic")
            if time.monotonic() > self.deadline:
                raise Timeout(f"waited for {what}")
            if not self.pump():
                self.drain()
                if ready():
                    return
                raise Ended(f"the machine ended while we waited for {what}")

    def drain(self, seconds=1.0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump(0.05)
        if self.partial:
            self.take(b"\n")

    def await_ready(self):
        """Wait until the machine has started its domains and the monitor listens."""
        self.until(lambda: self.heard.tag("ready") is not None, "the monitor")

    def await_echo(self, typed, seconds=10):
        """Wait until the prompt shows what was typed; go on all the same if it never does."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.machine.alive():
            shown = self.partial.decode("latin-1").rsplit("\r\x1b[K", 1)[-1]
            if DRAWING.sub("", shown).rstrip("\r").endswith(typed):
                return
            self.pump(0.05)

    def command(self, line):
        """Type one line; returns (status, lines printed meanwhile)."""
        seen, first = self.enter(line)
        return self.ended(line, seen), self.heard.lines[first:]

    def enter(self, line):
        """Type one line and do not wait for its end; returns how many commands had ended and how many lines been printed."""
        self.await_ready()
        seen, first = self.heard.dones, len(self.heard.lines)
        # The receive buffer has 16 bytes and is polled: each few bytes are seen before the next are sent.
        for start in range(0, len(line), 8):
            os.write(self.machine.fd, line[start:start + 8].encode())
            self.await_echo(line[:start + 8])
        os.write(self.machine.fd, b"\r")
        return seen, first

    def ended(self, line, seen):
        """Wait for the end of what was entered; returns its status."""
        self.until(lambda: self.heard.dones > seen, f"the end of `{line}`")
        return int(self.heard.tag("done").get("status", "1"))


def explain(text):
    print(f"tools/run: {text}", file=sys.stderr)
