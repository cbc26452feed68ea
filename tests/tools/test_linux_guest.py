#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The kernel inside of a made-up bzImage is found whatever packs it, and what is damaged is refused with a sentence."""
import bz2
import gzip
import io
import lzma
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
from quire_tools import bzimage, cpio  # noqa: E402
from quire_tools.linux_guest import Wanted  # noqa: E402

KERNEL = b"\x7fELF" + bytes(range(256)) * 100


def by_program(*words):
    return lambda data: subprocess.run(words, input=data, stdout=subprocess.PIPE, check=True).stdout


PACKERS = {
    "gzip": lambda data: gzip.compress(data, mtime=0), "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, lzma.FORMAT_XZ), "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "lz4": by_program("lz4", "-l", "-9", "-c"), "zstd": by_program("zstd", "-q", "-c"),
}


def image(packed, setup_sectors=3, magic=b"HdrS", version=0x20F, offset=700, length=None, tail=b"what follows"):
    head = bytearray((setup_sectors + 1) * 512 + 700)
    head[0x1F1] = setup_sectors
    head[0x202:0x206] = magic
    struct.pack_into("<H", head, 0x206, version)
    struct.pack_into("<II", head, 0x248, offset, len(packed) if length is None else length)
    return bytes(head) + packed + tail


def packed_by(name, size=None):
    """As the kernel's build packs it: gzip ends in the size anyway, to the others it is added."""
    packed = PACKERS[name](KERNEL)
    size = struct.pack("<I", len(KERNEL) if size is None else size)
    return packed[:-4] + size if name == "gzip" else packed + size


def refused(data, words):
    try:
        bzimage.unpack(data)
    except bzimage.BadImage as mistake:
        return words in str(mistake)
    return False


def damaged():
    data = bytearray(packed_by("xz"))
    data[len(data) // 2] ^= 1
    return bytes(data)


def archive_is_read_back():
    """Debian's own cpio is not needed: bsdtar, GNU cpio or none, so the format is read here by its definition."""
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(f"{folder}/b/c")
        Path(f"{folder}/b/c/file").write_bytes(b"12345")
        os.symlink("c/file", f"{folder}/b/link")
        out = io.BytesIO()
        cpio.tree(folder, out.write, [("dev", 0o40755, 0, 0)])
    data, at, seen = out.getvalue(), 0, []
    while True:
        fields = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110:at + 110 + fields[11] - 1].decode()
        body = (at + 110 + fields[11] + 3) & ~3
        if data[at:at + 6] != b"070701" or name == "TRAILER!!!":
            break
        seen.append((name, fields[1] & 0o170000, data[body:body + fields[6]]))
        at = (body + fields[6] + 3) & ~3
    return name == "TRAILER!!!" and seen == [("b", 0o40000, b""), ("b/c", 0o40000, b""), ("b/c/file", 0o100000, b"12345"),
                                             ("b/link", 0o120000, b"c/file"), ("dev", 0o40000, b"")]


def wanted_is_parsed():
    wanted = Wanted("# a comment\none\ndisk two # why\n\nnot three\n")
    return (wanted.memory, wanted.disk, wanted.out) == (["one"], ["two"], ["three"])


CASES = [(f"a kernel packed by {name}", lambda name=name: bzimage.unpack(image(packed_by(name))) == (KERNEL, name))
         for name in PACKERS] + [
    ("no setup sectors means four", lambda: bzimage.unpack(image(packed_by("xz"), 4).replace(b"\x04", b"\0", 1))[0] == KERNEL),
    ("no Linux image", lambda: refused(image(packed_by("xz"), magic=b"HdrT"), "no Linux setup header")),
    ("an empty file", lambda: refused(b"", "no Linux setup header")),
    ("an old protocol", lambda: refused(image(packed_by("xz"), version=0x207), "2.07: too old")),
    ("a length past the end", lambda: refused(image(packed_by("xz"), length=1 << 30), "points outside")),
    ("an offset past the end", lambda: refused(image(packed_by("xz"), offset=1 << 31), "points outside")),
    ("a packing that is not known", lambda: refused(image(b"quire" * 10), "not known here")),
    ("another size than was promised", lambda: refused(image(packed_by("bzip2", 5)), "not to 5")),
    ("damaged xz", lambda: refused(image(damaged()), "is damaged")),
    ("damaged zstd", lambda: refused(image(packed_by("zstd")[:40] + bytes(4)), "cannot unpack")),
    ("something else than a kernel", lambda: refused(image(gzip.compress(b"hello")), "not an ELF file")),
    ("an archive of a tree, in order, with links and devices", archive_is_read_back),
    ("the list of packages", wanted_is_parsed),
]


def main():
    failed = 0
    print(f"1..{len(CASES)}")
    for number, (name, case) in enumerate(CASES, 1):
        good = case()
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
