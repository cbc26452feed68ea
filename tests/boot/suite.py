# SPDX-License-Identifier: MIT
"""The boot tests: each is one start of one machine. See tools/quire_tools/case.py for the fields."""
from quire_tools.case import Case, against_oracle
from quire_tools.fairness import equal_work


def with_cpus(name, config, **more):
    """The same guests on one CPU and on two."""
    return [Case(f"{name}, 1 CPU", config, smp=1, **more), Case(f"{name}, 2 CPUs", config, smp=2, **more)]


END = ["wait all 100", "audit"]

CASES = [
    *with_cpus("hello", "hello.cfg"),
    *with_cpus("hypercalls", "hypercalls.cfg"),
    Case("hypercalls with two vCPUs, 1 CPU", "hypercalls2.cfg", smp=1),
    Case("hypercalls with two vCPUs, 2 CPUs", "hypercalls2.cfg", smp=2),
    *with_cpus("fill", "fill.cfg"),
    Case("fill on 2 MiB leaves", "fill-large.cfg"),
    *with_cpus("storm", "storm.cfg"),
    *with_cpus("balloon", "balloon.cfg"),
    Case("tlb", "tlb.cfg"),
    *with_cpus("idle", "idle.cfg", script=["sleep 500", "shutdown idle", *END]),
    *with_cpus("spin", "spin.cfg"),
    # Counted, not timed: work is instructions, and machine time advances by them.
    Case("fair shares", "fair.cfg", check=equal_work, options={"count": 3}, script=["wait busy-1 60", "wait busy-2 60", "wait busy-3 60",
                                                              "wait busy-4 60", "shutdown spin", *END]),
    Case("sharing equals the oracle", "oracle.cfg", script=["sleep 1500"], check=against_oracle),
]
