# SPDX-License-Identifier: MIT
"""Records a trace: boots a config, waits until its guests are at work, and lets the hypervisor trace for some time of
the machine. On QEMU with --count, where one instruction is 2^shift nanoseconds: how busy the host is changes nothing."""
import re
import time
from types import SimpleNamespace

from .machine import BUILD, Machine
from .session import Ended, Session, Timeout
from .trace_raw import TraceError

STEP_S = 10  # of machine time, between two lines of progress


def machine_options(config, raw, memory, smp=2, shift=0, machine="qemu", append=""):
    return SimpleNamespace(config=str(config), machine=machine, cpu=None, smp=smp, memory=memory, append=append,
                           elf=str(BUILD / "quire.elf"), iso=False, uefi=False, bios=None, grub="", modules=[], count=shift,
                           ips=50000000, kvm=False, trace=str(raw))


def wait_for_work(session, pattern, guests, say):
    """Until so many guests have printed a line that matches."""
    seen, looked = set(), 0
    found = re.compile(r"^\(d(\d+) .*" + pattern)

    def ready():
        nonlocal looked
        for line in session.heard.lines[looked:]:
            if match := found.match(line):
                if match.group(1) not in seen:
                    say(f"guest {match.group(1)} is at work")
                seen.add(match.group(1))
        looked = len(session.heard.lines)
        return len(seen) >= guests
    session.until(ready, f"{guests} guests that print `{pattern}`")


def must(session, line):
    status, lines = session.command(line)
    if status:
        raise TraceError(f"the monitor refused `{line}`: {' '.join(lines[-2:])}")
    return lines


def trace_while(session, seconds, tick_ms, say):
    must(session, f"trace on {tick_ms}")
    began = time.monotonic()
    for done in range(0, seconds, STEP_S):
        step = min(STEP_S, seconds - done)
        must(session, f"sleep {step * 1000}")
        lines = must(session, "trace")
        state = next((line for line in lines if line.startswith("trace:")), "")
        say(f"{done + step} of {seconds} s of the machine, {time.monotonic() - began:.0f} s of ours; {state}")
    must(session, "trace off")


def record(options, config, seconds, tick_ms, say, wait=None, guests=0, scan=False, limit=7200, log=None):
    """Fills options.trace. Raises TraceError with a sentence."""
    machine = Machine(options)
    try:
        machine.start()
        session = Session(machine, limit, log)
        must(session, f"scan {'on' if scan else 'off'}")
        if wait:
            wait_for_work(session, wait, guests, say)
        trace_while(session, seconds, tick_ms, say)
        if session.heard.panic is None:
            session.command("poweroff")
    except Timeout as late:
        raise TraceError(f"{config}: {late}, and {limit} s of ours went by; is the machine very busy? (--limit)") from late
    except Ended as end:
        if session.heard.tag("done") is None or session.heard.panic is not None:
            raise TraceError(f"{config}: {end}: {session.heard.panic or ''} (--log FILE keeps the console)") from end
    finally:
        machine.stop()
