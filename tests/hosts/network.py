"""A hub and hosts around it: network namespaces with a cable each, removed with the block. Needs root and Linux."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

#: The hub's address, the same for every host; the cables' own are 10.77.<host>.1 and .2.
HUB = "10.77.255.1"


class NoNetworkError(Exception):
    """Namespaces can't be made here. The sentence says why."""


def hub_name(key: str) -> str:
    """The namespace of servers, provider and receiver."""
    return f"invoices-{key}-hub"


def host_name(key: str, number: int) -> str:
    """The namespace of a host, from 1 on."""
    return f"invoices-{key}-{number}"


def inside(name: str, *command: str) -> list[str]:
    """The command, to be run in a namespace; it becomes the command's process itself."""
    return [shutil.which("ip") or "ip", "netns", "exec", name, *command]


@contextlib.contextmanager
def network(key: str, hosts: int) -> Iterator[None]:
    """The hub and so many hosts. Raises NoNetworkError."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        raise NoNetworkError("network namespaces take root and the command `ip` (Debian: iproute2)")
    with contextlib.ExitStack() as stack:
        _add(stack, hub_name(key))
        _ip("-n", hub_name(key), "address", "add", f"{HUB}/32", "dev", "lo")
        for number in range(1, hosts + 1):
            _add(stack, host_name(key, number))
            _join(key, number)
        yield


def _add(stack: contextlib.ExitStack, name: str) -> None:
    _ip("netns", "add", name)
    stack.callback(_ip, "netns", "delete", name)
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
