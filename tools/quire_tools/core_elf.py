# SPDX-License-Identifier: MIT
"""One guest of a core file as an ELF core, in Xen's dump-core format with program headers besides.

Sections as Xen's docs/misc/dump-core-format.txt has them (.note.Xen, .xen_prstatus, .xen_shared_info, .xen_pfn, .xen_pages),
which is what tools for Xen read. Program headers map the same pages at their guest-physical addresses, with a
PT_NOTE that has each vCPU's registers (NT_PRSTATUS), and the guest kernel's VMCOREINFO if it has one. gdb and drgn know
these. For a Linux kernel the pages of its image are mapped once more, where it has them itself: its symbols are found, and its
page tables, from which drgn translates all other addresses.
"""
import re
import struct

from .core_file import CoreError, private
from .oracle import PAGE, pages_of

EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
SHDR = struct.Struct("<IIQQQQIIQQ")
IDENT = b"\x7fELF\x02\x01\x01" + bytes(9)
ET_CORE, EM_X86_64 = 4, 62
PT_LOAD, PT_NOTE = 1, 4
PF_RWX = 7
SHT_PROGBITS, SHT_STRTAB, SHT_NOTE = 1, 3, 7
NT_PRSTATUS = 1
PN_XNUM = 0xffff
KERNEL_MAP = 0xffffffff80000000  # Documentation/x86/x86_64/mm.rst: the kernel's text mapping

# xen/include/public/elfnote.h
XEN_NONE, XEN_HEADER, XEN_VERSION, XEN_FORMAT = 0x2000000, 0x2000001, 0x2000002, 0x2000003
MAGIC_HVM = 0xF00FEBEE
FORMAT_0_1 = 1  # major in the upper half, minor in the lower

# In the order of Linux' struct user_regs_struct; orig_rax is none.
USER = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi - rip cs rflags rsp ss fs_base gs_base ds es fs gs".split()
PRSTATUS_BYTES, PRSTATUS_PID, PRSTATUS_REGS = 336, 32, 112

# Xen's struct vcpu_guest_context of x86-64: where the parts are that we know.
CONTEXT_BYTES, CONTEXT_REGS, CONTEXT_CTRL, CONTEXT_FS = 5168, 520, 4984, 5144
CPU_USER = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi".split()

VMCOREINFO = re.compile(rb"\x0b\0\0\0(....)\0\0\0\0VMCOREINFO\0\0", re.DOTALL)


def note(name, kind, desc):
    name += b"\0"
    return struct.pack("<III", len(name), len(desc), kind) + b"".join(part + bytes(-len(part) % 4) for part in (name, desc))


def prstatus(number, registers):
    out = bytearray(PRSTATUS_BYTES)
    struct.pack_into("<I", out, PRSTATUS_PID, number + 1)
    struct.pack_into("<27Q", out, PRSTATUS_REGS, *(registers.get(name, 0) for name in USER))
    return bytes(out)


def guest_context(registers):
    def get(name):
        return registers.get(name, 0)

    out = bytearray(CONTEXT_BYTES)
    struct.pack_into("<15Q", out, CONTEXT_REGS, *(get(name) for name in CPU_USER))
    # error_code and entry_vector, then rip, cs with padding, rflags, rsp, ss, es, ds, fs, gs
    struct.pack_into("<IIQQQQQQQQQ", out, CONTEXT_REGS + 120, 0, 0, get("rip"), get("cs"), get("rflags"), get("rsp"), get("ss"),
                     get("es"), get("ds"), get("fs"), get("gs"))
    struct.pack_into("<5Q", out, CONTEXT_CTRL, get("cr0"), 0, get("cr2"), get("cr3"), get("cr4"))
    user = get("cs") & 3 == 3
    struct.pack_into("<QQQ", out, CONTEXT_FS, get("fs_base"), *((0, get("gs_base")) if user else (get("gs_base"), 0)))
    return bytes(out)


def xen_notes(vcpus, pages):
    version = struct.pack("<QQ16s144s1024s64sQQ", 4, 17, b"", b"", b"", b"", 0, PAGE)
    return (note(b"Xen", XEN_NONE, b"") + note(b"Xen", XEN_HEADER, struct.pack("<QQQQ", MAGIC_HVM, vcpus, pages, PAGE)) +
            note(b"Xen", XEN_VERSION, version) + note(b"Xen", XEN_FORMAT, struct.pack("<Q", FORMAT_0_1)))


def vmcoreinfo(pages):
    """The text of the note that a Linux kernel keeps of itself in its memory; nothing if there is none."""
    for page in pages:
        found = VMCOREINFO.search(page)
        if found:
            size = struct.unpack("<I", found.group(1))[0]
            text = page[found.end():found.end() + size]
            if len(text) == size and text.startswith(b"OSRELEASE="):
                return text
    return b""


def kernel_image(info):
    """(virtual less physical address, bytes) of x86-64 Linux' map of its own image, by that text; (0, 0) if it says nothing."""
    base, size = (re.search(rb"NUMBER\(%s\)=(\d+)" % name, info) for name in (b"phys_base", b"KERNEL_IMAGE_SIZE"))
    return (KERNEL_MAP - int(base.group(1)), int(size.group(1))) if base and size else (0, 0)


class Image:
    """The guest's pages with content, in the order of their guest frames."""

    def __init__(self, core, domain):
        self.core, self.domain = core, domain
        runs = [r for r in core.runs if r.domain == domain and r.kind not in ("ballooned", "compressed")]
        self.runs = sorted(runs, key=lambda r: r.gfn)
        self.gfns = [gfn for run in self.runs for gfn, _ in pages_of(run)]

    def __iter__(self):
        for run in self.runs:
            for _, number in pages_of(run):
                yield self.core.content(run, number)

    def never_touched(self):
        """(first guest frame, pages) of what was promised and never written: it reads as zeroes and is nowhere stored."""
        d = self.core.domains[self.domain]
        taken = sorted((r.gfn, r.count) for r in self.core.runs if r.domain == self.domain)
        for first, pages in ((0, d["low_pages"]), (d["high_first"], d["high_pages"])):
            at, end = first, first + pages
            for gfn, count in [(g, n) for g, n in taken if g < end and g + n > first] + [(end, 0)]:
                if gfn > at:
                    yield at, gfn - at
                at = max(at, gfn + count)

    def segments(self):
        """(first guest frame, pages, page of the image at which it begins) of each contiguous part."""
        out, at = [], 0
        for run in self.runs:
            if out and out[-1][0] + out[-1][1] == run.gfn:
                out[-1][1] += run.count
            else:
                out.append([run.gfn, run.count, at])
            at += run.count
        return out


class Layout:
    """Where the parts of the file go; add() returns the offset."""

    def __init__(self, start):
        self.at = start
        self.parts = []

    def add(self, data, align=8):
        self.at += -self.at % align
        self.parts.append((self.at, data))
        self.at += len(data)
        return self.parts[-1][0]


def write(path, core, word):
    """The ELF core of one guest; returns (pages, segments)."""
    domain = core.guest(word)
    image = Image(core, domain["domain"])
    vcpus, info = domain["vcpus"], vmcoreinfo(image)
    at_virtual, kernel_bytes = kernel_image(info)
    # (virtual address, physical address, bytes, at which byte of the image; None: zeroes)
    segments = [(gfn * PAGE, gfn * PAGE, count * PAGE, at * PAGE) for gfn, count, at in image.segments()]
    segments += [(gfn * PAGE, gfn * PAGE, count * PAGE, None) for gfn, count in image.never_touched()]
    segments += [(physical + at_virtual, physical, size, at) for _, physical, size, at in segments
                 if physical + size <= kernel_bytes and physical + at_virtual >= KERNEL_MAP]
    loads = len(segments)
    if loads + 1 >= PN_XNUM:
        raise CoreError(f"{loads} separate pieces of memory are more than an ELF file's program headers can name")
    cpu_notes = b"".join(note(b"CORE", NT_PRSTATUS, prstatus(i, v)) for i, v in enumerate(vcpus) if v)
    cpu_notes += note(b"VMCOREINFO", 0, info) if info else b""
    names = b"\0.shstrtab\0.note.Xen\0.xen_prstatus\0.xen_pfn\0.xen_pages\0"

    layout = Layout(EHDR.size + PHDR.size * (loads + 1))
    notes_at = layout.add(cpu_notes)
    sections = [(b".shstrtab", SHT_STRTAB, layout.add(names), len(names), 0)]
    for name, kind, data, size in ((b".note.Xen", SHT_NOTE, xen_notes(len(vcpus), len(image.gfns)), 0),
                                   (b".xen_prstatus", SHT_PROGBITS, b"".join(map(guest_context, vcpus)), CONTEXT_BYTES),
                                   (b".xen_pfn", SHT_PROGBITS, struct.pack(f"<{len(image.gfns)}Q", *image.gfns), 8)):
        sections.append((name, kind, layout.add(data), len(data), size))
    table_at = layout.add(bytes(SHDR.size * (len(sections) + 2)))
    pages_at = layout.add(b"", PAGE)
    sections.append((b".xen_pages", SHT_PROGBITS, pages_at, len(image.gfns) * PAGE, PAGE))

    with open(path, "wb", opener=private) as out:
        out.write(EHDR.pack(IDENT, ET_CORE, EM_X86_64, 1, 0, EHDR.size, table_at, 0, EHDR.size, PHDR.size, loads + 1,
                            SHDR.size, len(sections) + 1, 1))
        out.write(PHDR.pack(PT_NOTE, 0, notes_at, 0, 0, len(cpu_notes), len(cpu_notes), 4))
        for virtual, physical, size, at in segments:
            out.write(PHDR.pack(PT_LOAD, PF_RWX, pages_at + at if at is not None else 0, virtual, physical,
                                size if at is not None else 0, size, PAGE))
        for at, data in layout.parts:
            out.seek(at)
            out.write(data)
        out.seek(table_at + SHDR.size)
        for name, kind, at, size, entry in sections:
            out.write(SHDR.pack(names.index(b"\0" + name + b"\0") + 1, kind, 0, 0, at, size, 0, 0, 1, entry))
        out.seek(pages_at)
        for content in image:
            if content.count(0) == PAGE:
                out.seek(PAGE, 1)  # a hole
            else:
                out.write(content)
        out.truncate(pages_at + len(image.gfns) * PAGE)
    return len(image.gfns), loads
