# SPDX-License-Identifier: MIT
"""Makes a Linux guest out of Debian packages and guests/linux/: kernel, initramfs, and a disk if one is wanted.

	vmlinux, vmlinuz    the kernel, unpacked (its ELF notes have the PVH entry) and as it came
	initrd.img          busybox, the userland of guests/linux/packages and its work
	initrd-small.img    busybox alone: for a machine that is slow (work=idle and work=files)
	disk.ext4           the userland with more packages, for a guest with a virtio disk (root=/dev/vda)
	packages.json       what went in, with versions and sums; disk.json for the disk

Everything is written under a temporary name first.
"""
import hashlib
import json
import lzma
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from . import bzimage, cpio, debian
from .debian import PackageError
from .machine import TOP

SOURCE = TOP / "guests/linux"
# What a virtio disk with ext4 on it needs, where a kernel has it not built in; with what these depend on.
DISK_MODULES = ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4"]
# What no program in the guest opens. On the disk documents stay: something must be there to be read.
NOT_IN_MEMORY = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian", "usr/share/bug",
                 "usr/lib/x86_64-linux-gnu/gconv", "usr/share/nginx", "usr/include/linux", "usr/include/rdma", "usr/include/drm",
                 "usr/include/sound", "usr/include/scsi", "usr/include/xen", "usr/include/misc", "usr/include/mtd",
                 "usr/include/video", "usr/lib/x86_64-linux-gnu/audit", "etc/init.d", "usr/share/initramfs-tools"]
ARCHIVES_WANTED = {"libtcc1.a", "libc_nonshared.a"}
CONSOLE = ("dev/console", stat.S_IFCHR | 0o600, 5, 1)
PASSWD = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nwww-data:x:33:\n"


def say(text):
    print(f"  LINUX   {text}", file=sys.stderr, flush=True)


class Wanted:
    """guests/linux/packages: names in the initramfs, more on the disk, and what is left out."""

    def __init__(self, text):
        self.memory, self.disk, self.out = [], [], []
        for line in text.splitlines():
            words = line.split("#")[0].split()
            if words:
                {"disk": self.disk, "not": self.out}.get(words[0], self.memory).append(words[-1])


def write_whole(path, data):
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(data)
    temporary.replace(path)


def sum_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


# ---- the kernel ----

def make_kernel(apt, name, out, modules):
    """vmlinux and vmlinuz from the package; its modules for a disk go into a folder. What was found, for packages.json."""
    file = debian.kernel_package(apt, name)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        folder = Path(folder)
        debian.unpack(file, folder)
        image, = (folder / "boot").glob("vmlinuz-*")
        say(f"kernel {image.name.removeprefix('vmlinuz-')}")
        data = image.read_bytes()
        try:
            kernel, packed = bzimage.unpack(data)
        except bzimage.BadImage as mistake:
            raise PackageError(f"{image.name} of {file.name}: {mistake}") from mistake
        write_whole(out / "vmlinux", kernel)
        write_whole(out / "vmlinuz", data)
        copy_modules(folder, modules)
    return {"asked": name, "package": debian.field(file, "Package"), "version": debian.field(file, "Version"),
            "release": image.name.removeprefix("vmlinuz-"), "packed": packed}


def copy_modules(folder, modules):
    """The modules for a disk, and their names in the order in which they can be loaded."""
    modules.mkdir()
    there = {path.name.split(".")[0].replace("-", "_"): path for path in folder.glob("lib/modules/*/kernel/**/*.ko*")}
    order = []

    def take(name):
        path = there.get(name)
        if not path or name in order:
            return
        data = path.read_bytes()
        data = lzma.decompress(data) if path.suffix == ".xz" else data
        for needed in re.search(rb"\0depends=([\w,-]*)\0", data).group(1).decode().replace("-", "_").split(","):
            take(needed)
        order.append(name)
        (modules / f"{name}.ko").write_bytes(data)

    for name in DISK_MODULES:
        take(name)
    (modules / "order").write_text("".join(f"{name}.ko\n" for name in order))


# ---- the userland ----

def unpack_all(apt, names, tree):
    """A Debian tree with merged /usr; {package: version}."""
    found = apt.closure(names)
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / "usr" / name).mkdir(parents=True)
        (tree / name).symlink_to(f"usr/{name}")
    for _, file in found.values():
        archive = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", tree], stdin=archive.stdout, check=True)
        if archive.wait():
            raise PackageError(f"{file.name} cannot be unpacked")
    return {name: version for name, (version, _) in sorted(found.items())}


def make_mark(scratch):
    """The program `mark`, the only one that we compile ourselves."""
    path = scratch / "mark"
    done = subprocess.run(["gcc", "-nostdlib", "-static", "-s", "-Wl,--build-id=none", "-o", path, SOURCE / "mark.S"],
                          stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise PackageError(f"mark.S: {done.stderr.strip()}")
    return path


def put_ours(tree, mark):
    """guests/linux into the tree."""
    guest = tree / "lib/guest"
    shutil.copytree(SOURCE / "works", guest / "works")
    for name in ("settings", "rounds.sh", "inittab", "start", "shell", "nginx.conf"):
        shutil.copy(SOURCE / name, guest / name)
    shutil.copy(SOURCE / "run-work", guest / "work")
    shutil.copy(SOURCE / "init", tree / "init")
    shutil.copy(mark, guest / "mark")
    for name in ("etc", "var", "dev", "root", "tmp", "mnt", "proc", "sys", "run", "sbin", "usr/bin", "usr/sbin"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    if not (tree / "etc/passwd").exists():
        (tree / "etc/passwd").write_text(PASSWD)
        (tree / "etc/group").write_text(GROUP)
    (tree / "etc/hosts").write_text("127.0.0.1 localhost\n")


def prune(tree):
    for name in NOT_IN_MEMORY:
        shutil.rmtree(tree / name, ignore_errors=True)
    for path in tree.rglob("*.a"):
        if path.name not in ARCHIVES_WANTED:
            path.unlink()


def make_archive(tree, path):
    """The tree as a zstd cpio archive, which Linux unpacks since 5.9."""
    temporary = path.with_name(path.name + ".new")
    with open(temporary, "wb") as file:
        zstd = subprocess.Popen(["zstd", "-q", "-15", "-c"], stdin=subprocess.PIPE, stdout=file)
        cpio.tree(tree, zstd.stdin.write, [CONSOLE])
        zstd.stdin.close()
        if zstd.wait():
            raise PackageError("zstd failed")
    temporary.replace(path)
    say(f"{path.name}: {path.stat().st_size >> 10} KiB")


def make_memory(apt, wanted, modules, out, scratch):
    """Both initramfs archives."""
    say(f"userland: {' '.join(wanted.memory)}")
    tree, mark = scratch / "memory", make_mark(scratch)
    packages = unpack_all(apt, wanted.memory, tree)
    prune(tree)
    small = scratch / "small"
    for folder in (tree, small):
        if folder == small:
            (small / "bin").mkdir(parents=True)
            (small / "lib").mkdir()
            shutil.copy(tree / "bin/busybox", small / "bin/busybox")
        put_ours(folder, mark)
        shutil.copytree(modules, folder / "modules")
    (small / "lib/guest/works/web").unlink()
    (small / "lib/guest/works/python").unlink()
    (small / "lib/guest/works/compile").unlink()
    make_archive(tree, out / "initrd.img")
    make_archive(small, out / "initrd-small.img")
    return packages


def make_disk(apt, wanted, out, scratch):
    """An ext4 file system made without mounting it; a quarter more than what is in it."""
    say(f"disk: {' '.join(wanted.memory + wanted.disk)}")
    tree = scratch / "disk"
    packages = unpack_all(apt, wanted.memory + wanted.disk, tree)
    put_ours(tree, make_mark(scratch))
    used = int(subprocess.run(["du", "-sk", tree], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0])
    temporary = out / "disk.ext4.new"
    temporary.unlink(missing_ok=True)
    done = subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, "-E", "root_owner=0:0", "-L", "guest", temporary,
                           f"{used * 5 // 4 + 65536}k"], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise PackageError(f"mke2fs failed: {done.stderr.strip()}")
    temporary.replace(out / "disk.ext4")
    say(f"disk.ext4: {(out / 'disk.ext4').stat().st_size >> 20} MiB")
    return packages


# ---- the whole ----

PROGRAMS = {"gcc": "gcc", "zstd": "zstd", "tar": "tar", "du": "coreutils", "mke2fs": "e2fsprogs"}


def prepare(out, archives):
    """What both builds need; (wanted, apt)."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if missing:
        raise PackageError(f"programs are missing: apt-get install {' '.join(missing)}")
    out.mkdir(parents=True, exist_ok=True)
    wanted = Wanted((SOURCE / "packages").read_text())
    return wanted, debian.Apt(archives, wanted.out)


def write_manifest(path, out, manifest, made):
    manifest["files"] = {name: {"bytes": (out / name).stat().st_size, "sha256": sum_of(out / name)} for name in made}
    write_whole(path, (json.dumps(manifest, indent=1) + "\n").encode())


def build(kernel, out, archives):
    """Kernel and initramfs into the folder `out`; packages are kept in `archives`. PackageError says what failed."""
    wanted, apt = prepare(out, archives)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        modules = Path(folder) / "modules"
        manifest = {"version": 1, "kernel": make_kernel(apt, kernel, out, modules)}
        manifest["initrd"] = make_memory(apt, wanted, modules, out, Path(folder))
    write_manifest(out / "packages.json", out, manifest, ["vmlinux", "vmlinuz", "initrd.img", "initrd-small.img"])


def build_disk(out, archives):
    """The same for the disk."""
    wanted, apt = prepare(out, archives)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        manifest = {"version": 1, "disk": make_disk(apt, wanted, out, Path(folder))}
    write_manifest(out / "disk.json", out, manifest, ["disk.ext4"])
