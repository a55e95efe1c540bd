"""Containers by runc, with what a service of the compose file says: read-only root, no capabilities, secrets as files.

They share this host's network, so ports are free ones, and the names of services stand in /etc/hosts.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.images.build import Image
from tests.servers import Server, wait_until

BASIC_MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
]


class Container:
    """One that runs, until ``close``."""

    def __init__(self, folder: Path, image: Image, spec: Mapping[str, Any]) -> None:
        self._id = f"invoices-{uuid.uuid4().hex[:12]}"
        self._state, self.image = ["runc", "--root", str(folder / "runc")], image
        bundle = folder / self._id
        bundle.mkdir(parents=True)
        (bundle / "config.json").write_text(json.dumps(spec))
        self.log = bundle / "log"
        self._server = Server([*self._state, "run", "--bundle", str(bundle), self._id], self.log)

    def said(self) -> str:
        """All that it printed."""
        return self.log.read_text(errors="replace")

    def runs(self) -> bool:
        """Whether its process has not ended yet."""
        return self._server.runs()

    def wait(self, seconds: float) -> int:
        """The exit code of its process."""
        wait_until(lambda: not self.runs(), f"it ends: {self.said()[-2000:]}", seconds)
        return self._server.end()

    def send(self, how: signal.Signals) -> None:
        """A signal to its first process."""
        os.kill(int(self._runc("state")["pid"]), how)

    def run(self, *command: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """`docker exec`."""
        given = [*self._state, "exec", self._id, *command]
        return subprocess.run(given, capture_output=True, text=True, check=False, timeout=seconds)

    def is_healthy(self) -> bool:
        """What the image's HEALTHCHECK says, once."""
        kind, *command = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*command).returncode == 0

    def close(self) -> None:
        """End all of it."""
        subprocess.run([*self._state, "delete", "--force", self._id], capture_output=True, check=False)
        self._server.end()

    def _runc(self, command: str) -> Any:
        done = subprocess.run([*self._state, command, self._id], capture_output=True, check=True)
        return json.loads(done.stdout)


def spec_of(image: Image, service: Mapping[str, Any], secrets: Mapping[str, Path], hosts: Path, **settings: str) -> Any:
    """A service of the compose file as runc takes it; ``settings`` are added to its environment."""
    config = image.config
    uid, gid = config["User"].split(":")
    environment = dict(pair.split("=", 1) for pair in config["Env"])
    environment |= {name: str(value) for name, value in service["environment"].items()} | settings
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    process = {
        "terminal": False,
        "user": {"uid": int(uid), "gid": int(gid)},
        "args": [*service.get("entrypoint", config["Entrypoint"]), *service["command"]],
        "env": [f"{name}={value}" for name, value in environment.items()],
        "cwd": config["WorkingDir"],
        "capabilities": {},
        "noNewPrivileges": True,
    }
    mounts = [*BASIC_MOUNTS, *map(_tmpfs, service["tmpfs"]), _bind(hosts, "/etc/hosts")]
    mounts += [_bind(secrets[name], f"/run/secrets/{name}") for name in service["secrets"]]
    return {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": str(image.root), "readonly": service["read_only"]},
        "mounts": mounts,
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "mount")]},
    }


def _tmpfs(text: str) -> dict[str, Any]:
    place, _, options = text.partition(":")
    return {"destination": place, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", *options.split(",")]}


def _bind(source: Path, place: str) -> dict[str, Any]:
    return {"destination": place, "type": "bind", "source": str(source), "options": ["bind", "ro"]}


@contextlib.contextmanager
def ended(container: Container) -> Iterator[Container]:
    """Until the end of the `with`."""
    try:
        yield container
    finally:
        container.close()
