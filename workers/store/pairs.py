"""What a webhook's agenda row stands for: an endpoint and an invoice, whose events are sent one after the other."""

from __future__ import annotations

#: An endpoint's id and an invoice's; for an event of no invoice, its own id.
Pair = tuple[str, str]


def subject_of(pair: Pair) -> str:
    """The subject of the pair's agenda row."""
    endpoint_id, invoice_id = pair
    return f"{endpoint_id}/{invoice_id}"


def pair_of(subject: str) -> Pair:
    """The pair of such a row."""
    endpoint_id, _, invoice_id = subject.partition("/")
    return endpoint_id, invoice_id
