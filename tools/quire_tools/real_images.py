# SPDX-License-Identifier: MIT
"""Memory of Linux guests at work: several are booted under plain QEMU, and dumped at two instants.

Each guest's RAM is a file that QEMU maps, so a dump is a copy of that file while the guest stands still. The guests
have one disk in common, as if cloned, and each writes to a copy of its own that is forgotten. vmlinuz is started the
way a boot loader starts it, so the kernel lies at a random address in each guest (KASLR), as on a real machine.
"""
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .image_files import Set, find_set, put_set
from .linux_guest import sum_of
from .machine import MachineError, die_with_parent, need
from .qmp import qmp

# What the guests do, and how many MiB of files each has read before: machines that have been up for a while.
WORKS = [["idle", 30], ["python", 50], ["files", 0], ["compile", 30], ["web", 30]]
UNDER_WAY = 5  # rounds of work before the first dump
# Anywhere in a line: the shell's prompt may stand before it.
ROUND = re.compile(r"linux: work \w+ round (\d+) ok")
BAD = re.compile(r"linux: work .*(?:BAD|ended, status [1-9]).*")


@dataclass
class Settings:
    folder: Path     # of the manifest
    vms: int
    mib: int
    apart: float     # seconds from t0 to t1
    timeout: float   # seconds until the work must be under way
    linux: Path      # what `make linux-disk` made

    def packages(self):
        """Names and versions: the kernel, and what is on the disk."""
        kernel, disk = (json.loads((self.linux / name).read_text())[part]
                        for name, part in (("packages.json", "kernel"), ("disk.json", "disk")))
        return {"kernel": kernel, "disk": disk}

    def made(self):
        """What makes this set another one than a set that is there: of the disk only what is on it, as no two are equal."""
        packages = json.dumps(self.packages()["disk"])
        return {"by": "guests", "vms": self.vms, "mib": self.mib, "apart_seconds": self.apart, "works": WORKS[:self.vms],
                "packages": sum_of(self.linux / "packages.json"), "disk": hashlib.sha256(packages.encode()).hexdigest()}


class Guest:
    """One QEMU."""

    def __init__(self, settings, number, folder):
        self.work, self.warm = WORKS[number % len(WORKS)]
        self.name = f"vm{number}"
        self.ram = folder / f"{self.name}.ram"
        self.socket = folder / f"{self.name}.qmp"
        self.console = folder / f"{self.name}.log"
        self.console.touch()
        self.started = time.monotonic()
        log = open(folder / f"{self.name}.qemu", "wb")
        self.process = subprocess.Popen(self.command(settings), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        env={**os.environ, "TMPDIR": str(folder)}, preexec_fn=die_with_parent)

    def command(self, settings):
        # no_timer_check: on a busy machine Linux counts too few ticks of the emulated timer, and panics.
        return ["qemu-system-x86_64", "-accel", "tcg", "-nodefaults", "-display", "none", "-no-reboot",
                "-object", f"memory-backend-file,id=ram,size={settings.mib}M,mem-path={self.ram},share=on,merge=off",
                "-machine", "pc,memory-backend=ram", "-m", str(settings.mib),
                "-kernel", str(settings.linux / "vmlinuz"), "-initrd", str(settings.linux / "initrd-small.img"),
                "-append", f"console=ttyS0 panic=-1 no_timer_check root=/dev/vda work={self.work} warm={self.warm} name={self.name}",
                "-drive", f"if=virtio,format=raw,snapshot=on,file={settings.linux / 'disk.ext4'}",
                "-serial", f"file:{self.console}", "-qmp", f"unix:{self.socket},server=on,wait=off"]

    def rounds(self):
        """How many rounds of work are done; MachineError if the guest is not well."""
        text = self.console.read_text(errors="replace")
        if self.process.poll() is not None:
            said = self.console.with_suffix(".qemu").read_text(errors="replace").strip()
            raise MachineError(f"{self.name}: QEMU ended with status {self.process.returncode}: {said or text[-400:]}")
        if bad := BAD.search(text):
            raise MachineError(f"{self.name}: {bad.group(0)}")
        return max(map(int, ROUND.findall(text)), default=0)

    def last_words(self):
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-8:])

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def wait_until_under_way(guests, timeout, say):
    begin = told = time.monotonic()
    while True:
        rounds = [guest.rounds() for guest in guests]
        state = ", ".join(f"{g.name} {g.work} {f'round {r}' if r else 'starts'}" for g, r in zip(guests, rounds))
        if min(rounds) >= UNDER_WAY:
            say(f"real: under way after {time.monotonic() - begin:.0f} s: {state}")
            return
        if time.monotonic() - begin > timeout:
            late = [guest for guest, r in zip(guests, rounds) if r < UNDER_WAY]
            raise MachineError(f"after {timeout:.0f} s not all guests are at work: {state}\n" +
                               "\n".join(f"{guest.name} said last:\n{guest.last_words()}" for guest in late))
        if time.monotonic() - told > 15:
            told = time.monotonic()
            say(f"real: {told - begin:4.0f} s: {state}")
        time.sleep(0.5)


def dump(guests, folder, when, say):
    """All guests at one instant, as near as QEMU stops them; (time of it, seconds that it took)."""
    for guest in guests:
        qmp(guest.socket, "stop")
    instant = time.monotonic()
    for guest in guests:
        shutil.copyfile(guest.ram, folder / f"{guest.name}.{when}")
    for guest in guests:
        qmp(guest.socket, "cont")
    took = time.monotonic() - instant
    say(f"real: {when} written in {took:.1f} s")
    return instant, took


def run(settings, folder, say):
    """Boot, wait, dump twice; what the manifest says of the guests."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="run.") as scratch:
        guests = []
        try:
            for number in range(settings.vms):
                guests.append(Guest(settings, number, Path(scratch)))
            say(f"real: {settings.vms} guests of {settings.mib} MiB: " + ", ".join(g.work for g in guests))
            wait_until_under_way(guests, settings.timeout, say)
            first, stood_still = dump(guests, folder, "t0", say)
            rounds = [guest.rounds() for guest in guests]
            time.sleep(settings.apart)
            second, _ = dump(guests, folder, "t1", say)
            return [{"name": g.name, "work": g.work, "up_seconds": {"t0": round(first - g.started, 1),
                                                                    "t1": round(second - g.started - stood_still, 1)},
                     "rounds": {"t0": before, "t1": g.rounds()},
                     "sha256": {when: sum_of(folder / f"{g.name}.{when}") for when in ("t0", "t1")}}
                    for g, before in zip(guests, rounds)]
        finally:
            for guest in guests:
                guest.end()


def make_set(settings, force, say):
    """The manifest's entry of the set "real", and whether it was there."""
    for name in ("vmlinuz", "initrd-small.img", "packages.json", "disk.ext4", "disk.json"):
        if not (settings.linux / name).exists():
            raise MachineError(f"{settings.linux / name} is not there; type `make linux-disk` first")
    need("qemu-system-x86_64", "qemu-system-x86")
    made = settings.made()
    entry = None if force else find_set(settings.folder, "real", made)
    if entry:
        return entry, True
    settings.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.folder, prefix=".real.") as scratch:
        guests = run(settings, Path(scratch), say)
        shutil.rmtree(settings.folder / "real", ignore_errors=True)
        Path(scratch).rename(settings.folder / "real")
        Path(scratch).mkdir()  # for TemporaryDirectory to remove
    (settings.folder / "real").chmod(0o755)
    vms = [{when: f"real/{guest['name']}.{when}" for when in ("t0", "t1")} for guest in guests]
    entry = {"name": "real", "vms": vms, "made": made, "guests": guests, "packages": settings.packages()}
    say("real: counting")
    entry["truth"] = Set(settings.folder, entry).count()
    put_set(settings.folder, entry)
    return entry, False
