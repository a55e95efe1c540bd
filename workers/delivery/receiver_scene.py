"""The made-up invoices of a receiver check, and their events, signed with the endpoint's secret."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from types import SimpleNamespace

from domain.event import RESTORED, envelope, format_time, new_id, notice
from workers.delivery.attempt import Outgoing
from workers.delivery.webhook import signed_headers

ACCOUNT = "receiver-check"
#: The made-up invoices' statuses, by sequence. None is ever paid: a shop that believes them hands out nothing.
STATUSES = ("queued", "pending", "partially_paid", "confirming", "pending", "expired")


@dataclass(frozen=True)
class Scene:
    """The made-up invoices of one run, a letter each. Each letter and sequence is one event, byte for byte."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    clock: Callable[[], float] = time.time
    run: str = field(default_factory=lambda: new_id("run")[-12:])

    @cached_property
    def started(self) -> int:
        """Epoch seconds."""
        return int(self.clock())

    @cached_property
    def _events(self) -> dict[tuple[str, int], Outgoing]:
        return {}

    @cached_property
    def _invoice_ids(self) -> dict[str, str]:
        return {}

    def invoice_id(self, letter: str) -> str:
        return self._invoice_ids.setdefault(letter, new_id("inv"))

    def event(self, letter: str, sequence: int = 1, *, kind: str | None = None, metadata: str = "{}") -> Outgoing:
        """The event, made when it is first asked for. ``metadata``: JSON text, sent as it is."""
        if (letter, sequence) not in self._events:
            event_id = new_id("evt")
            moment = datetime.fromtimestamp(self.started, UTC) + timedelta(milliseconds=sequence - ord(letter))
            body = envelope(
                self._invoice(letter, sequence, metadata, moment),
                event_id=event_id,
                event_type=kind or f"invoice.{STATUSES[sequence]}",
                previous_status=STATUSES[sequence - 1],
                time=moment,
            )
            self._events[letter, sequence] = self.outgoing(event_id, body)
        return self._events[letter, sequence]

    @cached_property
    def restored(self) -> Outgoing:
        """An event without an invoice: it has neither subject nor sequence."""
        event_id = new_id("evt")
        moment = datetime.fromtimestamp(self.started, UTC)
        data = {"epoch": 0, "at": format_time(moment), "known_until": None, "advice": "a check: nothing was restored"}
        return self.outgoing(event_id, notice(event_id, RESTORED, moment, data))

    def outgoing(self, event_id: str, body: bytes, secrets: tuple[str, ...] | None = None) -> Outgoing:
        return Outgoing(self.url, secrets or (self.secret,), event_id, body)

    def headers(self, event: Outgoing, shift_seconds: int = 0) -> dict[str, str]:
        """Correctly signed headers, with a time that many seconds after now (negative: before)."""
        return signed_headers(event, int(self.clock()) + shift_seconds)

    def _invoice(self, letter: str, sequence: int, metadata: str, moment: datetime) -> SimpleNamespace:
        return SimpleNamespace(
            id=self.invoice_id(letter),
            account=ACCOUNT,
            provider_account=ACCOUNT,
            provider=ACCOUNT,
            order_id=f"{ACCOUNT}-{self.run}{letter}",
            idempotency_key=f"{ACCOUNT}-{self.run}{letter}",
            status=STATUSES[sequence],
            anomaly=None,
            reason=None,
            sequence=sequence,
            price=Decimal("100.10"),
            currency="EUR",
            pay_amount=Decimal("0.0358619204"),
            pay_currency="BTC",
            paid_amount=Decimal("0.01") if sequence > 1 else None,
            network="Bitcoin",
            address="receiver-check-no-address",
            payment_url=None,
            qr_code=None,
            provider_ref=None,
            lifetime_minutes=Decimal(60),
            metadata_json=metadata,
            trace=None,
            created_at=moment,
            updated_at=moment,
            expires_at=moment + timedelta(minutes=60),
        )
