"""A Prometheus with our rules beside the other processes of this machine, where one is installed."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from workers.embedded.home import make_home
from workers.embedded.listening import reachable, read_listening
from workers.embedded.procfile import ProcessSpec

PROGRAM = "prometheus"
FIRST_PORT, PORTS = 9090, 100
SCRAPE_SECONDS = 5
KEEP_DAYS = 15
#: What a process logs that serves metrics on a port of their own. The web process has them among its pages.
_METRICS, _METRICS_URL = "metrics.listening", re.compile(r"(http://[^\s\"\x1b]+/metrics)\b")


def is_installed() -> bool:
    """Whether it is on the PATH."""
    return shutil.which(PROGRAM) is not None


def free_port() -> int:
    """The first free port from FIRST_PORT. Raises OSError when there is none."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        with contextlib.suppress(OSError), socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1} is free")


class EmbeddedPrometheus:
    """Its folder in the home, its process, and its targets: every process that has logged where it serves metrics."""

    def __init__(self, home: Path, rules: Sequence[Path], port: int) -> None:
        """Writes its configuration. Raises OSError."""
        self.url = f"http://127.0.0.1:{port}"
        self._folder = home.absolute() / "prometheus"
        self._targets: set[str] = set()
        make_home(home)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._write_targets()
        self._write("prometheus.yml", self._configuration(rules))

    def process(self) -> ProcessSpec:
        """For the supervisor."""
        return ProcessSpec(
            "prometheus",
            (
                PROGRAM,
                f"--config.file={self._folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--storage.tsdb.retention.time={KEEP_DAYS}d",
                f"--web.listen-address={urlsplit(self.url).netloc}",
                "--log.level=warn",
            ),
        )

    def take(self, line: str) -> None:
        """A line of the merged log, which may say that a process serves its metrics."""
        metrics = _METRICS_URL.search(line) if _METRICS in line else None
        url = read_listening(line) if metrics is None else reachable(metrics[1])
        if url is None:
            return
        target = urlsplit(url).netloc
        if target not in self._targets:
            self._targets.add(target)
            self._write_targets()

    def _write_targets(self) -> None:
        # Prometheus notices changes of this file by itself.
        self._write("targets.json", [{"targets": sorted(self._targets)}])

    def _configuration(self, rules: Sequence[Path]) -> object:
        seconds = f"{SCRAPE_SECONDS}s"
        return {
            "global": {"scrape_interval": seconds, "evaluation_interval": seconds},
            "rule_files": [str(path.absolute()) for path in rules],
            "scrape_configs": [
                {"job_name": "invoices", "file_sd_configs": [{"files": [str(self._folder / "targets.json")]}]}
            ],
        }

    def _write(self, name: str, content: object) -> None:
        """JSON, which is YAML too; all of it or nothing."""
        half = self._folder / f".{name}.new"
        half.write_text(json.dumps(content, indent=1), encoding="utf-8")
        half.replace(self._folder / name)
