# SPDX-License-Identifier: MIT
"""An experiment as a file (TOML): what it says, checked; every mistake is a sentence with the file, the place, and what to do.

docs/trace.md explains each key; KEYS below is the whole of them.
"""
import difflib
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from .machine import TOP

REPLAY = TOP / "build/bench/replay"

NUMBER, TEXT, LIST, TABLE, TABLES, POLICIES = "a number", "a text", "a list of numbers", "a table", "tables [[...]]", "a list of names, or \"all\""
KEYS = {
    "name": TEXT, "about": TEXT, "trace": TEXT, "policies": POLICIES, "cpu": LIST, "seeds": LIST, "mips": NUMBER, "slice": NUMBER,
    "format": TEXT, "knobs": TABLE, "variant": TABLES, "bar": TABLES, "record": TABLE, "live": TABLE,
}
RECORD = {"config": TEXT, "seconds": NUMBER, "tick_ms": NUMBER, "memory": NUMBER, "smp": NUMBER, "shift": NUMBER, "wait": TEXT, "guests": NUMBER}
LIVE = {**RECORD, "sample_ms": NUMBER, "machine": TEXT, "append": TEXT}
VARIANT = {"name": TEXT, "policy": TEXT, "knobs": TABLE}
BAR = {"policy": TEXT, "cpu": NUMBER, "figure": TEXT, "least": NUMBER, "most": NUMBER}
RECORD_DEFAULT = {"seconds": 60, "tick_ms": 500, "memory": 512, "smp": 2, "shift": 0, "guests": 1}
LIVE_DEFAULT = {**RECORD_DEFAULT, "sample_ms": 1000, "machine": "qemu", "append": ""}


class ExperimentError(Exception):
    """A mistake in an experiment, or in what it needs."""


@dataclass
class Choice:
    """A policy with its knobs, under the name that plots show."""
    name: str
    policy: str
    knobs: dict = field(default_factory=dict)


@dataclass
class Experiment:
    path: Path
    name: str
    about: str
    choices: list
    cpu: list
    seeds: list
    trace: Path | None
    record: dict | None
    live: dict | None
    bars: list
    mips: int
    slice: int
    format: str


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def fits(value, kind):
    return {NUMBER: is_number(value), TEXT: isinstance(value, str), TABLE: isinstance(value, dict),
            LIST: isinstance(value, list) and bool(value) and all(map(is_number, value)),
            TABLES: isinstance(value, list) and all(isinstance(v, dict) for v in value),
            POLICIES: value == "all" or (isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value))}[kind]


class Checker:
    """Says where in the file a mistake is."""

    def __init__(self, path, text):
        self.path, self.lines = path, text.splitlines()

    def line(self, key):
        """The line on which a key stands first, for people; 1 if it stands nowhere."""
        for number, line in enumerate(self.lines, 1):
            if line.strip().lstrip("[").startswith(key.lstrip("[")):
                return number
        return 1

    def fail(self, key, sentence):
        raise ExperimentError(f"{self.path}:{self.line(key)}: {sentence}")

    def table(self, table, keys, where):
        for key, value in table.items():
            if key not in keys:
                near = difflib.get_close_matches(key, keys, 1)
                self.fail(key, f"{where}there is no key `{key}`" + (f"; did you mean `{near[0]}`?" if near else f"; these there are: {', '.join(keys)}"))
            if not fits(value, keys[key]):
                self.fail(key, f"{where}`{key}` must be {keys[key]}")

    def above(self, table, key, least=0):
        for value in table[key] if isinstance(table.get(key), list) else [table.get(key, least + 1)]:
            if value <= least:
                self.fail(key, f"`{key}` must be above {least}, not {value:g}")


def known_policies():
    if not REPLAY.exists():
        raise ExperimentError(f"{REPLAY.relative_to(TOP)} is not built; type `make replay`")
    return subprocess.run([REPLAY, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def choices_of(check, data, known):
    def policy(name, key):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            check.fail(key, f"there is no policy `{name}`; " + (f"did you mean `{near[0]}`?" if near else f"these there are: {', '.join(known)}"))
        return name

    def knobs_of(table, name):
        for knob, value in table.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                check.fail(knob, f"knob `{knob}` of `{name}` must be a whole number")
        return table

    knobs = data.get("knobs", {})
    for name, table in knobs.items():
        policy(name, "knobs")
        if not isinstance(table, dict):
            check.fail("knobs", f"knobs belong to a policy: write [knobs.plain], and below it `{name} = ...`")
    named = data.get("policies", "all" if "variant" not in data else [])
    choices = [Choice(name, policy(name, "policies"), knobs_of(knobs.get(name, {}), name)) for name in (known if named == "all" else named)]
    for variant in data.get("variant", []):
        check.table(variant, VARIANT, "[[variant]]: ")
        if "name" not in variant or "policy" not in variant:
            check.fail("[variant", "a [[variant]] needs a `name` and a `policy`")
        choices.append(Choice(variant["name"], policy(variant["policy"], "variant"), knobs_of(variant.get("knobs", {}), variant["name"])))
    names = [c.name for c in choices]
    for name in names:
        if names.count(name) > 1:
            check.fail("policies", f"`{name}` is there twice: give a [[variant]] another name")
    if not choices:
        check.fail("policies", "no policy at all")
    return choices


def bars_of(check, data):
    bars = data.get("bar", [])
    for bar in bars:
        check.table(bar, BAR, "[[bar]]: ")
        if "figure" not in bar or not ("least" in bar or "most" in bar):
            check.fail("[bar", "a [[bar]] needs a `figure`, and `least` or `most`")
    return bars


def section(check, data, key, keys, default):
    if key not in data:
        return None
    check.table(data[key], keys, f"[{key}]: ")
    if "config" not in data[key]:
        check.fail(key, f"[{key}] needs a `config`, a file with domains as in tests/boot/")
    found = {**default, **data[key]}
    for number in ("seconds", "tick_ms", "memory", "smp", "guests"):
        check.above(found, number)
    if not (TOP / found["config"]).exists():
        check.fail("config", f"{found['config']}: no such file (paths begin at the top of the tree)")
    return found


def load(path):
    """The experiment in a file, or ExperimentError."""
    path = Path(path)
    try:
        text = path.read_text()
        data = tomllib.loads(text)
    except FileNotFoundError:
        there = ", ".join(sorted(str(p.relative_to(TOP)) for p in (TOP / "experiments").glob("*.toml")))
        raise ExperimentError(f"{path}: no such file; these experiments there are: {there or 'none'}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError(f"{path}: this is no TOML: {error}") from error
    check = Checker(path, text)
    check.table(data, KEYS, "")
    for key in ("cpu", "mips", "slice", "seeds"):
        check.above(data, key)
    if any(c > 100 for c in data.get("cpu", [])):
        check.fail("cpu", "`cpu` is in per cent of one CPU: 100 at most")
    if any(s != int(s) for s in data.get("seeds", [])):
        check.fail("seeds", "`seeds` must be whole numbers")
    if data.get("format", "ept") not in ("ept", "npt"):
        check.fail("format", "`format` is \"ept\" or \"npt\"")
    if ("trace" in data) == ("live" in data):
        check.fail("trace", "it needs `trace = FILE`, or a section [live], and not both")
    name = data.get("name", path.stem)
    if not name or "/" in name or name.startswith("."):
        check.fail("name", f"`{name}` is no name for a folder")
    return Experiment(path, name, data.get("about", ""), choices_of(check, data, known_policies()), data.get("cpu", [1]),
                      [int(s) for s in data.get("seeds", [1])], TOP / data["trace"] if "trace" in data else None,
                      section(check, data, "record", RECORD, RECORD_DEFAULT), section(check, data, "live", LIVE, LIVE_DEFAULT),
                      bars_of(check, data), int(data.get("mips", 2000)), int(data.get("slice", 512)), data.get("format", "ept"))
