#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A core file gives back what was written, its oracle counts right, its ELF form is what readelf and Xen's headers say, and
a file that is cut off, foreign or of another version is refused with a sentence."""
import contextlib
import io
import json
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
from quire_tools import core_elf, core_file            # noqa: E402
from quire_tools.core_file import Core, CoreError      # noqa: E402
from quire_tools.console import Transcript             # noqa: E402
from quire_tools.core_take import Held, is_held, told  # noqa: E402
from quire_tools.fill_pattern import mix64, page as filled    # noqa: E402
from quire_tools.oracle import ONES, PAGE, ZERO        # noqa: E402

A, B, C = (bytes([n]) * PAGE for n in (1, 2, 3))
TEXT = b"OSRELEASE=6.1.0-none\nNUMBER(phys_base)=4096\nNUMBER(KERNEL_IMAGE_SIZE)=1073741824\n"
INFO = b"\x0b\0\0\0" + struct.pack("<II", len(TEXT), 0) + b"VMCOREINFO\0\0" + TEXT
MEMORY = {5: A, 6: B, 7: A, 8: C, 9: INFO + bytes(PAGE - len(INFO))}
TAGS = [("core", {"version": "1", "time_ns": "77", "domains": "2"}, ""),
        ("core-domain", dict(domain="1", name="a", group="9", vcpus="2", memory_pages="16", low_pages="16", high_first="1048576",
                             high_pages="2"), ""),
        ("core-vcpu", dict(domain="1", vcpu="0", rip="ff", rsp="1000", rax="7"), ""),
        ("core-control", dict(domain="1", vcpu="0", cr3="5000", cs="8", gs_base="123"), ""),
        ("core-domain", dict(domain="2", name="b", group="9", vcpus="1", memory_pages="16", low_pages="16", high_first="1048576",
                             high_pages="0"), ""),
        ("map", {"domain": "1"}, " 0+2=5:private 2+1=7:shared 3+2=0:zero 5+1=1:ones 8+1=0:ballooned 9+1=9:private:pinned"),
        ("map", {"domain": "2"}, " 0+1=7:shared 1+1=8:private 2+1=8:private:table 100000+1=6:foreign")]
OBJECTS = [{"schema": 1, "zero": 2}, {"schema": 1, "domain": 1}, {"schema": 1, "domain": 2}]


@contextlib.contextmanager
def made(folder):
    memory = io.BytesIO(b"".join(MEMORY.get(n, bytes(PAGE)) for n in range(10)))
    held = Held(TAGS, OBJECTS)
    path = Path(folder) / "made.core"
    assert core_file.write(path, held.description(), held.runs, memory) == 5
    with Core(path) as core:
        yield core


def reads_back(folder):
    with made(folder) as core:
        assert [core.read(1, gfn) for gfn in range(10)] == [A, B, A, ZERO, ZERO, ONES, None, None, None, MEMORY[9]]
        assert core.path.stat().st_mode & 0o777 == 0o600
        assert core.read(2, 0) == A and core.read(2, 0x100000) == B and core.read(2, 3) is None
        assert core.domains[1]["vcpus"] == [dict(rip=255, rsp=4096, rax=7, cr3=0x5000, cs=8, gs_base=0x123), {}]
        assert core.total["zero"] == 2 and core.guest("b")["domain"] == 2 and core.pages == 5


def of_nothing(folder):
    """A range without memory is a file without pages."""
    path = Path(folder) / "empty.core"
    core_file.write(path, Held(TAGS[:2], OBJECTS[:2]).description(), [], io.BytesIO())
    with Core(path) as core:
        assert core.pages == 0 and core.read(1, 0) is None and core.truth().saved == 0


def counts(folder):
    with made(folder) as core:
        t = core.truth()
        assert (t.pages, t.distinct, t.zero, t.ones, t.self_saved, t.inter_saved) == (8, 3, 2, 1, 1, 1), t
        assert (t.pinned, t.guest_tables) == (1, 1)
        assert core.part(1, 1, 4).saved == 2


def as_elf(folder):
    out = Path(folder) / "elf"
    with made(folder) as core:
        assert core_elf.write(out, core, "a") == (7, 8), core_elf.write(out, core, "a")
    said = subprocess.run(["readelf", "-hlSnW", out], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout
    assert "Warning" not in said and "Error" not in said, said
    assert "CORE (Core file)" in said and "NT_PRSTATUS" in said and "VMCOREINFO" in said, said
    loads = [tuple(int(w, 16) for w in re.findall(r"0x[0-9a-f]+", line)[:5]) for line in said.splitlines() if line.startswith("  LOAD")]
    data = out.read_bytes()
    seen = {}
    image = [load for load in loads if load[1] != load[2]]
    assert [(load[1] - 0xffffffff80000000 + 4096, load[1] != load[2]) for load in image] == [(load[2], True) for load in image]
    assert sorted(load[2] for load in image) == [0x6000, 0x9000, 0xa000], image
    for offset, _, address, in_file, in_memory in [load for load in loads if load not in image]:
        for at in range(0, in_memory, PAGE):
            assert (address + at) // PAGE not in seen
            seen[(address + at) // PAGE] = data[offset + at:offset + at + PAGE] if at < in_file else ZERO
    want = {0: A, 1: B, 2: A, 3: ZERO, 4: ZERO, 5: ONES, 9: MEMORY[9], **{n: ZERO for n in (6, 7, *range(10, 16), 2 ** 20, 2 ** 20 + 1)}}
    assert seen == want, sorted(seen)
    sections = {m.group(1): (int(m.group(2), 16), int(m.group(3), 16)) for m in
                re.finditer(r"\] (\.\S+) +\S+ +0+ ([0-9a-f]+) ([0-9a-f]+)", said)}
    at, size = sections[".xen_pfn"]
    assert list(struct.unpack(f"<{size // 8}Q", data[at:at + size])) == [0, 1, 2, 3, 4, 5, 9]
    at, size = sections[".xen_pages"]
    assert data[at:at + size] == A + B + A + ZERO + ZERO + ONES + MEMORY[9]


OFFSETS = """
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <sys/procfs.h>
#define __XEN_INTERFACE_VERSION__ 0x00040a00
#include <xen/xen.h>
#include <xen/elfnote.h>
int main(void)
{
	typedef struct vcpu_guest_context c;
	printf("%zu %zu %zu %zu %zu %zu ", sizeof(c), offsetof(c, user_regs), offsetof(c, user_regs.rip), offsetof(c, user_regs.gs),
	       offsetof(c, ctrlreg), offsetof(c, fs_base));
	printf("%zu %zu %zu %d\\n", sizeof(struct elf_prstatus), offsetof(struct elf_prstatus, pr_pid), offsetof(struct elf_prstatus, pr_reg),
	       XEN_ELFNOTE_DUMPCORE_HEADER);
}
"""


def as_the_headers(folder):
    source = Path(folder) / "offsets.c"
    source.write_text(OFFSETS)
    subprocess.run(["gcc", "-o", source.with_suffix(""), source], check=True)
    have = list(map(int, subprocess.run([source.with_suffix("")], stdout=subprocess.PIPE, text=True, check=True).stdout.split()))
    e = core_elf
    assert have == [e.CONTEXT_BYTES, e.CONTEXT_REGS, e.CONTEXT_REGS + 128, e.CONTEXT_REGS + 192, e.CONTEXT_CTRL, e.CONTEXT_FS,
                    e.PRSTATUS_BYTES, e.PRSTATUS_PID, e.PRSTATUS_REGS, e.XEN_HEADER], have
    context = e.guest_context(dict(rip=1, cs=8, rsp=2, gs=3, cr3=4, gs_base=5, r15=6))
    words = struct.unpack("<646Q", context)
    assert [words[i] for i in (65, 81, 82, 84, 89, 626, 644, 645)] == [6, 1, 8, 2, 3, 4, 5, 0]


def refuses(folder):
    with made(folder) as core:
        good = core.path.read_bytes()
        for words, call in (("no domain `c`; there are a, b", lambda: core.guest("c")),):
            said(words, call)
    bad = Path(folder) / "bad"
    for words, data in (("was it cut off?", good[:-1]), ("not a core file", b"ELF" + good), ("not a core file", b""),
                        ("version 2 of the format", good[:8] + b"\x02" + good[9:])):
        bad.write_bytes(data)
        said(words, lambda: Core(bad))


def said(words, call):
    try:
        call()
    except CoreError as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"accepted what should be refused with `{words}`")


def knows_fill(_):
    """Words of pages that a run of the guest printed (`fill` itself checks its own)."""
    kinds = [filled(1, 8, i) for i in range(900)]
    assert ZERO in kinds and ONES in kinds and len(set(kinds)) < len(kinds)
    assert mix64(0) == 0xe220a8397b1dcdaf  # splitmix64's first number from seed 0
    assert struct.unpack_from("<2Q", filled(1, 0, 0)) == (mix64(2 ** 32), mix64(2 ** 32) ^ 0x9e3779b97f4a7c15)


def of_the_last(_):
    """Of all that the console said only what belongs to the last `dump-core`."""
    heard = Transcript()
    first = ["@quire core version=1 time_ns=5 domains=1", '{"old":1}', "@quire core-domain domain=9", "@quire core held"]
    last = ["@quire core version=1 time_ns=77 domains=1", *(json.dumps(o) for o in OBJECTS[:2]),
            "@quire core-domain " + " ".join(f"{k}={v}" for k, v in TAGS[1][1].items()), "@quire map domain=1 0+2=5:private"]
    for line in first:
        heard.hear(line)
    assert is_held(heard)
    for line in ["(d1 a) @quire core held", "@quire core end held_ns=3", '{"domain":4}', *last]:
        heard.hear(line)
    assert not is_held(heard)
    heard.hear("@quire core held")
    held = told(heard)
    assert is_held(heard) and held.tag["time_ns"] == "77" and held.total == OBJECTS[0] and [d["name"] for d in held.domains] == ["a"]
    assert [(run.gfn, run.count, run.mfn) for run in held.runs] == [(0, 2, 5)]


CASES = [of_the_last, reads_back, of_nothing, counts, as_elf, as_the_headers, refuses, knows_fill]


def main():
    failed = 0
    print(f"1..{len(CASES)}")
    for number, case in enumerate(CASES, 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                case(folder)
                print(f"ok {number} - {case.__name__}")
            except AssertionError as error:
                failed += 1
                print(f"not ok {number} - {case.__name__}\n# {error}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
