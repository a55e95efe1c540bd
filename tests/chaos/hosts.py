"""Hosts of a test: network namespaces on a bridge, each with a cable that can be pulled. Linux, root and iproute2."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

#: Set aside for tests of networks (RFC 2544); the third number is of this process, so that two runs keep apart.
NETWORK = "198.18.{third}.{host}"


class MissingHostsError(Exception):
    """This machine can't play several hosts. The sentence says why."""


class Hosts:
    """`with several_hosts(("north", "south")) as hosts: hosts.cut("north") … hosts.mend("north")`"""

    def __init__(self, names: Sequence[str], pid: int | None = None) -> None:
        """``pid``: of the process they belong to; their names are made from it."""
        pid = os.getpid() if pid is None else pid
        self.names = names
        self._mark = f"ch{pid}"
        self._third = pid % 254 + 1
        self.bridge = f"{self._mark}br"
        self.address = NETWORK.format(third=self._third, host=1)  #: of what all hosts reach: the doors listen there

    def command(self, name: str) -> tuple[str, ...]:
        """What to put before a command line for it to run on that host."""
        return ("ip", "netns", "exec", self._namespace(name))

    def cut(self, name: str) -> None:
        """Pull the cable: nothing in, nothing out, and nobody is told."""
        _ip("link", "set", self._cable(name), "nomaster")

    def mend(self, name: str) -> None:
        """Put it back."""
        _ip("link", "set", self._cable(name), "master", self.bridge)

    def delay(self, name: str, milliseconds: int) -> None:
        """Everything that is sent to that host comes so much later; 0: no more. Raises RuntimeError without netem."""
        cable = self._cable(name)
        if milliseconds:
            _run("tc", "qdisc", "replace", "dev", cable, "root", "netem", "delay", f"{milliseconds}ms", "10ms")
        else:
            _run("tc", "qdisc", "del", "dev", cable, "root")

    def build(self) -> None:
        """Bridge, namespaces, cables."""
        _ip("link", "add", self.bridge, "type", "bridge")
        _ip("addr", "add", f"{self.address}/24", "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")
        for number, name in enumerate(self.names, start=2):
            space, cable = self._namespace(name), self._cable(name)
            _ip("netns", "add", space)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", cable, "master", self.bridge, "up")
            own = NETWORK.format(third=self._third, host=number)
            _ip("-n", space, "addr", "add", f"{own}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            _ip("-n", space, "link", "set", "lo", "up")

    def remove(self) -> None:
        """Everything of it that is there; a namespace takes its cable with it."""
        for name in self.names:
            _ip("netns", "del", self._namespace(name), must=False)
            _ip("link", "del", self._cable(name), must=False)
        _ip("link", "del", self.bridge, must=False)

    def _namespace(self, name: str) -> str:
        return f"{self._mark}-{name}"

    def _cable(self, name: str) -> str:
        return f"{self._mark}{name[:5]}"  # an interface's name has up to 15 bytes, a process id 7 digits


def remove_orphans(names: Sequence[str]) -> None:
    """What runs that were killed have left behind."""
    found = _run("ip", "-o", "link", "show", "type", "bridge")
    for pid in {int(digits) for digits in re.findall(r": ch(\d+)br:", found)}:
        if not Path(f"/proc/{pid}").exists():
            Hosts(names, pid).remove()


@contextlib.contextmanager
def several_hosts(names: Sequence[str]) -> Iterator[Hosts]:
    """Hosts by name, gone afterwards. Raises MissingHostsError."""
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("ip"):
        raise MissingHostsError("several hosts need Linux, root and iproute2 (network namespaces)")
    hosts = Hosts(names)
    try:
        try:
            remove_orphans(names)
            hosts.build()
        except RuntimeError as error:
            raise MissingHostsError(f"several hosts need network namespaces: {error}") from None
        yield hosts
    finally:
        hosts.remove()


def _ip(*arguments: str, must: bool = True) -> None:
    _run("ip", *arguments, must=must)


def _run(*command: str, must: bool = True) -> str:
    """What it printed. Raises RuntimeError with what it complained about."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=180)
    if must and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace")
