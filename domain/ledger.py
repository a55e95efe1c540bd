"""The payments of one invoice. In which order sightings come, and how often, makes no difference.

A row keeps the furthest status, the highest total, and the first and last time of all sightings with its key.

Providers tell totals: what was paid so far under one reference. ``Ledger.reckon`` turns them into amounts that may be
summed, and folds rows (``folded``) whose payment another row tells of more exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from domain.booking import book, hand_over
from domain.callbacks import CLAIMS
from domain.evidence import Evidence, Marked, Seen
from domain.money import less
from domain.money import total as sum_of
from domain.payments import Kind, Payment, Sighting, Source, reference_key
from domain.status import Status

_RANK = {Status.PARTIALLY_PAID: 0, Status.CONFIRMING: 1, Status.PAID: 2, Status.REFUNDED: 3}
_STRENGTH: dict[Source, int] = {"mark": 0, "callback": 1, "look-up": 2}


@dataclass(slots=True)
class Ledger:
    """The payments of one invoice. ``touched``: the keys of rows that differ from what is stored."""

    rows: dict[tuple[Kind, str], Payment] = field(default_factory=dict)
    touched: set[tuple[Kind, str]] = field(default_factory=set)

    @classmethod
    def of(cls, rows: Iterable[Payment]) -> Ledger:
        return cls({(row.kind, row.key): row for row in rows})

    def see(self, sighting: Sighting) -> Payment:
        """Take in a sighting. Returns the row that it is about."""
        row = self.rows.get((sighting.kind, sighting.key))
        if row is None:
            row = self._add(sighting)
        row.status = max(row.status, sighting.status, key=_RANK.__getitem__)
        row.source = max(row.source, sighting.source, key=_STRENGTH.__getitem__)
        row.total = max((one for one in (row.total, sighting.total) if one is not None), default=None)
        row.asset = _one_of(row.asset, sighting.asset)
        row.network = _one_of(row.network, sighting.network)
        row.tx_hash = _one_of(row.tx_hash, sighting.tx_hash)
        row.reference = _one_of(row.reference, sighting.reference)
        row.first_seen_at = min(row.first_seen_at, sighting.at)
        row.last_seen_at = max(row.last_seen_at, sighting.at)
        self.touched.add((row.kind, row.key))
        return row

    def _add(self, sighting: Sighting) -> Payment:
        row = Payment(
            kind=sighting.kind,
            key=sighting.key,
            source=sighting.source,
            status=sighting.status,
            first_seen_at=sighting.at,
            last_seen_at=sighting.at,
        )
        known = self.rows.get((row.kind, reference_key(sighting.reference)))
        if sighting.tx_hash is not None and known is not None and not known.folded:
            # A payment keeps its id when its transaction becomes known.
            row.id, known.id = known.id, None
            hand_over(known, row)
            self.touched.add((known.kind, known.key))
        self.rows[row.kind, row.key] = row
        return row

    def became(
        self, rows: Sequence[Payment], status: Status, event: str, sequence: int, evidence: Evidence, at: datetime
    ) -> None:
        """The invoice has become ``status`` by the payments that the evidence told of (``rows``).

        Without any it became so by a callback that now counts alone: the unsettled payments are settled. A mark settles
        those as well.
        """
        by: Source = "look-up" if rows and isinstance(evidence, Seen) else "callback"
        if isinstance(evidence, Marked):
            by = "mark"
        kind = "refund" if status is Status.REFUNDED else "payment"
        settled = [row for row in rows if row.kind == kind]
        if status in CLAIMS and (not rows or by == "mark"):
            settled += [row for row in self._unsettled(status) if row not in settled]
        for row in settled:
            row.settled_status, row.settled_event, row.settled_sequence = status.value, event, sequence
            row.settled_by, row.settled_at = by, at
            self.touched.add((row.kind, row.key))

    def _unsettled(self, status: Status) -> list[Payment]:
        """Payments that have not led to a status yet: those with this status, or if there are none, all."""
        found = [row for row in self.rows.values() if row.kind == "payment" and row.settled_event is None]
        return [row for row in found if row.status == status] or found

    def reckon(self, asked: Decimal | None) -> None:
        """Compute the amounts, and which rows are folded. ``asked``: the invoice's amount."""
        before = {key: (row.amount, row.amount_told, row.folded) for key, row in self.rows.items()}
        payments = [row for row in self.rows.values() if row.kind == "payment"]
        told = [row for row in payments if row.is_provider_word]
        groups = defaultdict(list)
        for row in told:
            groups[row.reference].append(row)
        for reference, group in groups.items():
            _reckon_group(group, asked, is_named_elsewhere=reference is None and len(groups) > 1)
        _reckon_marks([row for row in payments if not row.is_provider_word], told, asked)
        _reckon_refunds([row for row in self.rows.values() if row.kind == "refund"], payments)
        for row in self.rows.values():
            self._hand_on(row)
        for key, row in self.rows.items():
            if before[key] != (row.amount, row.amount_told, row.folded):
                self.touched.add(key)

    def book(self, now: datetime) -> None:
        """Write into the books what has come to count, and what differs from what they say."""
        for row in list(self.rows.values()):
            correction = book(row, self.rows.values(), now)
            if correction is not None:
                self.rows[correction.kind, correction.key] = correction
                self.touched |= {(correction.kind, correction.key), (row.kind, row.key)}
            elif row.booked_at == now:
                self.touched.add((row.kind, row.key))

    def _hand_on(self, folded: Payment) -> None:
        """What the invoice became by a folded row, it became by the row that stands for it."""
        better = stands_for(folded, self.rows.values())
        if better and (folded.settled_sequence or 0) > (better[-1].settled_sequence or 0):
            for name in ("settled_status", "settled_sequence", "settled_event", "settled_by", "settled_at"):
                setattr(better[-1], name, getattr(folded, name))
            self.touched.add((better[-1].kind, better[-1].key))


def _reckon_group(group: Sequence[Payment], asked: Decimal | None, *, is_named_elsewhere: bool) -> None:
    """Payments under one reference. A row without a transaction tells of all of them together."""
    named = sorted(
        (row for row in group if row.tx_hash is not None),
        key=lambda row: (row.total is None, row.total or 0, row.status == Status.PAID, row.key),
    )
    whole = next((row for row in group if row.tx_hash is None), None)
    totals = [row.total for row in group if row.total is not None]
    is_paid = any(row.status == Status.PAID for row in group)
    end = max(totals, default=None)
    is_told = int(end is not None)
    if end is None and is_paid:
        end = asked
    so_far = Decimal(0)
    for row in named:
        last = row is named[-1]
        total = end if last and (row.total is None or row.status == Status.PAID) else row.total
        row.folded, row.amount_told = 0, is_told
        row.amount = None if total is None else max(less(total, so_far), Decimal(0))
        so_far = so_far if total is None else max(so_far, total)
    if whole is not None:
        rest = None if end is None else max(less(end, so_far), Decimal(0))
        whole.folded = int((bool(named) and not rest) or (is_named_elsewhere and not named))
        whole.amount, whole.amount_told = None if whole.folded else rest, is_told


def _reckon_marks(marks: Sequence[Payment], told: Sequence[Payment], asked: Decimal | None) -> None:
    """A mark counts for the part of the amount that no provider tells of."""
    known = sum_of(row.amount for row in told if not row.folded)
    is_paid = any(row.status == Status.PAID for row in told)
    for row in marks:
        total = row.total if row.total is not None else asked
        rest = None if total is None else max(less(total, known), Decimal(0))
        row.folded = int(bool(told) and (rest == 0 or (is_paid and row.total is None)))
        row.amount, row.amount_told = None if row.folded else rest, int(row.total is not None)


def _reckon_refunds(refunds: Sequence[Payment], payments: Sequence[Payment]) -> None:
    """A refund without an amount is of everything."""
    amounts = [row.amount for row in payments if not row.folded]
    paid = [amount for amount in amounts if amount is not None]
    everything = sum_of(paid) if paid and len(paid) == len(amounts) else None
    for row in refunds:
        better = [one for one in refunds if one is not row and _names_better(one, row)]
        row.folded, row.amount_told = int(bool(better)), int(row.total is not None)
        amount = row.total if row.total is not None else everything
        row.amount = None if row.folded else amount


def _names_better(one: Payment, other: Payment) -> bool:
    if not other.is_provider_word:
        return one.is_provider_word
    if other.tx_hash is not None:
        return False
    return one.tx_hash is not None or (other.reference is None and one.reference is not None)


def stands_for(folded: Payment, rows: Iterable[Payment]) -> list[Payment]:
    """The rows that tell more exactly of a folded row's payments. The one that has come furthest is last."""
    if not folded.folded:
        return []
    shown = [row for row in rows if row.kind == folded.kind and not row.folded]
    same = [row for row in shown if row.reference == folded.reference and row.is_provider_word]
    return sorted(same or shown, key=lambda row: (_RANK[row.status], row.total or 0, row.key))


def shown(rows: Sequence[Payment]) -> list[Payment]:
    """One row for each payment, in the order in which they were seen. A folded row's first sighting counts for the
    earliest of its payments, its last one for the payment that has come furthest."""
    rows = [row for row in rows if row.kind != "correction"]
    visible = {(row.kind, row.key): replace(row) for row in rows if not row.folded}
    for row in sorted(rows, key=lambda row: (row.kind, row.key)):
        better = [visible[one.kind, one.key] for one in stands_for(row, rows)]
        if better:
            earliest = min(better, key=lambda one: (one.first_seen_at, one.key))
            earliest.first_seen_at = min(earliest.first_seen_at, row.first_seen_at)
            better[-1].last_seen_at = max(better[-1].last_seen_at, row.last_seen_at)
    return sorted(visible.values(), key=lambda row: (row.first_seen_at, row.kind, row.key))


def _one_of(one: str | None, other: str | None) -> str | None:
    """One of two values, the same one whichever came first."""
    return min((text for text in (one, other) if text is not None), default=None)
