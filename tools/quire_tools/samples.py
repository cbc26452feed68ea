# SPDX-License-Identifier: MIT
"""Figures of several runs: kept by name, told as JSON lines of the one schema."""
import json
import statistics


class Samples:
    """Values by (name, set, side) and run. A figure that could not be taken in a run is not there."""

    def __init__(self):
        self.rows = {}
        self.units = {}
        self.run = 0

    def add(self, name, value, unit, set_name, side):
        if value is not None:
            self.rows.setdefault((name, set_name, side), {})[self.run] = value
            self.units[name] = unit

    def by_run(self, name, set_name, side):
        return self.rows.get((name, set_name, side), {})

    def values(self, name, set_name, side):
        return list(self.by_run(name, set_name, side).values())

    def median(self, name, set_name, side):
        values = self.values(name, set_name, side)
        return statistics.median(values) if values else None

    def range(self, name, set_name, side):
        """(min, median, max), or None."""
        values = self.values(name, set_name, side)
        return (min(values), statistics.median(values), max(values)) if values else None

    def sides(self, name, set_name):
        return [side for (n, s, side) in self.rows if (n, s) == (name, set_name)]

    def write(self, path, conditions):
        partial = path.with_suffix(".part")
        with open(partial, "w") as out:
            for (name, set_name, side), by_run in self.rows.items():
                values = list(by_run.values())
                out.write(json.dumps({
                    "schema": 1, "name": name, "value": short(statistics.median(values)), "unit": self.units[name],
                    "min": short(min(values)), "max": short(max(values)), "runs": len(values), "set": set_name,
                    "side": side, "conditions": conditions}) + "\n")
        partial.rename(path)


def short(value):
    """As many digits as a measurement has."""
    return int(value) if float(value).is_integer() else float(f"{value:.5g}")
