# SPDX-License-Identifier: MIT
"""Linux KSM, one pass at a time, and the memory that it scans (tests/bench/ksm.c).

ksmd scans pages_to_scan pages, then sleeps for sleep_millisecs; writing another value there wakes it. So with
pages_to_scan above the number of pages, and a sleep of hours, each change of the sleep is one pass to its end (ksmd
stops there). Its CPU time is read from /proc/PID/schedstat while it sleeps: then it is exact.
"""
import os
import signal
import subprocess
import time
from pathlib import Path

KSM = Path("/sys/kernel/mm/ksm")
# What we set; all of it is put back. `run` is the last, so that KSM goes on as it did under its own settings.
KNOBS = ("pages_to_scan", "sleep_millisecs", "use_zero_pages", "smart_scan", "advisor_mode", "max_page_sharing", "run")
LONG_SLEEP = 10_000_000  # ms; not seen again before the next step
UNMERGE = 2
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class KsmError(Exception):
    pass


def available():
    """Why KSM cannot be measured here, as a sentence; None if it can."""
    if not (KSM / "run").exists():
        return "this kernel has no KSM"
    if os.geteuid() != 0:
        return "KSM can only be driven by root"
    if ksmd_pid() is None:
        return "there is no ksmd to be seen here"
    return None


def ksmd_pid():
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text() == "ksmd\n":
                return int(comm.parent.name)
        except OSError:
            pass
    return None


def get(name):
    return (KSM / name).read_text().strip()


def count(name):
    return int(get(name))


def put(name, value):
    try:
        (KSM / name).write_text(f"{value}\n")
    except OSError as error:
        raise KsmError(f"cannot write {value} to {KSM / name}: {error.strerror}") from None


def others_mergeable(own_pid):
    """Pages of other processes that ksmd knows, and a name or two: they would be scanned in our passes."""
    pages, names = 0, []
    for stat in Path("/proc").glob("[0-9]*/ksm_stat"):
        pid = int(stat.parent.name)
        if pid == own_pid:
            continue
        try:
            values = dict(line.split()[:2] for line in stat.read_text().splitlines())
            if int(values.get("ksm_rmap_items", 0)) or values.get("ksm_mergeable:") == "yes":
                pages += int(values.get("ksm_rmap_items", 0))
                names.append(f"{(stat.parent / 'comm').read_text().strip()} ({pid})")
        except (OSError, ValueError):
            pass
    return pages, names


class Knobs:
    """The settings of KSM, put back on the way out, whatever way that is."""

    def __enter__(self):
        self.saved = {}
        for name in KNOBS:
            if (KSM / name).exists():
                value = get(name)
                if "[" in value:
                    value = value[value.index("[") + 1:value.index("]")]
                self.saved[name] = value
        self.handlers = {n: signal.signal(n, self.interrupted) for n in SIGNALS}
        return self

    @staticmethod
    def interrupted(number, frame):
        raise KeyboardInterrupt

    def __exit__(self, *error):
        for number in self.handlers:
            signal.signal(number, signal.SIG_IGN)  # not in the middle of this
        try:
            put("run", UNMERGE)  # our memory is gone by now; max_page_sharing may be set only when nothing is shared
            for name, value in self.saved.items():
                put(name, value)
        finally:
            for number, handler in self.handlers.items():
                signal.signal(number, handler)


class Memory:
    """The process that holds the guests' memory."""

    def __init__(self, program, files):
        self.process = subprocess.Popen([program, *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        values = self.answer()
        self.pages, self.changed = values["pages"], values["changed"]

    def answer(self):
        values = {}
        for line in self.process.stdout:
            words = line.split()
            if words == ["done"]:
                return values
            values[words[0]] = int(words[1])
        raise KsmError("the process that holds the memory ended")

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.kill()
        self.process.wait()


class Ksmd:
    """ksmd, over the memory of one process, under one setting."""

    def __init__(self, memory, zero, smart, max_sharing):
        self.memory = memory
        self.pid = ksmd_pid()
        self.sleep = LONG_SLEEP
        put("run", UNMERGE)
        put("run", 0)
        if (KSM / "advisor_mode").exists():
            put("advisor_mode", "none")
        put("max_page_sharing", max_sharing)
        put("use_zero_pages", zero)
        if (KSM / "smart_scan").exists():
            put("smart_scan", smart)
        put("pages_to_scan", memory.pages + 100_000)
        put("sleep_millisecs", self.sleep)
        self.running = False

    def cpu_ns(self):
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0])

    def asleep(self):
        return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S"

    def wake(self):
        if self.running:
            self.sleep += 1
            put("sleep_millisecs", self.sleep)
        else:
            put("run", 1)
            self.running = True

    def step(self):
        """One pass; returns ksmd's CPU time for it in ns, and whether no pages of others were scanned with it."""
        clean = not others_mergeable(self.memory.pid)[1]
        before, scans = self.cpu_ns(), count("full_scans")
        self.wake()
        end = time.monotonic() + 120
        while count("full_scans") == scans or not self.asleep():
            if time.monotonic() > end:
                raise KsmError("ksmd did not end its pass within two minutes")
            time.sleep(0.002)
        clean = clean and not others_mergeable(self.memory.pid)[1]
        return self.cpu_ns() - before, clean


def slab_bytes():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("SUnreclaim:"):
            return int(line.split()[1]) * 1024
    return None
