# SPDX-License-Identifier: MIT
"""QEMU's machine protocol: one command a connection."""
import json
import socket


class QmpError(Exception):
    """QEMU refused, in its own words."""


def qmp(path, command, **arguments):
    """What the QEMU behind this socket returns for a command."""
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(120)
        wire.connect(str(path))
        stream = wire.makefile("rw")
        stream.readline()
        for name, values in (("qmp_capabilities", {}), (command, arguments)):
            stream.write(json.dumps({"execute": name, "arguments": values}) + "\n")
            stream.flush()
            while True:
                answer = json.loads(stream.readline())
                if "error" in answer:
                    raise QmpError(f"QEMU refused {name}: {answer['error']['desc']}")
                if "return" in answer:
                    break
    return answer["return"]
