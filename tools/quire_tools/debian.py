# SPDX-License-Identifier: MIT
"""Debian packages by name, unpacked into a folder: nothing is installed, and nobody need be root.

apt resolves and fetches, but it is shown a state of our own in which no package is installed, except those that
we claim. Its package lists are the machine's; where these are missing or too old, it reads new ones
into our folder.
"""
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

LISTS = Path("/var/lib/apt/lists")


class PackageError(Exception):
    """A sentence for the user."""


class Apt:
    def __init__(self, folder, claimed=()):
        """folder: for state and packages, kept from run to run; claimed: names said to be installed already."""
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise PackageError("apt-get and dpkg-deb are needed: the packages come from Debian, through apt")
        self.folder = Path(folder).resolve()
        self.archives = self.folder / "archives"
        self.own_lists = self.folder / "lists"
        for path in (self.archives / "partial", self.own_lists / "partial"):
            path.mkdir(parents=True, exist_ok=True)
        architecture = subprocess.run(["dpkg", "--print-architecture"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        self.status = self.folder / "status"
        self.status.write_text("".join(
            f"Package: {name}\nStatus: install ok installed\nArchitecture: {architecture}\nMulti-Arch: foreign\n"
            f"Maintainer: none\nVersion: 9999\nDescription: claimed\n\n" for name in claimed))
        self.lists = self.own_lists if any(self.own_lists.glob("*Packages*")) else LISTS

    def run(self, *words, cwd=None):
        options = {"Dir::State::status": self.status, "Dir::State::lists": self.lists, "Dir::Cache::archives": self.archives,
                   "Dir::Cache::pkgcache": "", "Dir::Cache::srcpkgcache": "", "Dir::State::extended_states": self.folder / "extended",
                   "Debug::NoLocking": 1, "APT::Sandbox::User": "", "Acquire::Languages": "none", "Dir::Log": self.folder,
                   "Acquire::Retries": 2, "Acquire::http::Timeout": 30}
        return subprocess.run(["apt-get", *(f"-o{key}={value}" for key, value in options.items()), *words], cwd=cwd,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def must(self, *words, cwd=None):
        """The same; if it fails, once more with new package lists, before it is an error."""
        done = self.run(*words, cwd=cwd)
        if done.returncode and self.lists == LISTS:
            self.lists = self.own_lists
            if self.run("update", "--error-on=any").returncode == 0:
                done = self.run(*words, cwd=cwd)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))][-3:]
            shutil.rmtree(self.own_lists)
            raise PackageError(f"`apt-get {' '.join(words)}` failed: {' '.join(said) or done.stderr.strip()}\n"
                               "Is there a network, and do /etc/apt/sources.list or sources.list.d name Debian's archive?")
        return done.stdout

    def closure(self, names):
        """Fetch packages and all that they depend on; {name: (version, file)}."""
        want = ["--no-install-recommends", "install", *names]
        self.must("-y", "--download-only", *want)
        found = {}
        for name, version, architecture in re.findall(r"^Inst (\S+) \((\S+) .*\[(\w+)\]\)", self.must("-s", *want), re.M):
            found[name] = version, self.archives / f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"
        missing = [name for name, (_, file) in found.items() if not file.is_file()]
        if missing or not found:
            raise PackageError(f"apt-get left nothing behind for {' '.join(missing or names)}")
        return found

    def one(self, name):
        """Fetch one package without what it depends on; its file."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            self.must("download", name, cwd=folder)
            file, = Path(folder).glob("*.deb")
            return file.rename(self.archives / file.name)


def field(file, name):
    """A field of a package file's control data; empty if it is not there."""
    return subprocess.run(["dpkg-deb", "-f", file, name], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def unpack(file, folder):
    subprocess.run(["dpkg-deb", "-x", file, folder], check=True)


def kernel_package(apt, name):
    """The package file that has the kernel in it: `name`, or what it stands for (linux-image-amd64 and the like)."""
    for _ in range(3):
        file = apt.one(name)
        members = subprocess.run(["dpkg-deb", "-c", file], stdout=subprocess.PIPE, text=True, check=True).stdout
        if re.search(r" \./boot/vmlinuz-", members):
            return file
        stands_for = re.match(r"(linux-image-\S+)(?: \(= (\S+)\))?", field(file, "Depends"))
        if not stands_for:
            break
        name = "=".join(filter(None, stands_for.groups()))
    raise PackageError(f"{name} is not a package of a Linux kernel")
