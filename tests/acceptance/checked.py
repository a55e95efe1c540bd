"""What must always be true of a system."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from domain.against import CONTRADICTION
from domain.event import NAMED_ONLY
from tests.acceptance.facts import RECEIVER, Facts

ENDED = frozenset({"paid", "expired", "failed", "cancelled"})
#: Sequences begin anew above so many for each time that the database was put back (`invoices restored`).
EPOCH = 1_000_000


class Checked(Facts):
    """Asserts it of all invoices, events and webhooks there are."""

    def check_history(self) -> None:
        """The log has no gap and nothing twice; nothing expired before its time; stream and receiver were told it."""
        events, invoices = self.events(), {row["id"]: row for row in self.invoices().values()}
        by_invoice: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for told in events:
            by_invoice[told["invoice_id"]].append(told)
            assert told["envelope"]["id"] == told["id"]
            assert int(told["envelope"].get("sequence", 0)) == told["sequence"]
            if told["type"] == "invoice.expired" and "expires_at has passed" in told["envelope"]["data"]["reason"]:
                assert _time(told["created_at"]) >= _time(invoices[told["invoice_id"]]["expires_at"])
        for invoice_id, row in invoices.items():
            assert _is_whole([told["sequence"] for told in by_invoice[invoice_id]], row["sequence"]), row
            for told in by_invoice[invoice_id]:
                data = told["envelope"]["data"]
                assert told["type"] != CONTRADICTION or data["status"] == data["previous_status"], told
            ends = [told for told in by_invoice[invoice_id] if told["type"].removeprefix("invoice.") in ENDED]
            # Ended twice: a payment came late. One that was never confirmed leaves no anomaly on the row.
            late = [told for told in by_invoice[invoice_id] if told["envelope"]["data"]["anomaly"] == "late"]
            assert len(ends) <= 1 or late, ends

    def check_told(self) -> None:
        """The receiver and the stream have every event, each with its own id, in each invoice's order."""
        log = [told["id"] for told in self.events() if told["type"] not in NAMED_ONLY]
        received = self.ask(f"{self.sandbox.receiver_url(RECEIVER)}/events")
        envelopes = received["events"] if isinstance(received, dict) else received
        assert sorted(envelope["id"] for envelope in envelopes) == sorted(log)
        counts = self.received()
        assert (counts["invalid"], counts["gaps"], counts["out_of_order"]) == (0, 0, 0), counts
        seen: dict[str, int] = defaultdict(int)
        entries = [entry for entry in self.stream() if entry["type"] not in NAMED_ONLY]
        for entry in entries:
            assert int(entry["sequence"]) <= seen[entry["subject"]] + 1, entry
            seen[entry["subject"]] = max(seen[entry["subject"]], int(entry["sequence"]))
        assert {entry["id"] for entry in entries} == set(log)

    def lateness(self) -> list[float]:
        """Seconds from `expires_at` to the event, of each invoice the clock expired: to be reported."""
        expires = {row["id"]: _time(row["expires_at"]) for row in self.invoices().values() if row["expires_at"]}
        return sorted(
            (_time(told["created_at"]) - expires[told["invoice_id"]]).total_seconds()
            for told in self.events()
            if told["type"] == "invoice.expired"
        )


def follows(sequence: int, last: int) -> bool:
    """Whether an event may come right after one with the sequence ``last`` (0: none): the next number, or the first of
    a later epoch, as after `invoices restored`."""
    return sequence == last + 1 or (sequence > last and sequence > EPOCH and sequence % EPOCH == 1)


def _is_whole(sequences: list[int], last: int) -> bool:
    """Whether an invoice's events have no gap, and end where its row does."""
    before = [0, *sequences]
    return before[-1] == last and all(follows(each, earlier) for earlier, each in zip(before, sequences, strict=False))


def _time(value: Any) -> datetime:
    """A time as PostgreSQL gives it, or as SQLite keeps it; compared within one database only."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
