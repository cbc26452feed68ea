# SPDX-License-Identifier: MIT
"""Builds a mutant, and runs the native tests on it until one fails.

`make mutants` has built all tests once, below build/mutants/base. A mutant needs the objects
that its text goes into compiled anew (nearly always one) and, test by test, a link of the
same objects with that one exchanged. The tests that are likeliest to notice come first.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .machine import BUILD, TOP

HOME = BUILD / "mutants"
CPU_TIMES = 20      # a test may take so many times what it takes without a mutant,
CPU_LEAST_S = 3     # or this,
CPU_MOST_S = 30     # and a long one this or three times what it takes
BASE_LIMIT_S = 120
OUTPUT_BYTES = 1 << 24
OUTPUT_TAIL = 4000
MEMBER = re.compile(r"^(\S+\.o)$|^(\S+\.o) ", re.M)
NOT_OK = re.compile(r"^not ok \d+(?: -)? ?(.*)$", re.M)

# A program that draws a seed from the clock gets a fixed one: a verdict is the same in every run.
ARGUMENTS = {"model": [["1"]]}


def sha(*parts):
    h = hashlib.sha256()
    for part in parts:
        h.update(part if isinstance(part, bytes) else str(part).encode())
        h.update(b"\0")
    return h.hexdigest()


@dataclass
class Test:
    """One command that can notice a mutant."""
    name: str
    program: Path
    arguments: list
    objects: list   # what it is linked from
    digest: str     # of all that its verdict depends on
    seconds: float = 0.0  # of CPU time, without a mutant
    cpu_s: float = 0.0    # the last time
    reach: dict = field(default_factory=dict)  # path -> lines that it executes


@dataclass
class Verdict:
    name: str
    result: str           # "killed", "survived", "stillborn" (does not compile), "same code"
    test: str = ""        # that killed it
    how: str = ""         # what the test said
    seconds: float = 0.0
    text: str = ""        # digest of the mutant
    tests: str = ""       # digest of the killer, or of all that did not kill it
    path: str = ""


class Bench:
    """The build without mutants, and what was learned from it."""

    def __init__(self, base, reach, cc, cflags, ldflags):
        self.base, self.reach, self.cc = Path(base), Path(reach), shlex.split(cc)
        self.cflags = [f for f in shlex.split(cflags) if f not in ("-MMD", "-MP", "-Werror")] + ["-w"]
        self.ldflags = shlex.split(ldflags)
        self.includers = self._read_dependencies()
        self.tests = [t for p in self._programs() for t in self._tests_of(p)]
        self.kills = Counter()   # (path, test name)
        self.code = {}           # path -> lines that some test could reach
        self.lock = threading.Lock()

    # ---- what there is ----

    def _read_dependencies(self):
        """path -> objects that its text goes into"""
        includers = {}
        for d in self.base.glob("native/**/*.d"):
            text = d.read_text().split("\n\n")[0].replace("\\\n", " ")
            for line in text.splitlines():
                target, _, sources = line.partition(":")
                for source in sources.split():
                    includers.setdefault(source, set()).add(target.strip())
        return includers

    def _programs(self):
        return sorted(p for folder in ("tests/unit", "tests/model", "replay") for p in (self.base / folder).glob("*")
                      if p.is_file() and p.stat().st_mode & 0o100)

    def _tests_of(self, program):
        kind = program.parent.name
        name = f"replay-{program.name}" if kind == "replay" else program.name
        digest = program.read_bytes()
        objects = self._objects_of(program, kind, sha(digest))
        if kind == "replay":
            corpus = sorted((TOP / "tests/fuzz/corpus" / program.name).iterdir())
            yield Test(name, program, corpus, objects, sha(digest, *[f.read_bytes() for f in corpus]))
            return
        for arguments in ARGUMENTS.get(name, [[]]):
            yield Test(" ".join([name, *arguments]), program, arguments, objects, sha(digest, *arguments))

    def _objects_of(self, program, kind, digest):
        """The objects that the linker took for a program; kept beside it."""
        kept = self.base / "objects" / f"{kind}-{program.name}.json"
        if kept.exists() and (found := json.loads(kept.read_text()))["digest"] == digest:
            return found["objects"]
        native = self.base / "native"
        own = [native / ("tests/fuzz" if kind == "replay" else f"tests/{kind}") / f"{program.name}.o"]
        if kind == "replay":
            own.append(native / "tests/mutants/replay.o")
        elif kind == "model":  # one program of all its files
            own = sorted((native / "tests/model").glob("*.o"))
        kept.parent.mkdir(exist_ok=True)
        # A thin archive: the linker names its members by their paths, and some files have the same name.
        thin, link_map = kept.with_suffix(".a"), kept.with_suffix(".map")
        library = {str((TOP / o).resolve()): o for o in native.glob("**/*.o") if "/tests/" not in str(o) or "/tests/host/" in str(o)}
        thin.unlink(missing_ok=True)
        subprocess.run(["ar", "rcsT", thin, *sorted(library)], cwd=TOP, check=True)
        subprocess.run([*self.cc, "-o", kept.with_suffix(".out"), *own, thin, *self.ldflags, f"-Wl,-Map={link_map}"], cwd=TOP, check=True)
        objects = list(own)
        for found in MEMBER.finditer(link_map.read_text().split("\nMerging program", 1)[0]):
            member = library.get(str((TOP / (found[1] or found[2])).resolve()))
            if member and member not in objects:
                objects.append(member)
        objects = [str(o) for o in objects]
        kept.write_text(json.dumps({"digest": digest, "objects": objects}))
        for made in (kept.with_suffix(".out"), thin, link_map):
            made.unlink()
        return objects

    # ---- the tests without a mutant ----

    def measure(self, say):
        """Run every test once; those that fail are returned. Times are kept as long as the programs stay."""
        kept = HOME / "baseline.json"
        times = json.loads(kept.read_text()) if kept.exists() else {}
        failed = []
        todo = [t for t in self.tests if t.digest not in times]
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            for i, (test, (bad, seconds)) in enumerate(zip(todo, pool.map(self._timed, todo)), 1):
                say(f"[{i}/{len(todo)}] without a mutant: {test.name} {bad or f'{seconds:.1f} s'}")
                if bad:
                    failed.append(f"{test.name}: {bad}")
                else:
                    times[test.digest] = seconds
        for test in self.tests:
            test.seconds = times.get(test.digest, 0.0)
        kept.write_text(json.dumps({t.digest: t.seconds for t in self.tests if t.digest in times}))
        return failed

    def _timed(self, test):
        bad = self.run(test, test.program, BASE_LIMIT_S)
        return bad, test.cpu_s

    def learn_reach(self, say):
        """Which lines each test executes: of those that execute no line of a statement none can notice its mutant."""
        kept = HOME / "reach.json"
        known = json.loads(kept.read_text()) if kept.exists() else {}
        for i, test in enumerate(self.tests, 1):
            if test.digest not in known:
                say(f"[{i}/{len(self.tests)}] what it reaches: {test.name}")
                known[test.digest] = self._reach_of(test)
            test.reach = {path: set(lines) for path, lines in known[test.digest]["reached"].items()}
            for path, lines in known[test.digest]["code"].items():
                self.code.setdefault(path, set()).update(lines)
        kept.write_text(json.dumps({t.digest: known[t.digest] for t in self.tests}))

    def _reach_of(self, test):
        for old in self.reach.glob("native/**/*.gcda"):
            old.unlink()
        program = self.reach / test.program.relative_to(self.base)
        subprocess.run([program, *test.arguments], cwd=TOP, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       check=True)
        made = [o for o in self.reach.glob("native/**/*.gcda") if "/native/tests/" not in str(o)]
        found = {"reached": {}, "code": {}}
        if not made:
            return found
        said = subprocess.run(["gcov", "--json-format", "--stdout", *made], cwd=TOP, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=True, text=True).stdout
        for line in said.splitlines():
            for f in json.loads(line)["files"] if line.startswith("{") else []:
                if f["file"].endswith(".c"):
                    found["code"][f["file"]] = [x["line_number"] for x in f["lines"]]
                    found["reached"][f["file"]] = [x["line_number"] for x in f["lines"] if x["count"]]
        return found

    def reaches(self, test, mutant):
        return any(self._reaches_place(test, *place) for place in mutant.places)

    def _reaches_place(self, test, path, statement, body):
        """Of a statement that has no line of its own, the function counts; of a file that is no unit, all of it."""
        for first, last in (statement, body):
            lines = self.code.get(path, set()) & set(range(first, min(last, 1 << 16) + 1))
            if lines:
                return bool(lines & test.reach.get(path, set()))
        return True

    def run(self, test, program, cpu_s):
        """What a test says against a program: "" if it is content."""
        out = Path(f"{program}.{threading.get_ident()}.log")
        command = ["prlimit", f"--cpu={cpu_s}:{cpu_s + 1}", f"--fsize={OUTPUT_BYTES}", "--core=0", program, *test.arguments]
        environment = {"PATH": "/usr/bin:/bin", "CMOCKA_MESSAGE_OUTPUT": "TAP", "UBSAN_OPTIONS": "print_stacktrace=0",
                       "ASAN_OPTIONS": "detect_leaks=1:symbolize=0"}
        with open(out, "wb") as log:
            process = subprocess.Popen(command, cwd=TOP, stdout=log, stderr=subprocess.STDOUT, env=environment)
            status, test.cpu_s = wait(process, 5 * cpu_s + 20)
        said = out.read_bytes()[-OUTPUT_TAIL:].decode(errors="replace") if status else ""
        out.unlink()
        return "" if status == 0 else describe(status, said)

    # ---- one mutant ----

    def candidates(self, mutant, objects):
        """The tests that the mutant is part of, best first."""
        stem = Path(mutant.path).stem

        def worth(test):
            kills = self.kills[mutant.path, test.name] + 0.5 * (test.name == f"test_{stem}") + 0.02
            return -kills / (test.seconds + 0.2)
        return sorted((t for t in self.tests if objects & set(t.objects) and self.reaches(t, mutant)), key=worth)

    def compile(self, mutant, work):
        """object of the base -> the mutant's; None if it does not compile."""
        changed = {}
        for path, text in mutant.files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text)
        for o in sorted({o for path in mutant.files for o in self.includers.get(path, ())}):
            source = str(Path(o).relative_to(self.base / "native").with_suffix(".c"))
            new = work / "o" / Path(o).relative_to(self.base)
            new.parent.mkdir(parents=True, exist_ok=True)
            done = subprocess.run([*self.cc, f"-I{work}", *self.cflags, f"-fmacro-prefix-map={work}/=", "-c", "-o", new,
                                   work / source if source in mutant.files else source], cwd=TOP,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if done.returncode:
                return None
            changed[o] = str(new)
        return changed

    def same_code(self, mutant, work):
        """Whether the compiler, optimising as for the hypervisor, makes the same of both texts."""
        for path in mutant.files:
            if not path.endswith(".c"):
                return False
            made = []
            for name, source in (("a", path), ("b", work / path)):
                o = work / f"{name}.o"
                subprocess.run([*self.cc, f"-I{work}/none", "-std=gnu11", "-I.", "-O2", "-w", "-ffreestanding",
                                "-fno-strict-aliasing", f"-fmacro-prefix-map={work}/=", "-c", "-o", o, source], cwd=TOP,
                               check=True)
                made.append(o.read_bytes())
            if made[0] != made[1]:
                return False
        return True

    def judge(self, mutant, last=None):
        """The verdict on one mutant; `last` is that of an earlier run, if there was one."""
        begin = time.monotonic()
        work = HOME / "work" / mutant.name
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        verdict = Verdict(mutant.name, "stillborn", text=mutant.text_hash(), path=mutant.path)
        changed = self.compile(mutant, work)
        if changed is not None:
            with self.lock:
                tests = self.candidates(mutant, set(changed))
            tests.sort(key=lambda t: not (last and t.name == last.test))
            self.hunt(tests, changed, work, verdict)
            if not tests:
                verdict.how = "no test reaches it"
            if verdict.result == "survived" and self.same_code(mutant, work):
                verdict.result = "same code"
        shutil.rmtree(work, ignore_errors=True)
        verdict.seconds = round(time.monotonic() - begin, 1)
        return verdict

    def hunt(self, tests, changed, work, verdict):
        verdict.result = "survived"
        verdict.tests = sha(*sorted(t.digest for t in tests))
        for test in tests:
            program = work / "program"
            subprocess.run([*self.cc, "-o", program, *[changed.get(o, o) for o in test.objects], *self.ldflags],
                           cwd=TOP, check=True)
            said = self.run(test, program, limit_s(test))
            if said:
                verdict.result, verdict.test, verdict.how, verdict.tests = "killed", test.name, said, test.digest
                with self.lock:
                    self.kills[verdict.path, test.name] += 1
                return

    # ---- what earlier runs found ----

    def still_valid(self, verdict, mutant):
        """Whether an old verdict would come out again: same mutant, same killer (or same tests)."""
        if verdict.text != mutant.text_hash():
            return False
        if verdict.result == "killed":
            return any(t.name == verdict.test and t.digest == verdict.tests for t in self.tests)
        if verdict.result == "stillborn":
            return False
        objects = {o for path in mutant.files for o in self.includers.get(path, ())}
        return verdict.tests == sha(*sorted(t.digest for t in self.candidates(mutant, objects)))


def limit_s(test):
    return round(max(CPU_LEAST_S, min(CPU_TIMES * test.seconds, CPU_MOST_S), 3 * test.seconds))


def wait(process, seconds):
    """(exit status, seconds of CPU time); status None: it was still running, and is not any more."""
    end = time.monotonic() + seconds
    killed = False
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return None if killed else process.returncode, usage.ru_utime + usage.ru_stime
        if time.monotonic() > end and not killed:
            process.kill()
            killed = True
        time.sleep(0.005)


def describe(status, said):
    """A test's complaint in a few words."""
    if status in (None, -24, -9) or "CPU time limit exceeded" in said:
        return "runs without end"
    if found := NOT_OK.search(said):
        return found.group(1).strip()
    for pattern in (r"# panic: (.*)", r"(does not hold: .*)", r"(runtime error: .*)", r"ERROR: (\w+Sanitizer: [\w-]+)"):
        if found := re.search(pattern, said):
            return found.group(1).strip()
    return f"signal {-status}" if status < 0 else f"status {status}"


class Results:
    """build/mutants/results.jsonl: every verdict ever, the newest last."""

    def __init__(self, path=HOME / "results.jsonl"):
        self.path = path
        self.known = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    verdict = Verdict(**json.loads(line))
                except (ValueError, TypeError):
                    continue  # a run that was cut short, or another version of this file
                self.known[verdict.name] = verdict

    def add(self, verdict):
        self.known[verdict.name] = verdict
        with open(self.path, "a") as f:
            f.write(json.dumps(asdict(verdict)) + "\n")

    def kills(self):
        return Counter((v.path, v.test) for v in self.known.values() if v.result == "killed")
