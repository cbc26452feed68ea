# SPDX-License-Identifier: MIT
"""What the guest `fill` wrote, byte for byte, from the seed that it prints. Follows guests/fill/fill.c."""
import re
import struct

from .oracle import ONES, ZERO

TRUTH = re.compile(r"^# truth gfn=(\d+) pages=(\d+) distinct=(\d+) zero=(\d+) ones=(\d+) .* seed=(\d+) mix=(\d+)")
WORD = 2 ** 64 - 1
COMMON_SEED = 0x7175697265
CONTENTS = 64
STEPS = [i * 0x9e3779b97f4a7c15 & WORD for i in range(512)]


def mix64(x):
    """random_mix of guests/lib/random.h"""
    x = x + 0x9e3779b97f4a7c15 & WORD
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 & WORD
    x = (x ^ x >> 27) * 0x94d049bb133111eb & WORD
    return x ^ x >> 31


def page(seed, mix, i):
    """The content of the guest's page number i."""
    kind = mix64(seed ^ i << 20) % 16
    r = mix64((seed ^ WORD) ^ i << 20)
    if kind >= mix:
        key = mix64((seed << 32 | i) & WORD)
    elif kind < 2:
        return (ZERO, ONES)[kind]
    elif kind % 2:
        key = mix64((seed << 32 | 1 << 31 | r % CONTENTS) & WORD)
    else:
        key = mix64(COMMON_SEED << 8 | r % CONTENTS)
    return struct.pack("<512Q", *(key ^ step for step in STEPS))


class Filled:
    """What a `fill` said of itself."""

    def __init__(self, lines):
        said = next((found for line in lines if (found := TRUTH.match(line))), None)
        self.known = said is not None
        if self.known:
            self.gfn, self.pages, self.distinct, self.zero, self.ones, self.seed, self.mix = map(int, said.groups())

    def differs(self, core, domain):
        """The guest frames whose bytes in a core file are not those that were written."""
        return [self.gfn + i for i in range(self.pages) if core.read(domain, self.gfn + i) != page(self.seed, self.mix, i)]
