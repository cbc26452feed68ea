# SPDX-License-Identifier: MIT
"""Mutants: named ones, from a table that people wrote, and generated ones.

A table (tests/mutants/*.txt) is blocks of this form; '#' begins a comment:

	== name
	A sentence or two: what is broken, or why nobody can notice.
	@@ mm/merge.c [function] [nth]
	 	a line that stays
	-	a line that goes
	+	a line that comes

It is a patch without line numbers. The lines with ' ' and '-' must stand in the file, in
this order and one after the other, exactly once; or, within `function`, as the nth time.
"""
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from .c_tokens import Source

SEED = 1
TOTAL = 260
# What the generated ones are spread over.
GENERATED = ["mm/*.c", "mm/policy/*.c", "kernel/hc_*.c", "kernel/hypercall.c", "kernel/guest_copy.c", "kernel/evtchn.c",
             "arch/x86_64/guest/gva.c"]

# Calls without a result that a test could see: hooks of the tests themselves, hints to the CPU, words for people.
NO_EFFECT = {"env_point", "env_prefetch_page", "env_relax", "env_log"}
# What asserts is no code that guests run; it may not be weakened, and a mutant of it would prove nothing.
ASSERTIONS = {"ASSERT", "ASSERT_STATIC", "_Static_assert", "env_panic"}

SWAPS = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&",
    "+=": "-=", "-=": "+=", "|=": "&=", "&=": "|=", "++": "--", "--": "++", "<<": ">>", ">>": "<<",
}
BINARY_SWAPS = {"+": "-", "-": "+", "&": "|", "|": "&"}
WORD_SWAPS = {"true": "false", "false": "true"}
NUMBER = re.compile(r"^(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)$")


class BadTable(Exception):
    """A table of mutants that cannot be read, or does not fit the sources."""


def squeeze(text):
    return " ".join(text.split())


@dataclass
class Mutant:
    name: str
    why: str
    files: dict          # path -> its whole text, mutated
    number: int = 0      # place in the plan
    path: str = ""       # of generated ones: where
    function: str = ""
    line: int = 0
    old: str = ""        # the line as it was, and as it is, without surplus blanks
    new: str = ""
    nth: int = 1         # of equal (old, new) in this function
    places: tuple = ()   # (path, lines of the statement, lines of the function): first and last
    kind: str = "named"

    def key(self):
        return f"{self.path} {self.function} {self.old} => {self.new} {self.nth}"

    def text_hash(self):
        h = hashlib.sha256()
        for path, text in sorted(self.files.items()):
            h.update(f"{path}\0{text}\0".encode())
        return h.hexdigest()


# ---- tables ----

@dataclass
class Hunk:
    path: str
    function: str
    nth: int
    lines: list  # (sign, text)


@dataclass
class Block:
    name: str
    why: str
    hunks: list
    where: str  # file:line of the table


def read_table(path):
    """The blocks of a table."""
    blocks = []
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        where = f"{path}:{number}"
        hunk = blocks[-1].hunks[-1] if blocks and blocks[-1].hunks else None
        if line.startswith("=="):
            blocks.append(Block(line[2:].strip(), "", [], where))
        elif line.startswith("#") or (not line.strip() and not hunk):
            continue
        elif not blocks:
            raise BadTable(f"{where}: text before the first ==")
        elif line.startswith("@@"):
            words = line[2:].split()
            if not 1 <= len(words) <= 3:
                raise BadTable(f"{where}: want '@@ path [function] [nth]'")
            blocks[-1].hunks.append(Hunk(words[0], words[1] if len(words) > 1 else "",
                                         int(words[2]) if len(words) > 2 else 0, []))
        elif hunk:
            if line and line[0] not in " -+":
                raise BadTable(f"{where}: a line of a patch begins with ' ', '-' or '+'")
            if line:
                hunk.lines.append((line[0], line[1:]))
        else:
            blocks[-1].why = squeeze(blocks[-1].why + " " + line)
    for block in blocks:
        if not block.hunks or not block.why or not all(h.lines for h in block.hunks):
            raise BadTable(f"{block.where}: {block.name}: a block has a sentence and a patch")
    return blocks


def apply_hunk(text, hunk, where):
    """The text with one patch applied; line by line, blanks count for nothing."""
    lines = text.split("\n")
    old = [t for sign, t in hunk.lines if sign in " -"]
    new = [t for sign, t in hunk.lines if sign in " +"]
    wanted = [squeeze(t) for t in old]
    squeezed = [squeeze(line) for line in lines]
    first, last = 0, len(lines)
    if hunk.function:
        first, last = lines_of_function(text, hunk.function, where)
    places = [i for i in range(first, last - len(old) + 1) if squeezed[i:i + len(old)] == wanted]
    if not places or (len(places) > 1 and not hunk.nth) or hunk.nth > len(places):
        raise BadTable(f"{where}: its text is found {len(places)} times in {hunk.path}; first line: {old[0].strip()!r}")
    at = places[max(hunk.nth, 1) - 1]
    # As many lines as before, so that no assertion further down moves.
    padded = new + [""] * (len(old) - len(new))
    return "\n".join(lines[:at] + padded + lines[at + len(old):])


def lines_of_function(text, name, where):
    for function, first, last in (source := Source(text)).functions:
        if function == name:
            return source.tokens[first].line - 1, source.tokens[last].line
    raise BadTable(f"{where}: there is no function {name}")


def named_mutants(table, top):
    """The mutants of a table; BadTable if one does not apply."""
    mutants = []
    for block in read_table(table):
        files, places = {}, []
        for hunk in block.hunks:
            where = f"{block.where}: {block.name}"
            original = (Path(top) / hunk.path).read_text()
            first, last = lines_of_function(original, hunk.function, where) if hunk.function else (0, 1 << 30)
            places.append((hunk.path, (first + 1, last), (first + 1, last)))
            text = files.get(hunk.path) or original
            files[hunk.path] = apply_hunk(text, hunk, where)
        mutants.append(Mutant(block.name, block.why, files, path=block.hunks[0].path,
                              function=block.hunks[0].function, places=tuple(places)))
    if len({m.name for m in mutants}) != len(mutants):
        raise BadTable(f"{table}: a name occurs twice")
    return mutants


def survivors(table):
    """key of a generated mutant -> its block in a table of those that may survive"""
    listed = {}
    for block in read_table(table):
        for hunk in block.hunks:
            old, new = (squeeze(" ".join(t for s, t in hunk.lines if s == sign)) for sign in "-+")
            listed[f"{hunk.path} {hunk.function} {old} => {new} {max(hunk.nth, 1)}"] = block
    return listed


# ---- generated ----

@dataclass(frozen=True)
class Edit:
    kind: str
    function: str
    token: int    # what it is an edit of: of several edits of one token one is taken
    lines: tuple  # of its statement: first and last
    at: int       # text[at:end] is replaced
    end: int
    text: str


def edits_of(source):
    """Every edit that the operators allow, in the order of the text."""
    skipped = assertion_tokens(source)
    for statement in source.statements:
        if statement.first in skipped:
            continue
        lines = source.tokens[statement.first].line, source.tokens[statement.last].line
        yield from statement_edits(source, statement, lines)
        for i in source.code_of(statement):
            if i not in skipped:
                for kind, text in token_edits(source, i):
                    token = source.tokens[i]
                    yield Edit(kind, statement.function, i, lines, token.at, token.end, text)


def assertion_tokens(source):
    skipped = set()
    for i, token in enumerate(source.tokens):
        if token.kind == "word" and token.text in ASSERTIONS | NO_EFFECT and source.is_mark(i + 1, "("):
            skipped.update(range(i, source.partner[i + 1] + 1))
    return skipped


def statement_edits(source, s, lines):
    first, last = source.tokens[s.first], source.tokens[s.last]
    if s.kind == "condition":
        inside = source.text[first.end:last.at]
        yield Edit("negated condition", s.function, s.first, lines, first.at, last.end, f"(!({inside}))")
    elif s.kind in ("call", "assignment", "jump"):
        name = {"jump": f"removed {first.text}"}.get(s.kind, f"removed {s.kind}")
        yield Edit(name, s.function, s.first, lines, first.at, last.at, "")


def token_edits(source, i):
    token = source.tokens[i]
    if token.kind == "mark":
        if token.text in SWAPS:
            yield "operator", SWAPS[token.text]
        elif token.text in BINARY_SWAPS and source.is_binary(i):
            yield "operator", BINARY_SWAPS[token.text]
        elif token.text == "!":
            yield "dropped !", ""
    elif token.kind == "word" and token.text in WORD_SWAPS:
        yield "constant", WORD_SWAPS[token.text]
    elif token.kind == "number":
        yield from number_edits(source, i)


def number_edits(source, i):
    found = NUMBER.match(source.tokens[i].text)
    zeroed = source.is_mark(i - 1, "{") and source.is_mark(i + 1, "}")  # {0}: "all of it zero"
    if not found or zeroed:
        return
    digits, suffix = found.groups()
    value = int(digits, 0)
    show = (lambda n: f"{n:#x}") if digits.lower().startswith("0x") else str
    yield "constant", show(value + 1) + suffix
    if value:
        yield "constant", show(value - 1) + suffix


def line_bounds(text, at, end):
    """The whole lines that hold text[at:end]."""
    return text.rfind("\n", 0, at) + 1, (text.find("\n", end) + len(text) + 1) % (len(text) + 1)


def generate_file(path, text, seed=SEED):
    """All mutants of one file, best first: the order is a matter of the seed and of the line alone."""
    source, seen, mutants = Source(text), {}, []
    body = {f: (source.tokens[a].line, source.tokens[b].line) for f, a, b in source.functions}
    for e in edits_of(source):
        first, last = line_bounds(text, e.at, e.end)
        # Removing a statement over several lines keeps their number.
        gap = "\n" * (text.count("\n", e.at, e.end) - e.text.count("\n"))
        new = text[:e.at] + e.text + gap + text[e.end:]
        m = Mutant("", e.kind, {path: new}, path=path, function=e.function, line=source.tokens[e.token].line,
                   old=squeeze(text[first:last]), new=squeeze(text[first:e.at] + e.text + text[e.end:last]), kind=e.kind,
                   places=((path, e.lines, body[e.function]),))
        place = (m.function, m.old, m.new)
        m.nth = seen[place] = seen.get(place, 0) + 1
        m.name = hashlib.sha256(m.key().encode()).hexdigest()[:8]
        mutants.append((hashlib.sha256(f"{seed} {m.key()}".encode()).digest(), e.token, m))
    taken, best = set(), []
    for _, token, m in sorted(mutants, key=lambda x: x[0]):
        if token not in taken:
            taken.add(token)
            best.append(m)
    return best


def generated_files(top):
    return sorted({str(p.relative_to(top)) for pattern in GENERATED for p in Path(top).glob(pattern)})


def generate(top, total, seed=SEED, files=None):
    """About `total` mutants, spread over the files by how many each could have; numbered in the order of the text."""
    every = {f: generate_file(f, (Path(top) / f).read_text(), seed) for f in files or generated_files(top)}
    possible = sum(len(m) for m in every.values())
    plan = []
    for f, mutants in every.items():
        share = min(len(mutants), max(2, round(total * len(mutants) / possible)))
        plan += sorted(mutants[:share], key=lambda m: (m.line, m.new))
    for number, m in enumerate(plan, 1):
        m.number = number
    return plan, possible
