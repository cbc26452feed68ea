# SPDX-License-Identifier: MIT
"""Starts an emulator on a bundle and gives its serial port as a file descriptor.

The settings were measured; the traps behind each are in docs/machines.md.
"""
import contextlib
import ctypes
import fcntl
import os
import pty
import shutil
import signal
import socket
import subprocess
import tempfile
import termios
import time
import tty
from pathlib import Path

from .qmp import QmpError, Shaker, qmp

TOP = Path(__file__).resolve().parents[2]
BUILD = TOP / "build"

OVMF_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
OVMF_VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"

BOCHSRC = """\
config_interface: textconfig
display_library: rfb, options="timeout=0"
romimage: file={bios}{bios_options}
vga: extension=none
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
boot: cdrom
pci: enabled=1, chipset=i440fx
clock: sync=none, time0=1767225600
com1: enabled=1, mode=term, dev={tty}
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={iso}, status=inserted
memory: guest={memory}, host={memory}
cpu: model={cpu}, count={smp}, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=0
log: {log}
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
port_e9_hack: enabled={e9}
speaker: enabled=0
sound: waveoutdrv=dummy, waveout=none, waveindrv=dummy, wavein=none, midioutdrv=dummy, midiout=none
"""


# Where Quire maps all of RAM (arch/x86_64/paging.h).
DIRECT_MAP = 0xffff800000000000


PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with_parent():
    """In the emulator's process before it starts: if we are killed, nobody else would end it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class MachineError(Exception):
    """The emulator could not be started; the text says why and what to do."""


def need(program, package):
    if not shutil.which(program):
        raise MachineError(f"{program} is not installed; `tools/with-deps true` installs package {package}")


def tool(*arguments):
    """Run one of our own tools; its output is the message if it fails."""
    done = subprocess.run([str(a) for a in arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise MachineError(done.stdout.rstrip() or f"{arguments[0]} failed")


def clusters(frames, gap=64):
    """Sorted machine frames as (first, count) ranges; what lies in small gaps is taken along."""
    ranges = []
    for mfn in sorted(set(frames)):
        if ranges and mfn - sum(ranges[-1]) < gap:
            ranges[-1] = (ranges[-1][0], mfn + 1 - ranges[-1][0])
        else:
            ranges.append((mfn, 1))
    return ranges


class Machine:
    """One run of one emulator."""

    def __init__(self, options):
        self.options = options
        self.process = None
        self.fd = None
        self.shaker = None
        self.cpu_seconds = 0.0  # that it took of the host's processors, once it has stopped: on a busy host they say more than a clock
        base = BUILD / "run"
        base.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{options.machine}-", dir=base))

    # ---- images

    def bundle(self):
        path = self.folder / "run.bundle"
        tool(TOP / "tools/pack", "--out", path, "--search", BUILD / "guests",
             "--search", getattr(self.options, "linux", BUILD / "linux"), self.options.config)
        return path

    def iso(self):
        path = self.folder / "run.iso"
        append = self.options.append
        if self.options.machine == "bochs" and "smt=" not in append:
            # Bochs' CPUs share nothing, but its CPUID calls them threads of one core, which
            # Quire would park where L1TF or MDS asks for that.
            append = f"smt=on {append}".strip()
        arguments = [TOP / "tools/mkiso", "--out", path, "--elf", self.options.elf, "--cmdline", append]
        if self.options.config:
            arguments += ["--bundle", self.bundle()]
        for module in self.options.modules:
            arguments += ["--module", module]
        if self.options.grub:
            arguments += ["--extra-grub", self.options.grub]
        tool(*arguments)
        return path

    # ---- starting

    def start(self):
        if not Path(self.options.elf).exists():
            raise MachineError(f"{self.options.elf} is not built; type `make` first")
        if self.options.machine == "bochs":
            self.start_bochs()
        else:
            self.start_qemu()

    def qemu_arguments(self):
        o = self.options
        arguments = ["qemu-system-x86_64", "-display", "none", "-no-reboot", "-nic", "none", "-m", str(o.memory),
                     "-machine", "mem-merge=off",  # not a matter for the KSM of the machine that QEMU runs on
                     "-smp", str(o.smp), "-rtc", "base=2026-01-01T00:00:00,clock=vm", "-serial", "stdio",
                     "-qmp", f"unix:{self.folder}/qmp,server=on,wait=off"]
        if getattr(o, "shake", False):
            arguments += ["-qmp", f"unix:{self.folder}/shake,server=on,wait=off"]
        if o.kvm:
            arguments += ["-accel", "kvm", "-cpu", o.cpu or "host"]
        else:
            arguments += ["-accel", "tcg", "-cpu", o.cpu or "max"]
        if o.count is not False:
            # One instruction is 2^count nanoseconds of machine time; True is 2^0.
            arguments += ["-icount", f"shift={0 if o.count is True else o.count},sleep=off"]
        if getattr(o, "trace", None):
            arguments += ["-chardev", f"file,id=trace,path={self.trace_path()}", "-device", "isa-debugcon,iobase=0xe9,chardev=trace"]
        if o.uefi:
            variables = self.folder / "vars.fd"
            shutil.copy(OVMF_VARS, variables)
            arguments += ["-M", "q35", "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}",
                          "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
        if o.iso or o.uefi:
            arguments += ["-cdrom", str(self.iso())]
        else:
            arguments += ["-kernel", str(o.elf), "-append", o.append]
            if o.config:
                arguments += ["-initrd", str(self.bundle())]
        return arguments

    def start_qemu(self):
        need("qemu-system-x86_64", "qemu-system-x86")
        if self.options.kvm and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            raise MachineError("--kvm: /dev/kvm is not there or not ours to open; leave --kvm out")
        ours, theirs = socket.socketpair()
        log = open(self.folder / "emulator.log", "wb")
        self.process = subprocess.Popen(self.qemu_arguments(), stdin=theirs, stdout=theirs, stderr=log,
                                        start_new_session=True, preexec_fn=die_with_parent)
        theirs.close()
        self.fd = ours.detach()
        self.nonblocking()
        if getattr(self.options, "shake", False):
            self.shaker = Shaker(self.folder / "shake")
            self.shaker.start()

    def start_bochs(self):
        need("bochs", "bochs")
        master, slave = pty.openpty()
        tty.setraw(master, termios.TCSANOW)
        tty.setraw(slave, termios.TCSANOW)
        o = self.options
        bios = o.bios or "/usr/share/bochs/BIOS-bochs-latest"
        rc = self.folder / "bochsrc"
        rc.write_text(BOCHSRC.format(bios=bios, bios_options="" if o.bios else ", options=fastboot",
                                     tty=os.ttyname(slave), iso=self.iso(), memory=o.memory,
                                     cpu=o.cpu or "corei7_haswell_4770", smp=o.smp, ips=o.ips, e9=int(bool(getattr(o, "trace", None))), log=self.folder / "bochs.log"))
        debugger = self.folder / "debugger"
        debugger.write_text("c\n")
        self.debugger_log = open(self.folder / "emulator.log", "wb")
        self.process = subprocess.Popen(["bochs-bin", "-q", "-f", str(rc), "-rc", str(debugger)], stdin=subprocess.PIPE,
                                        stdout=self.debugger_log, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=die_with_parent)
        self.slave = slave  # stays open, so that the line does not hang up between opens
        self.fd = master
        self.nonblocking()

    def nonblocking(self):
        flags = fcntl.fcntl(self.fd, fcntl.F_GETFL)
        fcntl.fcntl(self.fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)

    # ---- while it runs

    def trace_path(self):
        """Where what leaves by port 0xe9 is now: on Bochs its standard output. options.trace True: in the run's folder."""
        if self.options.machine == "bochs":
            return self.folder / "emulator.log"
        return self.folder / "trace.raw" if self.options.trace is True else self.options.trace

    def alive(self):
        if self.process.returncode is not None:
            return False
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None  # reap() is yet to come

    def reap(self):
        if self.process.returncode is None:
            _, status, usage = os.wait4(self.process.pid, 0)
            self.process.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_seconds = usage.ru_utime + usage.ru_stime

    def dump(self, path, frames=None):
        """Machine memory into a file, each frame at its place; the machine stands still meanwhile.

        frames: only these machine frames are needed. Bochs can write no others, as it reads through Quire's direct
        map, which leaves the hypervisor's own image out.
        """
        if self.options.machine == "qemu":
            with self.shaker.held if self.shaker else contextlib.nullcontext():
                self.qmp("stop")
                self.qmp("pmemsave", val=0, size=self.options.memory << 20, filename=str(path))
                self.qmp("cont")
        elif frames is None:
            raise MachineError("on Bochs a dump needs the list of frames that are wanted")
        else:
            self.bochs_dump(path, clusters(frames))

    def qmp(self, command, **arguments):
        try:
            return qmp(self.folder / "qmp", command, **arguments)
        except QmpError as refused:
            raise MachineError(str(refused)) from refused

    def bochs_dump(self, path, ranges):
        """Stop Bochs in its debugger and write memory through Quire's direct map."""
        parts = [(first, count, self.folder / f"part{first:x}") for first, count in ranges]
        os.kill(self.process.pid, signal.SIGINT)
        time.sleep(0.5)
        for first, count, part in parts:
            self.process.stdin.write(f'writemem "{part}" {DIRECT_MAP + first * 4096:#x} {count * 4096}\n'.encode())
        self.process.stdin.write(b"c\n")
        self.process.stdin.flush()
        deadline = time.monotonic() + 60
        with open(path, "wb") as out:
            for first, count, part in parts:
                while not (part.exists() and part.stat().st_size == count * 4096):
                    if time.monotonic() > deadline:
                        raise MachineError(f"Bochs wrote no memory dump; see {self.folder}/emulator.log")
                    time.sleep(0.05)
                out.seek(first * 4096)
                out.write(part.read_bytes())
                part.unlink()

    def stop(self, keep=False):
        if self.process and self.alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.process:
            self.reap()
        if self.process and self.options.machine == "bochs" and isinstance(getattr(self.options, "trace", None), (str, Path)):
            shutil.copy(self.trace_path(), self.options.trace)
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
