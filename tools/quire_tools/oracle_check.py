# SPDX-License-Identifier: MIT
"""The monitor's figures of a snapshot, held against the oracle's."""


def compare(seen, notes):
    t, total = seen.truth, seen.total
    if total is None or not seen.runs:
        return ["`sharing --json` or `map` printed nothing to compare"]
    notes.append(f"oracle: {t.pages} pages, {t.distinct} distinct, saved {t.saved} = zero {t.zero} + ones {t.ones} + "
                 f"self {t.self_saved} + inter {t.inter_saved}; left out: {t.pinned} pinned, {t.guest_tables} guest tables")
    pairs = (("saved", t.saved, "pages_saved"), ("zero", t.zero, "pages_zero"), ("ones", t.ones, "pages_ones"),
             ("self", t.self_saved, "self"), ("inter", t.inter_saved, "inter"))
    trouble = [f"{what}: the oracle counts {mine}, the monitor says {total.get(key)}" for what, mine, key in pairs
               if mine != total.get(key)]
    return trouble if t.saved else trouble + ["nothing could be saved: the case proves nothing"]
