# SPDX-License-Identifier: MIT
"""The ELF kernel inside of a bzImage.

Linux, Documentation/x86/boot.rst: the setup header says where the payload is (payload_offset, counted from the
protected-mode code, and payload_length, since protocol 2.08), and its first bytes say how it is compressed.
The length that unpacks from it is the payload's last four bytes, in all formats.
"""
import bz2
import lzma
import shutil
import struct
import subprocess
import zlib

SECTOR = 512


class BadImage(Exception):
    """A sentence about a file that is no kernel of the kind that we can open."""


def by_program(program, package):
    def unpack(data):
        if not shutil.which(program):
            raise BadImage(f"the kernel is compressed by {program}, which is missing: apt-get install {package}")
        done = subprocess.run([program, "-dc"], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            raise BadImage(f"{program} cannot unpack the kernel: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout
    return unpack


# First bytes: (name, function of the payload without its last four bytes; gzip's are part of the format itself).
FORMATS = {
    b"\x1f\x8b": ("gzip", lambda data: zlib.decompressobj(31).decompress(data)),
    b"\xfd7zXZ\0": ("xz", lambda data: lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data)),
    b"\x5d\0\0": ("lzma", lambda data: lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(data)),
    b"BZh": ("bzip2", bz2.decompress),
    b"\x02!L\x18": ("lz4", by_program("lz4", "lz4")),
    b"(\xb5/\xfd": ("zstd", by_program("zstd", "zstd")),
    b"\x89LZO": ("lzo", by_program("lzop", "lzop")),
}


def payload(image):
    """The compressed part of a bzImage, its last four bytes included."""
    if len(image) < 0x250 or image[0x202:0x206] != b"HdrS":
        raise BadImage("it has no Linux setup header")
    version, = struct.unpack_from("<H", image, 0x206)
    if version < 0x208:
        raise BadImage(f"its boot protocol is {version >> 8}.{version & 255:02}: too old to say where the kernel is")
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    begin = (setup_sectors + 1) * SECTOR + offset
    if length < 8 or begin + length > len(image):
        raise BadImage("its header points outside of the file")
    return image[begin:begin + length]


def unpack(image):
    """(vmlinux, name of the compression)."""
    packed = payload(image)
    for magic, (name, function) in FORMATS.items():
        if packed.startswith(magic):
            break
    else:
        raise BadImage(f"its kernel is packed in a way not known here (it begins {packed[:6].hex(' ')})")
    try:
        kernel = function(packed if name == "gzip" else packed[:-4])
    except (zlib.error, lzma.LZMAError, OSError, ValueError) as error:
        raise BadImage(f"its {name} payload is damaged: {error}") from error
    expected, = struct.unpack("<I", packed[-4:])
    if len(kernel) & 0xFFFFFFFF != expected:
        raise BadImage(f"its {name} payload unpacks to {len(kernel)} bytes, not to {expected}")
    if kernel[:4] != b"\x7fELF":
        raise BadImage("what is packed in it is not an ELF file")
    return kernel, name
