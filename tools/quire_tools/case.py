# SPDX-License-Identifier: MIT
"""One boot test: what to start, what to type, and what must be true at the end."""
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from .machine import BUILD, TOP, Machine, MachineError
from .session import Ended, Session, Timeout

BOTH = ("qemu", "bochs")


@dataclass
class Said:
    """In a script: go on once these guests (names), or so many of all, have printed a line with these words."""
    words: str
    guests: object = 1


@dataclass
class Case:
    """The default script waits for every guest, audits and powers off."""
    name: str
    config: str | None = None
    machines: tuple = BOTH
    smp: int = 2
    cpu: dict = field(default_factory=dict)  # machine -> model
    memory: int = 96             # MiB: an audit walks all of it
    script: list = field(default_factory=lambda: ["wait all 100", "audit"])  # lines to type, and Said
    timeout: float = 240          # seconds of the host, of which a busy one has few
    outcomes: object = None      # f(machine name) -> {guest name: what it must come to}; tests/boot/hostile.tsv
    refused: str | None = None   # words of the sentence with which guests are refused
    heard: list = field(default_factory=list)         # words that must be in some line
    tries: int = 1               # runs of which one must pass: a test of a test, which has to meet a race
    group: str = ""              # run only when it is asked for (tools/boot-tests --group)
    check: object = None         # f(session) -> list of troubles; runs before power-off
    linux: str = "linux"         # where `make linux` put the files of Linux guests, under build/
    options: dict = field(default_factory=dict)       # more of tools/run's options


def machine_options(case, machine):
    base = dict(machine=machine, cpu=case.cpu.get(machine), smp=case.smp, memory=case.memory,
                append="", elf=str(BUILD / "quire.elf"), iso=False, uefi=False, bios=None, grub="",
                count=False, kvm=False, ips=50000000, modules=[], linux=str(BUILD / case.linux),
                config=str(TOP / "tests/boot" / case.config) if case.config else None)
    base.update(case.options)
    return SimpleNamespace(**base)


def run_case(case, machine_name):
    """Returns (troubles, notes, seconds of the host's processors that the emulator took): no trouble means passed."""
    spent = 0.0
    for _ in range(case.tries):
        trouble, notes, seconds = run_once(case, machine_name)
        spent += seconds
        if not trouble:
            break
    return trouble, notes, spent


def run_once(case, machine_name):
    machine = Machine(machine_options(case, machine_name))
    notes = []
    session = None
    trouble = []
    try:
        machine.start()
        session = Session(machine, case.timeout)
        play(case, session, trouble, notes)
    except MachineError as error:
        trouble.append(str(error))
    except Timeout as error:
        trouble.append(f"timeout after {case.timeout:g} s: {error}")
    except Ended as error:
        trouble.append(f"ended early: {error}")
    finally:
        if session:
            judge(case, machine_name, session.heard, trouble)
            keep_log(case, machine_name, session.heard)
            if machine.shaker:
                notes.append(f"stopped and continued {machine.shaker.times} times")
            if trouble:
                notes += ["last lines of the console:"] + ["  " + line for line in session.heard.lines[-25:]]
        machine.stop()
    return trouble, notes, machine.cpu_seconds


def keep_log(case, machine_name, heard):
    folder = BUILD / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    Path(folder / f"{machine_name}-{case.name.replace('/', '-')}.log").write_text("\n".join(heard.lines) + "\n")


def play(case, session, trouble, notes):
    session.await_ready()
    for line in case.script:
        trouble += carry_out(session, line)
    if case.check:
        trouble += case.check(session, notes) or []
    try:
        session.command("poweroff")
        session.until(lambda: False, "the power to go off")
    except Ended:
        if session.heard.panic is not None:
            raise


def carry_out(session, line):
    """A line of a script; returns troubles."""
    if isinstance(line, Said):
        until_said(session, line)
        return []
    status, _ = session.command(line)
    return [f"`{line}` ended with status {status}"] if status else []


def until_said(session, said):
    def ready():
        who = [guest.name for guest in session.heard.guests.values() if any(said.words in line for line in guest.lines)]
        return len(who) >= said.guests if isinstance(said.guests, int) else set(said.guests) <= set(who)
    session.until(ready, f"`{said.words}` of {said.guests}")


def judge(case, machine_name, heard, trouble):
    if heard.panic is not None:
        trouble.append(f"the hypervisor panicked: {heard.panic}")
    if case.refused is not None:
        if heard.refused is None or case.refused.lower() not in heard.refused.lower():
            trouble.append(f"expected to be refused with `{case.refused}`, heard `{heard.refused}`")
    elif heard.refused is not None:
        trouble.append(f"guests were refused: {heard.refused}")
    trouble += heard.not_started
    ready = heard.tag("ready")
    if case.config and case.refused is None and ready and ready["domains"] == "0":
        trouble.append(f"no guest was made of {case.config}")
    expected = case.outcomes(machine_name) if case.outcomes else {}
    for guest in heard.guests.values():
        if guest.name in expected:
            trouble += judge_outcome(guest, expected.pop(guest.name), heard)
        elif problem := guest.trouble():
            trouble.append(problem)
    trouble += [f"no line has `{w}`" for w in case.heard if not any(w in line for line in heard.lines)]


def judge_outcome(guest, outcome, heard):
    """A guest that was not meant to end as a test does."""
    kind, _, words = outcome.partition(": ")
    if kind == "any":
        return []
    ends = {"crash": "crash", "itself": "crash", "poweroff": "poweroff", "reboot": "reboot", "alive": None}
    if kind == "fails":  # a test of a test
        said = any(words in f for f in guest.failures)
        return [] if said else [f"{guest.name}: should have failed with `{words}` and did not notice"]
    if kind == "alive" and guest.ended == "destroyed":
        return []
    if guest.ended != ends[kind]:
        return [f"{guest.name}: must come to `{outcome}`, but ended with {guest.ended}"]
    if words and not any(words in line and f"({guest.name})" in line for line in heard.lines):
        return [f"{guest.name}: stopped, but not with `{words}`"]
    return [f"{guest.name}: {f}" for f in guest.failures]


def outcomes_table(path):
    """tests/boot/hostile.tsv -> f(machine) -> {attack: outcome}"""
    rows = [line.split("\t") for line in (TOP / path).read_text().splitlines() if line and not line.startswith("#")]
    return lambda machine: {row[0]: row[1 if machine == "qemu" else 2] for row in rows}
