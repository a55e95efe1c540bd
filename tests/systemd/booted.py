"""A real systemd for tests, process 1 of namespaces of its own; it and all it started end with `with booted(…)`."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.servers import wait_until

ROOT = Path(__file__).resolve().parents[2]
BOOT = Path(__file__).with_name("boot.sh")
SYSTEMD = Path("/lib/systemd/systemd")
PROGRAMS = ("unshare", "nsenter", "systemctl", "pivot_root", "bash")
#: In place of an installed one: this tree, where the units may look (they see neither /tmp nor /home).
COMMAND = """#!/srv/python/bin/{python}
import sys
from workers.cli.main import main
sys.exit(main())
"""
#: What Python needs to find itself, this tree and what is installed beside it.
PYTHON = {
    "PYTHONPATH": f"/srv/invoices:/srv/invoices/{Path(sysconfig.get_path('purelib')).relative_to(ROOT)}",
    "LD_LIBRARY_PATH": "/srv/python/lib",
}


class CannotBoot(Exception):  # noqa: N818 - reads as what happened
    """No systemd can be run here. The sentence says why."""


class Booted:
    """The running one. Paths are its own."""

    def __init__(self, pid: int, console: Callable[[], str]) -> None:
        self.pid = pid
        self.console = console

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command inside."""
        inside = ["nsenter", "-t", str(self.pid), "-m", "-p", "-C", *command]
        return subprocess.run(
            inside, capture_output=True, text=True, timeout=120, check=False, env={"PATH": os.defpath}
        )

    def systemctl(self, *arguments: str) -> str:
        """Its output; what fails is an error with the console's words."""
        ran = self.run("systemctl", *arguments)
        assert ran.returncode == 0, f"{arguments}: {ran.stderr}\n{self.console()[-2000:]}"
        return ran.stdout

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.systemctl("show", "--property", name, "--value", unit).strip()

    def log(self, unit: str) -> str:
        """What a unit wrote, and what systemd says of it."""
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit).stdout


@contextlib.contextmanager
def booted(files: dict[str, str]) -> Iterator[Booted]:
    """``files``: what stands under /etc, by path there. Raises CannotBoot."""
    group = _cgroup()
    with tempfile.TemporaryDirectory(prefix="systemd-", dir="/var/tmp") as name, _terminal() as (tty, console):
        folder = Path(name)
        _lay_out(folder, files)
        group.mkdir()
        start = f'echo $BASHPID > "{group}/cgroup.procs"; exec "$@"'
        apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--ipc", "--uts", "--cgroup"]
        boot = ["bash", str(BOOT), str(folder), tty, str(ROOT), sys.base_prefix]
        log = (folder / "boot.log").open("wb")
        process = subprocess.Popen(["bash", "-c", start, "-", *apart, *boot], stdout=log, stderr=log)
        try:
            yield _wait_for_it(process, lambda: (folder / "boot.log").read_text() + console())
        finally:
            process.kill()  # with it process 1, and with that everything inside
            process.wait()
            log.close()
            wait_until(lambda: _is_removed(group), "its processes have ended")


def _cgroup() -> Path:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if os.geteuid() != 0 or missing or not SYSTEMD.exists():
        raise CannotBoot(f"a systemd of our own takes root, {SYSTEMD} and {', '.join(missing or PROGRAMS)}")
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    for _, place, kind, options, *_ in mounts:
        if kind == "cgroup2" and options.startswith("rw"):
            return Path(place) / f"invoices-test-{os.getpid()}"
    raise CannotBoot("a systemd of our own takes a cgroup2 hierarchy that can be written")


def _lay_out(folder: Path, files: dict[str, str]) -> None:
    (folder / "root").mkdir()
    for name, content in files.items():
        path = folder / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o600 if "credentials" in name else 0o644)
    command = folder / "invoices"
    command.write_text(COMMAND.format(python=Path(sys.executable).resolve().name))
    command.chmod(0o755)


@contextlib.contextmanager
def _terminal() -> Iterator[tuple[str, Callable[[], str]]]:
    """systemd writes only to a terminal: the name of one, and what was written there."""
    ours, its = pty.openpty()
    written = bytearray()

    def read() -> None:
        with contextlib.suppress(OSError):  # closed
            while data := os.read(ours, 65536):
                written.extend(data)

    threading.Thread(target=read, daemon=True).start()
    try:
        yield os.ttyname(its), lambda: bytes(written).decode(errors="replace")
    finally:
        os.close(its)


def _wait_for_it(process: subprocess.Popen[bytes], console: Callable[[], str]) -> Booted:
    def child() -> int:
        if process.poll() is not None:
            raise CannotBoot(f"no systemd can be started in namespaces here: {console()[-300:].strip()}")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    wait_until(child, "process 1")
    found = Booted(child(), console)
    up = {"running", "degraded"}
    wait_until(lambda: child() and found.run("systemctl", "is-system-running").stdout.strip() in up, "it runs")
    return found


def _is_removed(group: Path) -> bool:
    """Groups go when their last process is gone, those within first."""
    for place in sorted(group.rglob("*"), reverse=True):
        if place.is_dir():
            with contextlib.suppress(OSError):
                place.rmdir()
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()
