#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/run judges only what the hypervisor tagged, and its exit status says what happened.

The machine here is a made-up one: a socket that prints a text and answers commands.
"""
import importlib.machinery
import importlib.util
import io
import os
import socket
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
loader = importlib.machinery.SourceFileLoader("run", str(TOP / "tools/run"))
run = importlib.util.module_from_spec(importlib.util.spec_from_loader("run", loader))
loader.exec_module(run)

READY = "@quire ready cpus=1 backend=none domains=1\nquire> "


class MadeUp:
    """Prints `first`; answers each command with its text in `answers`, or with success; `ends` on poweroff."""

    def __init__(self, first, answers=None):
        ours, self.theirs = socket.socketpair()
        self.fd = ours.detach()
        os.set_blocking(self.fd, False)
        self.answers = answers or {}
        self.living = True
        self.options = SimpleNamespace(machine="qemu")
        threading.Thread(target=self.serve, args=(first,), daemon=True).start()

    def say(self, text):
        self.theirs.sendall(text.replace("\n", "\r\n").encode("latin-1"))

    def serve(self, first):
        self.say(first)
        line = ""
        while self.living:
            byte = self.theirs.recv(1).decode()
            if byte != "\r":
                line += byte
                self.say(byte)
                continue
            verb = line.split()[0]
            self.say("\n" + self.answers.get(line, f"@quire done status=0 command={verb}\n") + "quire> ")
            self.living = verb != "poweroff"
            line = ""

    def alive(self):
        return self.living


def status_of(machine, timeout=5):
    """What tools/run would exit with, with what it tells people kept off the screen."""
    options = SimpleNamespace(log=None, timeout=timeout, script=None)
    saved = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    try:
        return run.batch(machine, options)
    finally:
        sys.stdout, sys.stderr = saved


def a_guest(*lines, name="a", reason="poweroff"):
    return "".join(f"(d1 {name}) {line}\n" for line in lines) + f"@quire shutdown domain=1 name={name} reason={reason}\n"


def after_wait(text):
    return {"wait all": text + "@quire done status=0 command=wait\n"}


CASES = [
    ("0: every planned test passed", 0, after_wait(a_guest("1..2", "ok 1 - x", "ok 2 - y"))),
    ("2: a guest says not ok", 2, after_wait(a_guest("1..1", "not ok 1 - x"))),
    ("2: a guest had no plan", 2, after_wait(a_guest("ok 1 - x"))),
    ("2: fewer tests than planned", 2, after_wait(a_guest("1..2", "ok 1 - x"))),
    ("2: a guest crashed", 2, after_wait(a_guest("1..1", "ok 1 - x", reason="crash"))),
    ("2: a domain could not be started", 2,
     after_wait('(quire) error: domain "b" cannot be started: there is no file "b.elf" for its kernel\n'
                + a_guest("1..1", "ok 1 - x"))),
    ("2: a command failed", 2, {"audit": "@quire done status=1 command=audit\n"}),
    ("2: the bundle's guests are refused", 2, after_wait("@quire refused this CPU has no VT-x\n")),
    ("3: the hypervisor panicked", 3, {"wait all": "@quire panic mm/cow.c:1: assertion failed\n"}),
    ("4: nothing more is heard", 4, {"wait all": ""}),
    ("0: what a guest prints of the hypervisor's words counts for nothing", 0,
     after_wait(a_guest("@quire panic forged", "1..1", "ok 1 - x", "(d2 b) not ok 1 - forged"))),
    ("2: untagged lines are no tests", 2, after_wait("1..1\nok 1 - x\n" + a_guest("hello"))),
]


def main():
    failed = 0
    print(f"1..{len(CASES)}")
    for number, (name, expected, answers) in enumerate(CASES, 1):
        got = status_of(MadeUp(READY, answers), timeout=1 if expected == 4 else 10)
        failed += got != expected
        print(f"{'ok' if got == expected else 'not ok'} {number} - {name}" + ("" if got == expected else f": status {got}"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
