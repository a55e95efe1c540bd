"""What a system has come to: rows, events, the stream, calls of the sandbox, logs."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from workers.embedded.sandbox.process import SandboxProcess

RECEIVER = "shop"
TAIL_LINES = 40


class Facts:
    """Read from outside, past our code: by SQL, from Redis, from the sandbox's control address and from logs."""

    home: Path
    engine: Engine
    redis: Any
    sandbox: SandboxProcess
    _log_starts: dict[str, int]

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """Rows of a query, straight from the database."""
        with self.engine.connect() as connection:
            return [row._asdict() for row in connection.execute(text(query), values)]

    def invoices(self, prefix: str = "") -> dict[str, dict[str, Any]]:
        """Every invoice whose order's id begins so, by that id."""
        found = self.rows("SELECT * FROM invoice WHERE order_id LIKE :like", like=f"{prefix}%")
        return {row["order_id"]: row for row in found}

    def statuses(self, prefix: str = "") -> Counter[str]:
        """How many invoices have which status."""
        query = "SELECT status, count(*) AS n FROM invoice WHERE order_id LIKE :like GROUP BY status"
        return Counter({row["status"]: row["n"] for row in self.rows(query, like=f"{prefix}%")})

    def events(self) -> list[dict[str, Any]]:
        """The log, in its order, each with its row's columns and the decoded `envelope`."""
        rows = self.rows("SELECT number, id, invoice_id, sequence, type, body, created_at FROM event ORDER BY number")
        return [row | {"envelope": json.loads(bytes(row["body"]))} for row in rows]

    def stream(self) -> list[dict[str, Any]]:
        """The stream's entries, decoded."""
        return [json.loads(fields[b"event"]) for _, fields in self.redis.xrange("invoices:events")]

    def received(self) -> dict[str, Any]:
        """The receiver's counts."""
        found: dict[str, Any] = self.ask(self.sandbox.receiver_url(RECEIVER))
        return found

    def calls(self, prefix: str = "", operation: str = "create") -> list[dict[str, Any]]:
        """The calls the sandbox has seen for orders whose id begins so."""
        found: list[dict[str, Any]] = self.control(f"calls?operation={operation}")["calls"]
        return [call for call in found if str(call["order_id"]).startswith(prefix)]

    def creates(self, prefix: str = "") -> Counter[str]:
        """How many creates the sandbox has seen for each order."""
        return Counter(_bare(call["order_id"]) for call in self.calls(prefix))

    def control(self, path: str, body: Mapping[str, Any] | None = None, method: str | None = None) -> Any:
        """The sandbox's control address."""
        return self.ask(f"{self.sandbox.control_url}/{path}", body, method)

    def ask(self, url: str, body: Mapping[str, Any] | None = None, method: str | None = None) -> Any:
        """One exchange of JSON with the sandbox; its numbers keep their digits."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null", parse_float=Decimal)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{url}: {error.code} {error.read().decode()}") from None

    def logs(self) -> str:
        """What every log ends with."""
        parts = []
        for path in sorted((self.home / "logs").glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-TAIL_LINES:]
            parts += [f"--- {path.stem}", *(line[:600] for line in lines)]
        return "\n".join(parts)

    def log(self, name: str) -> str:
        """A process's whole log."""
        return self._log_file(name).read_text(errors="replace")

    def new_log(self, name: str) -> str:
        """What a process has written since it was last started."""
        return self._log_file(name).read_bytes()[self._log_starts[name] :].decode(errors="replace")

    def errors(self) -> list[str]:
        """Lines of any process's log that speak of an error or a bug, their beginnings."""
        return [line[:600] for line in self.log_lines() if '"level": "error"' in line or "Traceback" in line]

    def log_lines(self) -> list[str]:
        """All processes' logs."""
        paths = (self.home / "logs").glob("*.log")
        return [line for path in paths for line in path.read_text(errors="replace").splitlines()]

    def _log_file(self, name: str) -> Path:
        folder = self.home / "logs"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.log"


def _bare(order_id: str) -> str:
    """An order's id without the sandbox's markers."""
    return order_id.partition("~")[0]
