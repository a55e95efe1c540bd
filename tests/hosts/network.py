"""A hub and hosts around it: network namespaces with a cable each. Needs root and Linux.

A process of its own removes them (`remover.py`) once the block ends, or the process that made them, even by SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

from tests.bench.ground import ROOT

#: The hub's address, the same for every host; the cables' own are 10.77.<host>.1 and .2.
HUB = "10.77.255.1"


class NoNetworkError(Exception):
    """Namespaces can't be made here. The sentence says why."""


def _prefix(key: str) -> str:
    return f"invoices-{key}-"


def hub_name(key: str) -> str:
    """The namespace of servers, provider and receiver."""
    return f"{_prefix(key)}hub"


def host_name(key: str, number: int) -> str:
    """The namespace of a host, from 1 on."""
    return f"{_prefix(key)}{number}"


def inside(name: str, *command: str) -> list[str]:
    """The command, to be run in a namespace; it becomes the command's process itself."""
    return [shutil.which("ip") or "ip", "netns", "exec", name, *command]


@contextlib.contextmanager
def network(key: str, hosts: int) -> Iterator[None]:
    """The hub and so many hosts. Raises NoNetworkError."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        raise NoNetworkError("network namespaces take root and the command `ip` (Debian: iproute2)")
    with _remover(key):
        _add(hub_name(key))
        _ip("-n", hub_name(key), "address", "add", f"{HUB}/32", "dev", "lo")
        for number in range(1, hosts + 1):
            _add(host_name(key, number))
            _join(key, number)
        yield


@contextlib.contextmanager
def _remover(key: str) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.hosts.remover", _prefix(key)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        process.communicate()


def _add(name: str) -> None:
    _ip("netns", "add", name)
    _ip("-n", name, "link", "set", "lo", "up")


def _join(key: str, number: int) -> None:
    hub, host, cable = hub_name(key), host_name(key, number), f"h{number}"
    _ip("link", "add", cable, "netns", hub, "type", "veth", "peer", "name", "eth0", "netns", host)
    for name, device, end in ((hub, cable, 1), (host, "eth0", 2)):
        _ip("-n", name, "address", "add", f"10.77.{number}.{end}/24", "dev", device)
        _ip("-n", name, "link", "set", device, "up")
    _ip("-n", host, "route", "add", "default", "via", f"10.77.{number}.1")


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoNetworkError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
