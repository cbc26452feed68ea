#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The mutants of `make mutants` fit the sources of today, and the generator does what it says."""
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
from quire_tools import mutate  # noqa: E402
from quire_tools.c_tokens import Source  # noqa: E402
from quire_tools.mutate import BadTable  # noqa: E402

NAMED, SURVIVORS = TOP / "tests/mutants/named.txt", TOP / "tests/mutants/survivors.txt"

SMALL = """\
/* a < b && c; remove_me(1); */
#define LIMIT (1 + 2)
static const int table[2] = {1, 2};

static int small(int a, const char *text)
{
	int room[4], n = a - 1;
	struct pair p = {0};

	ASSERT(a < 5 && n != 3);
	env_log("%d < 5", a);
	if (a < n)
		use(&p, -1);
	room[0] = *text & 1;
	while (n--)
		continue;
	return !a ? (int)-2 : room[0];
}
"""
# What the generator may make of it: (kind, new line), in the order of the text.
SMALL_MUTANTS = [
    ("operator", "int room[4], n = a + 1;"),
    ("constant", "int room[4], n = a - 0;"),
    ("constant", "int room[4], n = a - 2;"),
    ("negated condition", "if (!(a < n))"),
    ("operator", "if (a <= n)"),
    ("removed call", ";"),
    ("constant", "use(&p, -0);"),
    ("constant", "use(&p, -2);"),
    ("removed assignment", ";"),
    ("constant", "room[1] = *text & 1;"),
    ("operator", "room[0] = *text | 1;"),
    ("constant", "room[0] = *text & 0;"),
    ("constant", "room[0] = *text & 2;"),
    ("negated condition", "while (!(n--))"),
    ("operator", "while (n++)"),
    ("removed continue", ";"),
    ("dropped !", "return a ? (int)-2 : room[0];"),
    ("constant", "return !a ? (int)-1 : room[0];"),
    ("constant", "return !a ? (int)-3 : room[0];"),
    ("constant", "return !a ? (int)-2 : room[1];"),
]


def edits(text):
    source = Source(text)
    made = []
    for e in mutate.edits_of(source):
        first, last = mutate.line_bounds(text, e.at, e.end)
        made.append((e.kind, mutate.squeeze(text[first:e.at] + e.text + text[e.end:last])))
    return made


def table_with(text):
    path = Path(tempfile.mkdtemp()) / "table.txt"
    path.write_text(text)
    return path


def refused(text):
    try:
        mutate.named_mutants(table_with(text), TOP)
    except BadTable:
        return True
    return False


def only_code_is_touched():
    got = edits(SMALL)
    assert sorted(got) == sorted(SMALL_MUTANTS), sorted(set(got) ^ set(SMALL_MUTANTS))


def named_mutants_fit():
    mutants = mutate.named_mutants(NAMED, TOP)
    assert len(mutants) >= 20
    for m in mutants:
        for path, text in m.files.items():
            assert text != (TOP / path).read_text(), f"{m.name} changes nothing"


def a_patch_that_does_not_fit_is_refused():
    good = "== a\nA sentence.\n@@ mm/merge.c merge_flush\n-batch.generation[i] = flush_begin(batch.freed[i].space);\n"
    assert not refused(good)
    assert refused(good.replace("flush_begin", "flush_end"))           # not there
    assert refused(good.replace("merge_flush\n", "merge_flushed\n"))   # no such function
    assert refused(good.replace("A sentence.\n", ""))                  # no reason
    assert refused("== a\nA sentence.\n@@ mm/merge.c\n-}\n")           # there many times


def the_plan_is_the_same_each_time():
    first, _ = mutate.generate(TOP, mutate.TOTAL)
    second, _ = mutate.generate(TOP, mutate.TOTAL)
    assert [m.key() for m in first] == [m.key() for m in second]
    assert [m.number for m in first] == list(range(1, len(first) + 1))
    assert len({m.name for m in first}) == len(first) >= 200
    other, _ = mutate.generate(TOP, mutate.TOTAL, seed=2)
    assert {m.name for m in other} != {m.name for m in first}
    every = {f for f in mutate.generated_files(TOP) if mutate.generate_file(f, (TOP / f).read_text())}
    assert {m.path for m in first} == every


def a_new_line_elsewhere_changes_no_choice():
    text = (TOP / "mm/cow.c").read_text()
    moved = text.replace("#include \"mm/cow.h\"", "#include \"mm/cow.h\"\n\nstatic int more(int a)\n{\n\treturn a + 1;\n}\n", 1)
    assert moved != text
    before = [m.name for m in mutate.generate_file("mm/cow.c", text)]
    after = [m.name for m in mutate.generate_file("mm/cow.c", moved) if m.function != "more"]
    assert before == after


def mutants_keep_the_number_of_lines():
    """So that no assertion further down says another line than it did."""
    for path in mutate.generated_files(TOP):
        text = (TOP / path).read_text()
        for m in mutate.generate_file(path, text):
            assert m.files[path].count("\n") == text.count("\n"), f"{path}: {m.old} => {m.new}"


def survivors_are_mutants_of_the_plan():
    plan, _ = mutate.generate(TOP, mutate.TOTAL)
    keys = {m.key() for m in plan}
    for key, block in mutate.survivors(SURVIVORS).items():
        assert key in keys, f"{block.where}: no mutant of the plan is like this: {key}"


CASES = [only_code_is_touched, named_mutants_fit, a_patch_that_does_not_fit_is_refused, the_plan_is_the_same_each_time,
         a_new_line_elsewhere_changes_no_choice, mutants_keep_the_number_of_lines, survivors_are_mutants_of_the_plan]


def main():
    failed = 0
    print(f"1..{len(CASES)}")
    for number, case in enumerate(CASES, 1):
        name = case.__name__.replace("_", " ")
        try:
            case()
            print(f"ok {number} - {name}")
        except (AssertionError, BadTable) as wrong:
            failed += 1
            print(f"# {wrong}\nnot ok {number} - {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
