"""Doubts and expiries, compared with what was injected and with the provider's own times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.acceptance.system import System

#: After a fault's end its doubts may come for this long: a lease (13 s), the wait for the next claim on a busy machine,
#: and a repeat that was answered too late because of it.
WINDOW_SECONDS = 75.0

DOUBTS = (
    "SELECT invoice.order_id, invoice.params, evidence.at, evidence.detail FROM evidence "
    "JOIN invoice ON invoice.id = evidence.invoice_id WHERE evidence.kind = 'InDoubt' ORDER BY evidence.id"
)
#: What an order asks the stand-in to do to its own answer.
OWN_FAULT = "~fault:"


@dataclass(frozen=True, slots=True)
class Causes:
    """When an answer to a create may have been lost by what was injected; epoch seconds, (begin, end)."""

    times: Sequence[tuple[float, float]]
    slack_seconds: float = 0.0  #: rows' times may be so much too early: the database's clock was set back

    def explain(self, at: float) -> bool:
        """Whether a doubt of that moment has one of them behind it."""
        slack = self.slack_seconds
        return any(begin - 1 - slack <= at <= end + WINDOW_SECONDS for begin, end in self.times)


def unexplained(system: System, causes: Causes) -> Iterator[str]:
    """Doubts that the system made itself."""
    for row in system.rows(DOUBTS):
        own = OWN_FAULT in row["order_id"] or OWN_FAULT in row["params"]
        if not own and not causes.explain(_epoch(row["at"])):
            yield f"{row['order_id']}: in doubt at {row['at']} without a fault that could be why: {row['detail'][:200]}"


def early(system: System, made: dict[tuple[str, str], dict[str, Any]], slack_seconds: float = 0.0) -> Iterator[str]:
    """Invoices that our clock expired before the provider's own time for them was over.

    Nebulox tells no expiry: there it is the order's lifetime from the moment at which the provider made the invoice.
    """
    rows = {row["id"]: row for row in system.invoices().values()}
    for told in system.events():
        row = rows.get(told["invoice_id"])
        if row is None or told["type"] != "invoice.expired":
            continue
        if "expires_at has passed" not in told["envelope"]["data"]["reason"]:
            continue
        there = made.get((row["provider"], str(row["provider_ref"])))
        if there is None:  # the auditor of what is bound says so
            continue
        ends = float(there["expires_at"])
        if row["provider"] == "nebulox":
            ends = float(there["created_at"]) + float(row["lifetime_minutes"]) * 60
        if (at := _epoch(told["created_at"]) + slack_seconds) < ends:
            yield f"{row['order_id']}: expired {ends - at:.3f} s before the provider's own time"


def _epoch(value: Any) -> float:
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
