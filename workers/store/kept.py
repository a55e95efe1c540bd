"""Answers of providers whose commit is held up: kept where no lock is waited for, while their leases are renewed.

An outsider may keep an invoice's row locked for longer than a lease lasts. Without this only one process would know the
answer, and whoever takes the row over would count the call as lost and make it again.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, Executable, bindparam, delete, select, tuple_, update

from domain import evidence as kinds
from domain.decision import Stage
from domain.evidence import Created, Evidence, Seen
from domain.exact_json import read_json, write_json
from domain.looks import account_of
from domain.status import Status
from workers.store.agenda import Claim, Lost, claim_invoices
from workers.store.bulk import execute_keyed, insert_rows, keyed
from workers.store.database import Database
from workers.store.rows import StoredRow
from workers.store.storable import storable
from workers.store.tables import AGENDA, KEPT
from workers.store.tables.columns import UtcTime

RAW_CHARACTERS = 16_384
_KEY = ("invoice_id", "token")
#: ``raw`` has a column of its own. Without ``instead``, a find that is another order's leads to one more search.
_NOT_KEPT = frozenset({"raw", "instead", "told", "news"})


class KeptAnswer(NamedTuple):
    """An answer, and the token of the lease that its call was made under."""

    token: str
    evidence: Evidence


def keep(connection: Connection, answers: Sequence[tuple[Claim, Evidence]], now: datetime) -> None:
    """Write down what calls have brought; what is there already stays as it is."""
    rows = [
        {"invoice_id": claim.subject, "token": claim.token, "kind": type(evidence).__name__, "kept_at": now}
        | {"detail": _write(evidence), "raw": storable(evidence.raw[:RAW_CHARACTERS]) if evidence.raw else None}
        for claim, evidence in answers
    ]
    insert_rows(connection, KEPT, rows, conflict="skip")


def forget(connection: Connection, keys: Sequence[tuple[str, str]]) -> None:
    """Remove answers that are judged, by invoice and token."""
    if keys:
        execute_keyed(connection, _removal, _KEY, sorted(keys))


def find_kept(connection: Connection, lost_tokens: Mapping[str, str | None]) -> dict[str, KeptAnswer]:
    """What is kept for these invoices, given each with the token of its lost lease. Returned by id.

    A made invoice counts whichever lease it was made under; any other answer only for the call of the lost lease.
    """
    if not lost_tokens:
        return {}
    found: dict[str, KeptAnswer] = {}
    for row in execute_keyed(connection, _answers, ("invoice_id",), [(key,) for key in sorted(lost_tokens)]).all():
        evidence = _read(row)
        made = isinstance(evidence, Created)
        if evidence is not None and (
            made or (row.token == lost_tokens[row.invoice_id] and row.invoice_id not in found)
        ):
            found[row.invoice_id] = KeptAnswer(row.token, evidence)
    return found


def renew(connection: Connection, claims: Sequence[Claim], now: datetime, seconds: float) -> None:
    """Let leases last at least this long from now. A locked row is left out: nobody can claim it."""
    keys = sorted((claim.stage.value, claim.subject, claim.token) for claim in claims)
    if keys:
        names, until = ("stage", "subject", "lease_token"), now + timedelta(seconds=seconds)
        execute_keyed(connection, _renewal, names, keys, until=until)


@functools.cache
def _removal(dialect: str) -> Executable:
    return delete(KEPT).where(keyed(dialect, KEPT.c.invoice_id, KEPT.c.token))


@functools.cache
def _answers(dialect: str) -> Executable:
    return select(KEPT).where(keyed(dialect, KEPT.c.invoice_id)).order_by(KEPT.c.kept_at)


@functools.cache
def _renewal(dialect: str) -> Executable:
    until = bindparam("until", type_=UtcTime)
    held = keyed(dialect, AGENDA.c.stage, AGENDA.c.subject, AGENDA.c.lease_token)
    rows = select(AGENDA.c.stage, AGENDA.c.subject).where(held, AGENDA.c.due_at < until)
    rows = rows.with_for_update(skip_locked=True)
    return update(AGENDA).where(tuple_(AGENDA.c.stage, AGENDA.c.subject).in_(rows)).values(due_at=until)


# ---------------------------------------------------------------- evidence as text


def _write(evidence: Evidence) -> str:
    """Leaves out fields at their defaults, so that a release without such a field can still read the rest."""
    return write_json(_fields(evidence))


def _fields(evidence: Evidence) -> dict[str, object]:
    told = [field for field in dataclasses.fields(evidence) if field.name not in _NOT_KEPT]
    said = [field for field in told if getattr(evidence, field.name) != field.default]
    return {field.name: _plain(getattr(evidence, field.name)) for field in said}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_fields(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)  # as text: a number without a point would be read as an int
    return storable(value) if isinstance(value, str) else value


def _read(row: StoredRow) -> Evidence | None:
    """None for what another release wrote and this one can't read."""
    kind = getattr(kinds, row.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, Evidence) and dataclasses.is_dataclass(kind)):
        return None
    try:
        return _build(kind, read_json(row.detail), row.raw)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None


def _build(kind: type[Evidence], given: Mapping[str, object], raw: str | None = None) -> Evidence:
    """Raises KeyError for a field that this release does not have."""
    known = _types(kind.__name__)
    return kind(**{name: _typed(known[name], value) for name, value in given.items()}, raw=raw)


@functools.cache
def _types(kind: str) -> dict[str, tuple[object, ...]]:
    """The types that each field of a kind of evidence may have."""
    hints = typing.get_type_hints(getattr(kinds, kind))
    return {
        name: typing.get_args(hint) if typing.get_origin(hint) in {typing.Union, types.UnionType} else (hint,)
        for name, hint in hints.items()
    }


def _typed(allowed: tuple[object, ...], value: Any) -> Any:
    if value is None:
        return None
    if any(typing.get_origin(one) is tuple for one in allowed):
        return tuple(_build(Seen, one) for one in value)
    if datetime in allowed:
        return datetime.fromisoformat(value)
    if Decimal in allowed:
        return Decimal(value)
    if float in allowed:
        return float(value)
    words = [one for one in allowed if isinstance(one, type) and issubclass(one, enum.Enum)]
    return words[0](value) if words else value


def claim_creates(
    connection: Connection, database: Database, lanes: Sequence[str], limit: int, lease_seconds: float, lost: Lost
) -> list[tuple[Claim, StoredRow | None, KeptAnswer | None]]:
    """Lease due creates of an account, each with its invoice and the answer of an earlier call that could not be
    committed. Stops after a row whose holder was lost: that one may have to be claimed alone."""
    claimed: list[tuple[Claim, StoredRow | None]] = []
    for lane in lanes:
        room = limit - len(claimed)
        found = claim_invoices(connection, database, Stage.CREATE, lane, room, lease_seconds, lost)
        account = account_of(lane)
        claimed += found if account == lane else [(claim._replace(lane=account), invoice) for claim, invoice in found]
        if len(claimed) >= limit or any(claim.lost for claim, _ in claimed):
            break
    again = {
        claim.subject: claim.lost_token
        for claim, invoice in claimed
        if claim.lost or (invoice is not None and invoice.status == Status.IN_DOUBT)
    }
    answers = find_kept(connection, again)
    return [(claim, invoice, answers.get(claim.subject)) for claim, invoice in claimed]
