# SPDX-License-Identifier: MIT
"""Files of guest memory, and the manifest that names them.

An image is a guest's memory, page after page of 4096 bytes, and nothing else. manifest.json lists sets of them:

	{"version": 1, "page_bytes": 4096, "sets": [
	  {"name": "mix",
	   "vms": [{"t0": "mix/vm0.t0", "t1": "mix/vm0.t1"}, ...],   paths from the manifest's folder; t1 may be null:
	                                                             nothing changed, or there is no second instant
	   "truth": {"t0": {"pages": 65536, "distinct": 42148, "constants": 1, "savable": 23389,
	                    "zero": 16384, "ones": 0, "intra": ..., "inter": ...},
	             "t1": {..., "changed": 1311} or null},
	   "made": {...},                                            how: what a rerun compares to reuse the files
	   "guests": [...], "packages": {...}}                       of Linux guests: work, seconds up, sums, versions
	]}

All of truth are pages. distinct counts contents, constant ones included; constants are those of all zero and all one
bits that occur; savable = pages - distinct + constants = zero + ones + intra + inter. Of the contents that are not
constant, inter is one less than the guests that have it, intra the rest. changed: pages unlike those of t0.
Files and manifest are renamed into their place when they are whole.
"""
import json
import mmap
import os

from .oracle import ONES, PAGE, ZERO, Tally

VERSION = 1


class Image:
    """A file of pages, mapped."""

    def __init__(self, path):
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0 or size % PAGE:
                raise ValueError(f"{path}: its size is not a whole number of pages of {PAGE} bytes")
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.pages = size // PAGE

    def page(self, number):
        return self.bytes[number * PAGE:(number + 1) * PAGE]

    def __iter__(self):
        return (self.page(number) for number in range(self.pages))


def tally_of(images):
    """The oracle over all pages of several guests, in one share group."""
    tally = Tally(lambda where: where[0].page(where[1]))
    for vm, image in enumerate(images):
        for number in range(image.pages):
            tally.add(vm, image.page(number), (image, number))
    return tally


def changed_pages(before, after):
    """Numbers of the pages that differ; both are as long."""
    return [number for number in range(before.pages) if before.page(number) != after.page(number)]


def truth_of(tally, changed=None):
    """The manifest's form of it."""
    t = tally.truth()
    constants = sum(bool(tally.constants[content]) for content in (ZERO, ONES))
    said = {"pages": t.pages, "distinct": t.distinct + constants, "constants": constants, "savable": t.saved,
            "zero": t.zero, "ones": t.ones, "intra": t.self_saved, "inter": t.inter_saved}
    if changed is not None:
        said["changed"] = changed
    return said


class Set:
    """A set of the manifest with its images open; t1 of a guest that has none is its t0."""

    def __init__(self, folder, entry):
        self.name = entry["name"]
        self.entry = entry
        self.t0 = [Image(folder / vm["t0"]) for vm in entry["vms"]]
        self.t1 = [Image(folder / vm["t1"]) if vm["t1"] else image for vm, image in zip(entry["vms"], self.t0)]
        self.has_t1 = any(vm["t1"] for vm in entry["vms"])

    def changed(self):
        """Of each guest, the pages that differ at t1."""
        return [[] if before is after else changed_pages(before, after) for before, after in zip(self.t0, self.t1)]

    def count(self):
        """The oracle's truth, in the manifest's form."""
        second = truth_of(tally_of(self.t1), sum(map(len, self.changed()))) if self.has_t1 else None
        return {"t0": truth_of(tally_of(self.t0)), "t1": second}


# ---- the manifest ----

def read_manifest(folder):
    path = folder / "manifest.json"
    if not path.exists():
        return {"version": VERSION, "page_bytes": PAGE, "sets": []}
    manifest = json.loads(path.read_text())
    if manifest.get("version") != VERSION:
        raise ValueError(f"{path} is of version {manifest.get('version')}, not {VERSION}: remove it")
    return manifest


def put_set(folder, entry):
    """Add a set to the manifest, or replace the one of its name."""
    manifest = read_manifest(folder)
    others = [s for s in manifest["sets"] if s["name"] != entry["name"]]
    manifest["sets"] = sorted(others + [entry], key=lambda s: s["name"])
    temporary = folder / "manifest.json.new"
    temporary.write_text(json.dumps(manifest, indent=1) + "\n")
    temporary.replace(folder / "manifest.json")


def find_set(folder, name, made):
    """The set, if it was made like this and its files are all there; else None."""
    for entry in read_manifest(folder)["sets"]:
        files = [file for vm in entry["vms"] for file in (vm["t0"], vm["t1"]) if file]
        if entry["name"] == name and entry["made"] == made and all((folder / file).is_file() for file in files):
            return entry
    return None
