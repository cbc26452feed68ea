#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The counting plugin counts exactly, and tools/bench-linux reads from its marks what they say.

The machine is a ROM of a few instructions whose number is known: a loop, a REP, two marks. Needs build/bench/count.so.
"""
import importlib.machinery
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
from quire_tools.counted import LINE, PLUGIN, Mark, functions  # noqa: E402
from quire_tools.samples import Samples                        # noqa: E402

loader = importlib.machinery.SourceFileLoader("bench_linux", str(TOP / "tools/bench-linux"))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_linux", loader))
loader.exec_module(bench)

# From the reset vector to 32-bit mode, where the mark is one instruction of seven bytes.
ROM = r"""
	.code16
start:	lgdtl	%cs:gdtr - start
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$8, $0xf0000 + wide - start
	.code32
wide:	mov	$1000, %ecx
inner:	dec	%ecx
	jnz	inner
	.byte	0x0f, 0x1f, 0x80, 'Q', 'M', 'K', 'u'
	mov	$16, %edx
	mov	%edx, %ds
	mov	%edx, %es
	mov	$0x1000, %esi
	mov	$0x2000, %edi
	mov	$100, %ecx
	rep movsb
	.byte	0x0f, 0x1f, 0x80, 'Q', 'M', 'K', 'r'
	mov	$0xf4, %edx
	out	%al, %dx
gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:	.word	23
	.long	0xf0000 + gdt - start
	.org	0xfff0
	.code16
	ljmpw	$0xf000, $0
	.org	0x10000
"""
# The jump, five to 32-bit mode, mov, two a turn.
UNTIL_USER = 1 + 5 + 1 + 2000
# The mark, six; REP is executed once a step and once more to find its end.
UNTIL_ROUND = UNTIL_USER + 1 + 6 + 100 + 1


def count_rom(folder):
    """The plugin's marks of the ROM; addresses of the loop are `inside`, its second instruction the landing."""
    (folder / "rom.S").write_text(ROM)
    subprocess.run(["gcc", "-c", "-m32", "-o", folder / "rom.o", folder / "rom.S"], check=True)
    subprocess.run(["objcopy", "-O", "binary", folder / "rom.o", folder / "rom"], check=True)
    at = {w[2]: int(w[0], 16) for w in map(str.split, subprocess.run(
        ["nm", folder / "rom.o"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines())}
    base = 0xf0000 + at["inner"]
    words = f"out={folder}/marks,lo={base},hi={base + 3},landing={base + 1},profile={folder}/profile"
    subprocess.run(["qemu-system-x86_64", "-display", "none", "-nodefaults", "-no-reboot", "-bios", folder / "rom", "-icount", "shift=0",
                    "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-plugin", f"{PLUGIN},{words}"], timeout=60)
    return [LINE.match(line) for line in (folder / "marks").read_text().splitlines()]


def counts_exactly(folder):
    user, rounds, end = (tuple(m[k] for k in ("letter", "total", "inside", "exits")) for m in count_rom(folder))
    table = [line.split() for line in (folder / "profile").read_text().splitlines()]
    return (user == ("u", str(UNTIL_USER), "2000", "1000") and rounds == ("r", str(UNTIL_ROUND), "2000", "1000") and
            end == (None, str(UNTIL_ROUND + 3), "2000", "1000") and [int(n) for _, n in table] == [1000, 1000])


def refuses(folder, words):
    done = subprocess.run(["qemu-system-x86_64", "-display", "none", "-nodefaults", "-plugin", f"{PLUGIN},{words}"], timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode and "count plugin: " in done.stdout


def sums_by_function(folder):
    (folder / "f.S").write_text(".text\n.globl a,b\na: nop\nnop\nb: nop\n")
    subprocess.run(["gcc", "-nostdlib", "-static", "-Wl,-Ttext=0x1000,-e,a,--build-id=none", "-o", folder / "f", folder / "f.S"], check=True)
    (folder / "p").write_text("1000 5\n1001 7\n1002 30\n")
    lines = [line.split() for line in functions(folder / "p", folder / "f").splitlines()]
    return lines == [["30", "71.43%", "30", "b"], ["12", "28.57%", "5", "a"]]


MARKS = [Mark("u", 1000, 100, 10), Mark("r", 1100, 110, 11), Mark("r", 1300, 130, 13), Mark("r", 1500, 150, 15), Mark("end", 9, 9, 9)]


def takes_rounds():
    samples = Samples()
    bench.take(samples, "quire", 1, 2, MARKS)
    expected = {"user_space": 1000, "work_done": 1500, "round": 200, "user_space_hypervisor": 100, "user_space_exits": 10,
                "round_hypervisor": 20, "round_exits": 2}
    return {name: samples.median(name, "1 guest", "quire") for name in expected} == expected


def misses_marks():
    try:
        bench.take(Samples(), "bare", 1, 3, MARKS)
    except bench.Wrong as wrong:
        return "3 marks `r`, not 4" in str(wrong)
    return False


def averages_exits():
    samples = Samples()
    bench.take_exits(samples, "quire", 4, [{"schema": 1, "domain": i, "name": "x", "exits": 9, "hlt": i, "nmi": 0} for i in range(4)])
    return samples.rows == {("exits_hlt", "4 guests", "quire"): {0: 1.5}}


def misses_bars():
    samples = Samples()
    for side, value in (("bare", 100), ("quire, scan.on=0", 111)):
        samples.add("user_space", value, "instructions", "1 guest", side)
    return bench.table(samples) == 1


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        results = [
            ("each instruction of a small machine is counted, at each mark", counts_exactly(folder)),
            ("a range that is none is refused", refuses(folder, f"out={folder}/x,lo=2,hi=1")),
            ("a word that it does not know is refused", refuses(folder, f"out={folder}/x,where=1")),
            ("a profile is summed by function", sums_by_function(folder)),
            ("the marks of a run become figures", takes_rounds()),
            ("a run that did not come to its end is no measurement", misses_marks()),
            ("exits of several guests are averaged, kinds that never came left out", averages_exits()),
            ("a missed bar is counted", misses_bars()),
        ]
    print(f"1..{len(results)}")
    for number, (name, passed) in enumerate(results, 1):
        print(f"{'ok' if passed else 'not ok'} {number} - {name}")
    return 0 if all(passed for _, passed in results) else 1


if __name__ == "__main__":
    sys.exit(main())
