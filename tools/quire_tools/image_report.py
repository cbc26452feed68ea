# SPDX-License-Identifier: MIT
"""What is in a set of images, as a table for people."""
from .image_files import tally_of
from .oracle import ONES, PAGE, ZERO

LINE = 64
BINS = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 8), (9, 16), (17, 64), (65, 256), (257, None))


class Census:
    """Counts of one instant; here constant contents count like any other, with one page of each kept."""

    def __init__(self, images):
        self.images = images
        self.tally = tally_of(images)
        self.contents = [h for h in [*self.tally.constants.values(), *self.tally.holders()] if h]
        self.zero = self.tally.constants[ZERO]

    def distinct(self):
        return len(self.contents)

    def savable(self):
        return self.tally.pages - self.distinct()

    def intra(self, contents=None):
        """Pages that could be saved if no two guests could share."""
        return sum(count - 1 for holders in (self.contents if contents is None else contents) for count in holders.values())

    def inter(self, contents=None):
        return sum(len(holders) - 1 for holders in (self.contents if contents is None else contents))

    def references(self):
        """Text: contents (pages) by how many pages have them."""
        said = []
        for least, most in BINS:
            counts = [n for n in map(lambda h: sum(h.values()), self.contents) if n >= least and (most is None or n <= most)]
            title = f"{least}" if least == most else f"{least}-{most}" if most else f"{least}+"
            said.append(f"{title}: {len(counts)} ({sum(counts)})")
        return "; ".join(said)


def rows(census):
    """(what, text) of one instant."""
    constants = [h for h in census.tally.constants.values() if h]
    others = list(census.tally.holders())
    pages = census.tally.pages
    each = " ".join(str(census.zero.get(vm, 0)) for vm in range(len(census.images)))
    yield "pages", pages
    yield "zero pages (each guest's)", f"{sum(census.zero.values())} ({each})"
    yield "pages of all one bits", sum(census.tally.constants[ONES].values())
    yield "distinct contents", census.distinct()
    yield "savable, one frame kept a content", f"{census.savable()} = {100 * census.savable() / pages:.2f} %"
    yield "savable, none kept for constants", census.savable() + len(constants)
    yield "of it not constant", census.intra(others) + census.inter(others)
    yield "within a guest (constant, other)", f"{census.intra()} ({census.intra(constants)}, {census.intra(others)})"
    yield "between guests (constant, other)", f"{census.inter()} ({census.inter(constants)}, {census.inter(others)})"
    yield "contents of 2 pages or more", sum(sum(h.values()) > 1 for h in census.contents)
    yield "not constant, in 2 guests or more", sum(len(h) > 1 for h in others)


def changes(images, before, after):
    """Lines on what differs at t1."""
    each = images.changed()
    pairs = [(vm, before.images[vm].page(n), after.images[vm].page(n)) for vm, numbers in enumerate(each) for n in numbers]
    total, pages = len(pairs), before.tally.pages
    lines = [differing_lines(old, new) for _, old, new in pairs]
    yield (f"changed t0 -> t1: {total} pages = {100 * total / pages:.2f} % (each guest's: {' '.join(str(len(n)) for n in each)})")
    yield (f"  became zero {sum(new == ZERO for _, _, new in pairs)}, were zero {sum(old == ZERO for _, old, _ in pairs)}, "
           f"were one of equals at t0 {sum(sum(before.tally.find(old).values()) > 1 for _, old, _ in pairs)}, "
           f"got a content that was there at t0 {sum(before.tally.find(new) is not None for _, _, new in pairs)}")
    if total:
        changed_bytes = sum(differing_bytes(old, new) for _, old, new in pairs)
        yield (f"  a changed page differs in {sum(lines) / total:.1f} of {PAGE // LINE} lines and {changed_bytes / total:.0f} bytes; "
               f"{lines.count(1)} in one line only")


def differing_lines(old, new):
    return sum(old[at:at + LINE] != new[at:at + LINE] for at in range(0, PAGE, LINE))


def differing_bytes(old, new):
    return PAGE - (int.from_bytes(old, "little") ^ int.from_bytes(new, "little")).to_bytes(PAGE, "little").count(0)


def table(images):
    """Of an open Set (image_files.py)."""
    before = Census(images.t0)
    after = Census(images.t1) if images.has_t1 else None
    columns = [list(rows(census)) for census in (before, after) if census]
    head = f"{images.name}: {len(images.t0)} guests of {images.t0[0].pages * PAGE >> 20} MiB"
    works = [f"{g['name']} {g['work']}" for g in images.entry.get("guests", [])]
    said = [head + (f" ({', '.join(works)})" if works else ""), ""]
    said.append(f"{'':36}{'t0':>34}" + (f"{'t1':>34}" if after else ""))
    said += [f"{row[0][0]:36}" + "".join(f"{value:>34}" for _, value in row) for row in zip(*columns)]
    said += ["", "contents (pages) by how many pages have the content, at t0:", "  " + before.references()]
    if after:
        said += ["", *changes(images, before, after)]
    return "\n".join(said)
