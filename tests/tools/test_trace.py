#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Traces: raw to compact, and replayed.

A replay of a stored trace (tests/tools/storm.qtrace: two guests that break what was merged, again and again) prints the same bytes
twice, whatever the policy, and what it says could be saved is what Python counts. What is no trace is refused with a sentence.
"""
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
from quire_tools import trace_raw as raw                           # noqa: E402
from quire_tools.trace_file import Reader, convert, describe        # noqa: E402

REPLAY = TOP / "build/bench/replay"
STORED = Path(__file__).resolve().parent / "storm.qtrace"
PAGES = 300


# ---- a raw trace made up here ----

def record(kind, domid=0, gfn=0, value=0):
    return raw.RECORD.pack(kind, domid, 0, gfn, value)


def packet(number, records):
    body = b"".join(records)
    return raw.HEAD.pack(raw.MAGIC, raw.VERSION, len(records), number, raw.packet_sum(body)) + body


def made_up(rand, ticks=30):
    """Records of three domains in two groups: writes, pages given back, one that ends."""
    out = [record(raw.START, 0, 4096, 77)]
    out += [record(raw.CREATE, d, PAGES, group << 48 | PAGES) for d, group in ((1, 5), (2, 5), (3, 6))]
    contents = [raw.ZERO, raw.ONES] + [rand.getrandbits(64) for _ in range(40)]
    for tick in range(ticks):
        if tick == 20:
            out.append(record(raw.DESTROY, 2))
        for d in (1, 2, 3):
            if d == 2 and tick >= 20:
                continue
            out += [record(raw.OUT, d, rand.randrange(PAGES), 1) for _ in range(rand.randrange(4))]
            gfns = sorted(rand.sample(range(PAGES), 40))
            out += [record(raw.WRITE, d, g, rand.choice(contents)) for g in gfns]
        out += [record(raw.POPULATE, 1, 3), record(raw.BREAK, 1, 3, 1), record(raw.TICK, 0, tick, 1000000000 + tick * 500000000)]
    return out + [record(raw.STOP)]


def packets(records):
    return [packet(i, records[at:at + 64]) for i, at in enumerate(range(0, len(records), 64))]


def truth(path):
    """Savable pages after each tick, counted from the compact file in the slow and certain way."""
    groups, held, after = {}, {}, []
    for op, *rest in Reader(path).operations():
        if op == "C":
            groups[rest[0]] = rest[3]
        elif op == "D":
            held = {at: c for at, c in held.items() if at[0] != rest[0]}
        elif op == "W":
            held.update(((rest[0], gfn), content) for gfn, content in rest[1])
        elif op == "O":
            for gfn in range(rest[1], rest[1] + rest[2]):
                held.pop((rest[0], gfn), None)
        elif op == "T":
            seen = {(groups[d], c) for (d, _), c in held.items() if c > 1}
            after.append(sum(c < 2 for c in held.values()) + sum(c > 1 for c in held.values()) - len(seen))
    return after


# ---- results ----

class Results:
    def __init__(self):
        self.number = 0

    def case(self, ok, name, *detail):
        self.number += 1
        for line in detail if not ok else ():
            print(f"# {line}")
        print(f"{'ok' if ok else 'not ok'} {self.number} - {name}", flush=True)


def replay(path, *arguments):
    done = subprocess.run([REPLAY, *arguments, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout, done.stderr


def refusal(call):
    try:
        call()
    except raw.TraceError as error:
        return str(error)
    return ""


def test_convert(results, folder):
    rand = random.Random(1)
    records = made_up(rand)
    source, compact = folder / "raw", folder / "compact"
    noise = b"\0bochs says QTRC, something\n"
    source.write_bytes(noise + noise.join(packets(records)))
    notes = convert(source, compact)
    head = Reader(compact).head
    writes = sum(r[0] == raw.WRITE for r in records)
    results.case(head["writes"] == writes and head["ticks"] == 30 and head["tick_ns"] == 500000000 and head["domains"] == 3,
                 "packets are found among other bytes, and nothing is missing", head, writes)
    results.case(len(notes) == 1 and "belong to no packet" in notes[0], "what was passed over is told", *notes)
    results.case("30 ticks of 500 ms, 14.5 s" in describe(compact) and "30 populated, 0 broken, 30 taken over" in describe(compact),
                 "a trace can be shown", describe(compact))
    return compact


def test_refusals(results, folder, compact):
    rand = random.Random(2)
    parts = packets(made_up(rand))
    source, out = folder / "bad", folder / "out"

    def refused(data, words, name):
        source.write_bytes(data)
        said = refusal(lambda: convert(source, out))
        results.case(words in said and not out.exists(), name, said)

    refused(b"nothing", "no packet of a trace", "no trace at all")
    refused(b"".join(parts[:3] + parts[4:]), "1 packets are missing", "a packet is missing")
    damaged = bytearray(parts[3])
    damaged[40] ^= 1
    refused(b"".join(parts[:3] + [bytes(damaged)] + parts[4:]), "cut or damaged", "a packet is damaged")
    refused(b"".join(parts[1:]), "beginning is missing", "the beginning is missing")
    refused(b"".join(parts + parts), "two traces", "two traces in one file")
    refused(packet(0, [record(raw.START), record(99)]), "of kind 99", "a record of a kind that is not known")
    other = struct.pack("<4sHHII", raw.MAGIC, 9, 0, 0, 0)
    refused(other, "version 9", "packets of another version")
    source.write_bytes(b"".join(parts[:-1]))
    results.case(any("no STOP" in note for note in convert(source, out)), "a trace that was cut off is good, and it is told")
    for name, change, words in (("cut", lambda d: d[:-9], "cut or damaged"), ("damaged", lambda d: d[:200] + b"\xff" + d[201:], "damaged"),
                                ("no trace", lambda d: b"X" + d[1:], "not a"), ("another version", lambda d: d[:8] + b"\x09" + d[9:], "version")):
        out.write_bytes(change(compact.read_bytes()))
        said = refusal(lambda: Reader(out))
        status, _, error = replay(out)
        results.case(words in said and status == 1 and error.count("\n") == 1 and str(out) in error, f"a compact trace, {name}: one sentence", said, error)


def rows(path):
    lines = path.read_text().splitlines()
    return [dict(zip(lines[0].split(","), map(float, line.split(",")))) for line in lines[1:]]


def test_replay(results, folder, path, name):
    wanted = truth(path)
    policies = subprocess.run([REPLAY, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    for policy in policies:
        files = [folder / "series", folder / "passes"]
        arguments = ["--policy", policy, "--cpu", "0.5", "--series", files[0], "--passes", files[1]]
        status, first, error = replay(path, *arguments)
        texts = [f.read_bytes() for f in files]
        again = replay(path, *arguments)
        same = again == (status, first, error) and texts == [f.read_bytes() for f in files]
        results.case(status == 0 and same and error == "", f"{name}, {policy}: twice the same bytes, every content right, no audit fails", error)
        series = rows(files[0])
        savable = [row["savable"] for row in series]
        results.case(savable == wanted, f"{name}, {policy}: what can be saved is what Python counts", savable[:9], wanted[:9])
        results.case(all(row["saved"] <= row["savable"] for row in series) and any(row["saved"] > 0 for row in series),
                     f"{name}, {policy}: something is saved, and never more than can be")
    budgets = [dict(line.split() for line in replay(path, "--cpu", cpu)[1].splitlines()) for cpu in ("0.01", "1")]
    results.case(int(budgets[0]["saved_page_seconds"]) < int(budgets[1]["saved_page_seconds"]), f"{name}: a smaller share of CPU saves less")
    for budget, share in zip(budgets, (0.0001, 0.01)):
        spent, most = int(budget["instructions"]), int(budget["nanoseconds"]) * 2 * share
        results.case(spent <= most * 1.1 + 2e6, f"{name}: no more than its share of CPU is spent ({share:%})", spent, most)
    other = replay(path, "--cpu", "0.5", "--seed", "2")[1]
    results.case(other != "" and "mismatches 0" in other, f"{name}: another seed")


def main():
    results = Results()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compact = test_convert(results, folder)
        test_refusals(results, folder, compact)
        test_replay(results, folder, compact, "made up")
        test_replay(results, folder, STORED, "stored")
        status, _, error = replay(STORED, "--policy", "none-such")
        results.case(status == 1 and "no policy none-such" in error, "a policy that is not there", error)
        status, _, error = replay(STORED, "--cpu", "0")
        results.case(status == 1 and "above 0" in error, "no CPU at all", error)
    print(f"1..{results.number}")


if __name__ == "__main__":
    main()
