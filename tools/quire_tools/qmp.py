# SPDX-License-Identifier: MIT
"""QEMU's machine protocol, over a socket that it listens on."""
import json
import socket
import threading
import time


class QmpError(Exception):
    """QEMU refused, in its own words."""


class Wire:
    """One connection."""

    def __init__(self, path):
        self.wire = socket.socket(socket.AF_UNIX)
        self.wire.settimeout(120)
        self.wire.connect(str(path))
        self.stream = self.wire.makefile("rw")
        self.stream.readline()
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        """What QEMU returns for a command; events are passed over."""
        self.stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            line = self.stream.readline()
            if not line:
                raise EOFError("QEMU has ended")
            answer = json.loads(line)
            if "error" in answer:
                raise QmpError(f"QEMU refused {name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def close(self):
        self.stream.close()
        self.wire.close()


def qmp(path, command, **arguments):
    """The same with a connection of its own."""
    wire = Wire(path)
    try:
        return wire.command(command, **arguments)
    finally:
        wire.close()


class Shaker(threading.Thread):
    """Stops and continues a QEMU some hundred times a second, so that its CPUs leave their loops wherever they are.

    Nothing that a guest can see depends on it, but for QEMU's own mistakes: see docs/machines.md.
    """
    PAUSE = 0.001

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path = path
        self.held = threading.Lock()  # who has it is not disturbed
        self.times = 0

    def connect(self):
        for _ in range(100):
            try:
                return Wire(self.path)
            except OSError:  # not there yet
                time.sleep(0.05)
        raise EOFError("QEMU does not listen")

    def run(self):
        try:
            wire = self.connect()
            while True:
                with self.held:
                    wire.command("stop")
                    wire.command("cont")
                self.times += 1
                time.sleep(self.PAUSE)
        except (OSError, EOFError, ValueError):
            pass  # QEMU has ended
