# SPDX-License-Identifier: MIT
"""Writes cpio archives ("newc"): of bundles, and of an initramfs.

The format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst. Times, owners and inode numbers
are constant or counted, so that the same files make the same archive.
"""
import os
import stat


def pad(data):
    return data + bytes(-len(data) % 4)


def member(name, data, number, mode=0o100444, device=(0, 0)):
    name = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + name
    return pad(head) + pad(data)


def trailer():
    return member("TRAILER!!!", b"", 0)


def archive(files):
    """files: pairs of name and bytes, in their order."""
    return b"".join(member(n, d, i + 1) for i, (n, d) in enumerate(files)) + trailer()


def names_below(top):
    """Every path below a folder, parents before children, in one order whatever the file system's is."""
    for folder, folders, files in os.walk(top):
        folders.sort()
        for name in sorted(folders + files):
            yield os.path.relpath(os.path.join(folder, name), top)


def tree(top, write, devices=()):
    """A folder as an archive, piece by piece to write(); devices: (name, mode, major, minor)."""
    number = 0
    for number, name in enumerate(sorted(names_below(top)), 1):
        path = os.path.join(top, name)
        mode = os.lstat(path).st_mode
        data = b""
        if stat.S_ISLNK(mode):
            data = os.readlink(path).encode()
        elif stat.S_ISREG(mode):
            with open(path, "rb") as file:
                data = file.read()
        elif not stat.S_ISDIR(mode):
            continue
        write(member(name, data, number, mode))
    for name, mode, major, minor in devices:
        number += 1
        write(member(name, b"", number, mode, (major, minor)))
    write(trailer())
