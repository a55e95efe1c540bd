"""An invoice with its payments, without a database: evidence is judged and its payments kept as the store does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from domain.decision import Decision, Stage
from domain.evidence import Evidence, Marked
from domain.ledger import Ledger, shown
from domain.payments import Payment, sightings
from domain.status import Status
from tests.invoice_world import World


@dataclass
class PayingWorld(World):
    """``World`` that also keeps the ledger."""

    ledger: Ledger = field(default_factory=Ledger)
    numbers: int = 0

    def take(self, evidence: Evidence, held: Stage | None = None, jitter: float = 0.0) -> Decision:
        """Judge, apply, and keep what it tells of payments."""
        decision = super().take(evidence, held, jitter)
        rows = [self.ledger.see(one) for one in sightings(self.invoice, evidence, decision, self.now)]
        became = Status(self.invoice.status)
        if decision.event and decision.verdict == "applied":
            self.ledger.became(rows, became, self._event(), self.invoice.sequence, evidence, self.now)
        self.ledger.reckon(self.invoice.pay_amount)
        self.ledger.book(self.now)
        for one in self.ledger.rows.values():  # as the database numbers them
            if one.id is None:
                self.numbers += 1
                one.id = self.numbers
        return decision

    def _event(self) -> str:
        return f"evt_{self.invoice.sequence}"

    @property
    def payments(self) -> list[Payment]:
        """As they are shown."""
        return shown(list(self.ledger.rows.values()))


def row(payment: Payment, *names: str) -> tuple[Any, ...]:
    """Some fields of a payment."""
    return tuple(getattr(payment, name) for name in names)


def mark(status: Status, **fields: Any) -> Marked:
    return Marked(status=status, by="ada", reason="the bank says so", **fields)
