"""A proof of one invoice: a file with one record a line, each with the SHA-256 of the line before. Pure.

`deploy/proof/check_proof.py` reads it without a line of ours: what changes here has to change there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from domain.exact_json import write_json
from domain.money import format_amount, total
from domain.payments import Payment
from domain.visible import escape

#: Of the format. Another one makes the checker of this release refuse the file.
VERSION = 1

#: What the first record tells whoever opens the file.
READ_ME = (
    "This file tells one order and what became of it, as the database of `invoices` has it. Each line is a record.",
    "To check it: python3 check_proof.py THIS-FILE --hash TOP-HASH (Python 3 and nothing else).",
    "Each record has the SHA-256 of the line before it, the last line is the top hash. To whoever has kept that hash, "
    "no byte can be changed unnoticed.",
    "It does not prove that the database is right: who holds the database could have written something else into it. "
    "Compare it with what you have yourself: bodies of webhooks are here byte for byte.",
    "Secrets are masked as ***. All else is as it was sent, and may be personal data.",
    "What is known to be missing stands in the record `end`. Evidence and callbacks are removed after a time, "
    "deliveries with their endpoint; nothing tells how many there were.",
)


class Chain:
    """Writes the lines one after the other. ``top``: the hash of all so far."""

    def __init__(self) -> None:
        self.top: str | None = None
        self.records = 0

    def line(self, record: str, fields: Mapping[str, object], body: bytes | None = None) -> bytes:
        """A record's line. ``body``: JSON on one line that stands in it byte for byte, at the end."""
        self.records += 1
        head: dict[str, object] = {"n": self.records, "prior": self.top, "record": record}
        if clash := fields.keys() & {*head, "bytes", "sha256", "body"}:
            raise ValueError(f"the chain's own names: {', '.join(sorted(clash))}")
        head |= fields
        if body is not None:
            head |= {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        text = escape(write_json(head)).encode()
        if body is not None:
            text = b'%b,"body":%b}' % (text[:-1], body)
        self.top = hashlib.sha256(text).hexdigest()
        return text + b"\n"

    def seal(self) -> bytes:
        """The last line."""
        return escape(write_json({"top": self.top})).encode() + b"\n"


def told(body: bytes) -> dict[str, Any]:
    """A body as the checker reads it: numbers as their texts. Raises ValueError if it is not JSON on one line."""
    if b"\n" in body:
        raise ValueError("it has several lines")
    document: dict[str, Any] = json.loads(body, parse_float=str, parse_int=str, parse_constant=str)
    return document


def changed(now: Mapping[str, object], before: Mapping[str, object]) -> list[str]:
    """The names of what is not as the last event told it."""
    return [name for name, value in now.items() if name not in before or before[name] != value]


def sums(payments: Iterable[Payment], asset: str | None) -> list[dict[str, object]]:
    """What was paid and paid back, by kind and asset. ``asset``: the invoice's, where nobody told a payment's."""
    found: dict[tuple[str, str | None], list[Decimal | None]] = {}
    for one in payments:
        found.setdefault((one.kind, one.asset or asset), []).append(one.amount)
    ordered = sorted(found.items(), key=lambda pair: (pair[0][0], pair[0][1] or ""))
    return [{"kind": kind, "asset": name, "amount": format_amount(total(some))} for (kind, name), some in ordered]


def adds_up(paid: Decimal | None, summed: Iterable[Mapping[str, object]]) -> bool:
    """Whether the payments come to what the invoice says is paid; true where it says nothing."""
    return paid is None or paid == total(Decimal(str(one["amount"])) for one in summed if one["kind"] == "payment")
