"""An empty Debian to paste into: a base made once by debootstrap and kept, each test on a layer of its own over it.

Everything of a test runs in namespaces of its own (processes, mounts, network), which end with the one process that
holds them: nothing is left mounted or running, whatever happens. There is no network inside: what a test's text
installs was fetched before, by the machine's own settings for apt and pip, and is kept beside the base.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

RELEASE = "bookworm"
SUITES = (RELEASE, f"{RELEASE}-updates", f"{RELEASE}-security")
KEPT = Path("/var/cache/invoices-tests")
SOURCES = (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*")))
TOOLS = ("debootstrap", "unshare", "nsenter", "chroot", "mount", "ip")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSIDE = {"PATH": PATH, "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}
INSIDE |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
#: Arguments: the base, the folder of the layer, the kept packages, the kept wheels. Then it waits to be ended.
STAGE = """
set -eu
mkdir -p "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mount --bind /dev "$2/root/dev"
mount -t tmpfs tmpfs "$2/root/dev/shm"
mount -t tmpfs tmpfs "$2/root/run"
mkdir -p "$2/root/run/lock" "$2/root/wheels"
mount --bind "$3" "$2/root/var/cache/apt/archives"
mount --bind "$4" "$2/root/wheels"
ip link set lo up
echo staged
exec sleep infinity
"""
FETCH = """
set -eu
mount --bind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount --bind "$2" "$1/var/cache/apt/archives"
chroot "$1" apt-get update --quiet
shift 2
chroot "$BASE" apt-get install --yes --quiet --no-install-recommends --download-only "$@"
"""


class Unavailable(Exception):  # noqa: N818 - reads as what is the matter
    """What can't be had on this machine."""


def mirrors() -> dict[str, str]:
    """Where this machine's apt takes each suite of RELEASE from. Raises Unavailable."""
    found: dict[str, str] = {}
    for part in "\n\n".join(path.read_text(errors="replace") for path in SOURCES if path.is_file()).split("\n\n"):
        fields = dict(re.findall(r"^(\w+):[ \t]*(.+)$", part, re.MULTILINE))
        told = [(fields.get("URIs", "").partition(" ")[0], suite) for suite in fields.get("Suites", "").split()]
        told += re.findall(r"^deb\s+(?:\[.*?\]\s+)?(\S+)\s+(\S+)", part, re.MULTILINE)
        found |= {suite: url for url, suite in told if suite in SUITES and re.search(r"/debian(-security)?/?$", url)}
    if RELEASE not in found:
        raise Unavailable(f"apt's sources name no mirror of Debian {RELEASE}")
    return found


def require_tools() -> None:
    """Raise Unavailable for the first thing that is missing."""
    if os.geteuid() != 0:
        raise Unavailable("an empty Debian takes root")
    for tool in TOOLS:
        if shutil.which(tool, path=PATH) is None:
            raise Unavailable(f"there is no {tool} on this machine")


class Kept:
    """What is fetched once for these packages and pins, under KEPT, for one test at a time. Raises Unavailable where it
    can't be fetched."""

    def __init__(self, packages: Sequence[str], pins: Path) -> None:
        require_tools()
        KEPT.mkdir(parents=True, exist_ok=True)
        self._lock = (KEPT / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        told = "\n".join([repr(mirrors()), *packages, pins.read_text(), FETCH])
        self.folder = KEPT / hashlib.sha256(told.encode()).hexdigest()[:16]
        self.base, self.archives, self.wheels = (self.folder / name for name in ("base", "archives", "wheels"))
        if not (self.folder / "complete").exists():
            for other in KEPT.iterdir():  # what is for other pins is of no use any more
                if other.is_dir():
                    shutil.rmtree(other)
            self._fetch(packages, pins)
            (self.folder / "complete").touch()

    def close(self) -> None:
        """Let the next one have it."""
        self._lock.close()

    def _fetch(self, packages: Sequence[str], pins: Path) -> None:
        for folder in (self.archives / "partial", self.wheels):
            folder.mkdir(parents=True)
        make = ("debootstrap", "--variant=minbase", RELEASE, str(self.base), mirrors()[RELEASE])
        _must("debootstrap", *make, DPKG_FORCE="unsafe-io")  # a base that a crash may spoil is made anew
        self._settle()
        command = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", FETCH, "fetch")
        _must("apt-get", *command, str(self.base), str(self.archives), *packages, BASE=str(self.base))
        # Whatever their markers say of this Python: Debian's is another.
        unmarked = self.folder / "pins.txt"
        unmarked.write_text(re.sub(r" ; [^\\\n]*", " ", pins.read_text()))
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--python-version", "3.11", "--only-binary=:all:")
        _must("pip", *pip, "--no-deps", "--require-hashes", "--requirement", str(unmarked), "--dest", str(self.wheels))

    def _settle(self) -> None:
        """Give the base this machine's apt and name server, and let dpkg not wait for the disk."""
        sources = [f"deb {url} {suite} main\n" for suite, url in mirrors().items()]
        (self.base / "etc/apt/sources.list").write_text("".join(sources))
        told = "\n".join(path.read_text() for path in Path("/etc/apt/apt.conf.d").iterdir())
        acquire = re.findall(r"^Acquire::\S+ \"[^\"]*\";$", told, re.MULTILINE)
        (self.base / "etc/apt/apt.conf.d/99acquire").write_text("\n".join(acquire) + "\n")
        (self.base / "etc/resolv.conf").write_text(Path("/etc/resolv.conf").read_text())
        (self.base / "etc/dpkg/dpkg.cfg.d/unsafe-io").write_text("force-unsafe-io\n")


def _must(what: str, *command: str, **environ: str) -> None:
    ran = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, check=False, timeout=1500)
    if ran.returncode:
        last = (ran.stderr.strip() or ran.stdout.strip()).splitlines()[-1:]
        raise Unavailable(f"{what} can't fetch what is needed ({re.sub(r'[a-z]+://[^ ]*', '…', ' '.join(last))})")


class EmptyDebian:
    """`with EmptyDebian(kept, folder) as debian: debian.start("apt-get install …")`"""

    def __init__(self, kept: Kept, folder: Path) -> None:
        self._kept, self._folder = kept, folder
        self._started: list[subprocess.Popen[str]] = []
        self._root = folder / "root"  # of use inside only
        self.dist = folder / "upper/root/dist"  #: what is in /root/dist, if it was put there before the block

    def __enter__(self) -> EmptyDebian:
        command = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "sh", "-c", STAGE, "stage"]
        places = [self._kept.base, self._folder, self._kept.archives, self._kept.wheels]
        self._holder = subprocess.Popen([*command, *places], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != b"staged\n":
            raise Unavailable(f"no layer over a base: {self._holder.stderr.read().decode().strip()}")
        return self

    def start(self, script: str, stdout: IO[str] | int, stderr: IO[str] | int) -> subprocess.Popen[str]:
        """Run it as root by a shell, in /root/dist."""
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text().split()
        enter = ["nsenter", "--target", children[0], "--mount", "--pid", "--net", "chroot", str(self._root)]
        variables = [f"{name}={value}" for name, value in INSIDE.items()]
        command = [*enter, "env", "-i", *variables, "sh", "-euc", f"cd /root/dist\n{script}"]
        process = subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        self._started.append(process)
        return process

    def run(self, script: str, timeout_seconds: float = 180) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        process = self.start(script, subprocess.PIPE, subprocess.PIPE)
        try:
            out, error = process.communicate(timeout=timeout_seconds)
        finally:
            process.kill()
        return subprocess.CompletedProcess(script, process.returncode, out, error)

    def __exit__(self, *_: object) -> None:
        self._holder.kill()  # and with it, by --kill-child, the first process of the namespaces, and so all of them
        self._holder.wait()
        for process in self._started:  # each ends with what it waits for inside
            process.wait(60)
        for pipe in (self._holder.stdout, self._holder.stderr):
            if pipe is not None:
                pipe.close()
