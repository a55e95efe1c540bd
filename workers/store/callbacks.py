"""Providers' callbacks: kept as they came, matched with the invoices they are about, judged like any other evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, select, update

from domain.asking import Known, can_be_asked, references_of, twins_of
from domain.decision import Policy, Stage
from domain.echo import ids_meant_by, numbers_made_of
from domain.evidence import CalledBack
from domain.exact_json import write_json
from domain.status import FINAL
from workers.store import callback_sql as sql
from workers.store.agenda import Claim
from workers.store.bulk import SHORT_WAIT, execute_keyed, execute_numbered, insert_into, insert_rows, locking
from workers.store.database import Database
from workers.store.judging import Judgement
from workers.store.rows import Candidate, StoredRow
from workers.store.storable import storable
from workers.store.tables import AGENDA, CALLBACK, INVOICE

NEW, MATCHED, UNMATCHED, DISMISSED = "new", "matched", "unmatched", "dismissed"
#: Invoices of one order that a callback may be about; older ones are not looked at.
MOST_CANDIDATES = 50
#: A callback that came up to this long before its order was taken counts like any other: after a failover that lost
#: commits, orders are taken again. One that came earlier may be about an earlier order with the same id.
SHORTLY = timedelta(hours=1)

#: Reads a kept callback (account, body) as evidence. None: its account is not configured any more, or it can't be read.
Read = Callable[[str, bytes], CalledBack | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCallback:
    """A callback whose signature was right. ``digest``: of its body, to recognise a repeat."""

    account: str
    digest: str
    body: bytes
    headers: str  #: JSON text
    order_id: str | None
    reference: str | None
    word: str | None
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class Match:
    """A claimed callback, and its evidence for each invoice it is about. ``reason``: why it is about none."""

    claim: Claim
    callback_id: int
    judgements: Sequence[Judgement]
    reason: str | None = None


def keep(connection: Connection, database: Database, callbacks: Sequence[NewCallback]) -> list[bool]:
    """Keep callbacks and put each on the agenda; False for one that is kept already.

    One statement on PostgreSQL: a provider waits for our answer.
    """
    if database.is_postgresql:
        found = connection.execute(sql.KEEP_POSTGRESQL, sql.arrays_of([_row(one) for one in callbacks])).all()
    else:
        now = database.now(connection)
        rows = [_row(one) | {"at": now} for one in callbacks]
        found = insert_rows(connection, CALLBACK, rows, conflict="skip", returning=("id", "account", "digest"))
        insert_rows(connection, AGENDA, [_line(row.id, row.account, now) for row in found])
    new = {(row.account, row.digest) for row in found}
    return [_take(new, (one.account, one.digest)) for one in callbacks]


def free_claims(connection: Connection, claims: Sequence[Claim]) -> list[Claim]:
    """Those of these whose own rows nobody else has locked; this transaction locks them, and waits only shortly for
    other locks. One whose row is gone is free."""
    connection.execute(SHORT_WAIT)
    numbers, subjects = {int(claim.subject) for claim in claims}, [(claim.subject,) for claim in claims]
    held = {str(number) for number in execute_numbered(connection, sql.ids, numbers).scalars()}
    held -= {str(number) for number in execute_numbered(connection, locking(sql.locked_ids, "skip"), numbers).scalars()}
    lines = set(execute_keyed(connection, sql.lines, ("subject",), subjects).scalars())
    held |= lines - set(execute_keyed(connection, locking(sql.locked_lines, "skip"), ("subject",), subjects).scalars())
    return [claim for claim in claims if claim.subject not in held]


def match(
    connection: Connection, policy_of: Callable[[str], Policy], claims: Sequence[Claim], read: Read
) -> list[Match]:
    """What each claimed callback is about. Reads only; judging locks the invoices."""
    numbers = {int(claim.subject): claim for claim in claims}
    rows = execute_numbered(connection, sql.by_id, numbers).all()
    candidates = _candidates(connection, rows)
    owners = _owners(connection, rows)
    matches = [_match(numbers[row.id], row, candidates, owners, policy_of, read) for row in rows]
    gone = numbers.keys() - {row.id for row in rows}
    return matches + [Match(numbers[number], number, (), "it is gone") for number in sorted(gone)]


def settle(connection: Connection, matches: Sequence[Match]) -> None:
    """Write down what came of callbacks, and take them off the agenda where their lease is still ours."""
    for one in sorted(matches, key=lambda one: one.callback_id):
        ids = [judgement.invoice_id for judgement in one.judgements]
        state, invoice_id = (MATCHED, ids[0] if len(ids) == 1 else None) if ids else (UNMATCHED, None)
        values = {"state": state, "invoice_id": invoice_id, "reason": one.reason}
        connection.execute(
            update(CALLBACK).where(CALLBACK.c.id == one.callback_id, CALLBACK.c.state == NEW).values(values)
        )
        row = AGENDA.c.stage == Stage.CALLBACK.value, AGENDA.c.subject == one.claim.subject
        connection.execute(AGENDA.delete().where(*row, AGENDA.c.lease_token == one.claim.token))


def recall(connection: Connection, database: Database, orders: Sequence[tuple[str, str]]) -> bool:
    """Put callbacks that matched nothing on the agenda again: an invoice of their (account, order id) exists now."""
    asked = {(account, one) for account, order_id in orders for one in (order_id, *numbers_made_of(order_id))}
    if not asked:
        return False
    rows = execute_keyed(connection, sql.of_order_ids, ("account", "order_id"), sorted(asked)).all()
    found = [(row.id, row.account) for row in rows if row.state == UNMATCHED]
    return _again(connection, database, found, "an invoice of its order was made")


def unmatched(connection: Connection, limit: int) -> Sequence[StoredRow]:
    """Callbacks that no invoice is known for, newest first."""
    query = select(CALLBACK).where(CALLBACK.c.state == UNMATCHED).order_by(CALLBACK.c.id.desc())
    return connection.execute(query.limit(limit) if limit else query).all()


def link(connection: Connection, database: Database, callback_id: int, invoice_id: str, reason: str) -> str | None:
    """Have an unmatched callback judged for this invoice. Returns why that can't be; None: it will be."""
    row = connection.execute(select(CALLBACK).where(CALLBACK.c.id == callback_id).with_for_update()).one_or_none()
    if row is None or row.state != UNMATCHED:
        return f"there is no unmatched callback {callback_id}"
    invoice = connection.execute(select(INVOICE.c.provider_account).where(INVOICE.c.id == invoice_id)).one_or_none()
    if invoice is None:
        return f"there is no invoice {invoice_id}"
    if invoice.provider_account != row.account:
        return f"{invoice_id} was made by the account {invoice.provider_account}, the callback is for {row.account}"
    connection.execute(update(CALLBACK).where(CALLBACK.c.id == callback_id).values(invoice_id=invoice_id))
    _again(connection, database, [(row.id, row.account)], f"linked by hand: {reason}")
    return None


def dismiss(connection: Connection, callback_id: int, reason: str) -> bool:
    """An operator says that it is about nothing of ours. Returns whether there is such an unmatched one."""
    chosen = CALLBACK.c.id == callback_id, CALLBACK.c.state == UNMATCHED
    done = connection.execute(update(CALLBACK).where(*chosen).values(state=DISMISSED, reason=storable(reason)[:1000]))
    return bool(done.rowcount)


def newest_at(connection: Connection, account: str) -> datetime | None:
    """When the account's newest callback came; None: none is kept."""
    query = select(CALLBACK.c.at).where(CALLBACK.c.account == account).order_by(CALLBACK.c.id.desc()).limit(1)
    return connection.execute(query).scalar_one_or_none()


def _again(connection: Connection, database: Database, found: Sequence[tuple[int, str]], why: str) -> bool:
    if not found:
        return False
    now = database.now(connection)
    for number, account in sorted(found):
        values = {"state": NEW, "reason": storable(why)[:1000]}
        connection.execute(update(CALLBACK).where(CALLBACK.c.id == number).values(values))
        connection.execute(insert_into(connection, AGENDA).on_conflict_do_nothing(), [_line(number, account, now)])
    return True


def _match(
    claim: Claim,
    row: StoredRow,
    candidates: Mapping[tuple[str, str], Sequence[Candidate]],
    owners: Mapping[tuple[str, str], str],
    policy_of: Callable[[str], Policy],
    read: Read,
) -> Match:
    evidence = read(row.account, bytes(row.body))
    if evidence is None:
        return Match(claim, row.id, (), "its account is not configured, or it can't be read any more")
    evidence = dataclasses.replace(evidence, asked_at=row.at)
    if row.invoice_id is not None:  # linked by hand
        return Match(claim, row.id, [Judgement(row.invoice_id, evidence)], row.reason)
    found, policy = candidates.get((row.account, row.order_id or ""), ()), policy_of(row.account)
    named = _named(found, evidence.reference, policy)
    if named:
        return _rung(claim, row, [one.id for one in named], _only(evidence, len(named) == 1))
    owner = owners.get((row.account, row.reference or ""))
    if owner is not None:
        return _rung(claim, row, [owner], _only(evidence, not _rivals(found, [owner])))
    return _match_order(claim, row, found, evidence, policy)


def _match_order(
    claim: Claim, row: StoredRow, found: Sequence[Candidate], evidence: CalledBack, policy: Policy
) -> Match:
    """Where a callback names no invoice, only its order."""
    there = [one for one in found if one.created_at - SHORTLY <= row.at]
    fitting = _holders(found, evidence.reference) or _fitting(there or found)
    if not fitting:
        return Match(claim, row.id, (), "no invoice of this account has its order id")
    doubt = _doubt(row, fitting, there)
    if doubt and not _can_be_asked(fitting[0], evidence, policy):
        return Match(claim, row.id, (), f"{doubt}, and nobody can be asked about it")
    ids = [one.id for one in fitting]
    rivals = _rivals(found, ids)
    if _nobody_can_tell(fitting, rivals, evidence, policy):
        many = len(fitting) + len(rivals)
        return Match(claim, row.id, (), f"{many} invoices have its order id, and nobody can be asked which it is")
    return _rung(claim, row, ids, _only(evidence, doubt is None and len(fitting) == 1 and not rivals))


def _doubt(row: StoredRow, fitting: Sequence[Candidate], there: Sequence[Candidate]) -> str | None:
    """Why a look-up has to confirm that a callback is about these; None: it need not."""
    if not there:
        return "it came long before its order was taken"
    return None if fitting[0].order_id == row.order_id else f"it says {row.order_id} of the order {fitting[0].order_id}"


def _rung(claim: Claim, row: StoredRow, ids: Sequence[str], evidence: CalledBack) -> Match:
    return Match(claim, row.id, [Judgement(invoice_id, evidence) for invoice_id in ids])


def _named(found: Sequence[Candidate], reference: str | None, policy: Policy) -> list[Candidate]:
    """Those that a callback names by the provider's own id. A tracking code is none: callbacks brought that too."""
    if reference is None or policy.asked_by_reference:
        return []
    return [one for one in found if reference == one.provider_ref or reference in twins_of(one)]


def _holders(found: Sequence[Candidate], reference: str | None) -> list[Candidate]:
    """Those that an earlier callback gave the same reference, closed ones too: a repeat is about no other."""
    return [] if reference is None else [one for one in found if reference in references_of(one)]


def _rivals(found: Sequence[Candidate], ids: Sequence[str]) -> list[Candidate]:
    """The order's other invoices that the provider has or may have: a payment to one of those, even a closed one, is
    called back with the same order id."""
    return [one for one in found if one.id not in ids and (one.provider_ref is not None or one.doubts > 0)]


def _nobody_can_tell(
    fitting: Sequence[Candidate], rivals: Sequence[Candidate], evidence: CalledBack, policy: Policy
) -> bool:
    """Several invoices may be meant, and look-ups can't tell. A closed one need not be told apart: nothing is
    decided."""
    waiting = [one for one in fitting if one.status not in FINAL]
    several = len(fitting) > 1 or (bool(waiting) and bool(rivals))
    return several and not all(_can_be_asked(one, evidence, policy) for one in fitting)


def _can_be_asked(invoice: Candidate, evidence: CalledBack, policy: Policy) -> bool:
    """Whether a look-up can tell if it is this invoice, also by what the callback brings."""
    brought = None if evidence.reference is None else write_json([evidence.reference])
    return can_be_asked(Known(invoice.provider_ref, brought or invoice.asked_by), policy)


def _only(evidence: CalledBack, only: bool) -> CalledBack:
    return evidence if evidence.only is only else dataclasses.replace(evidence, only=only)


def _fitting(found: Sequence[Candidate]) -> list[Candidate]:
    """Those that wait for a payment. Where none does, the newest: the callback is no news to it, or a contradiction."""
    waiting = [one for one in found if one.status not in FINAL]
    return waiting or list(found[:1])


def _candidates(connection: Connection, rows: Sequence[StoredRow]) -> dict[tuple[str, str], list[Candidate]]:
    """Invoices by a callback's (account, order id), newest first. A provider that takes order ids for numbers says 12
    for "0012": such ids are looked for where no invoice has the very id."""
    said = {(row.account, row.order_id) for row in rows if row.order_id is not None}
    found = _invoices_of(connection, said)
    meant = {
        (account, one): (account, order_id)
        for account, order_id in said - found.keys()
        for one in ids_meant_by(order_id)
    }
    for key, invoices in _invoices_of(connection, meant.keys()).items():
        found.setdefault(meant[key], []).extend(invoices)
    return {key: sorted(some, key=lambda one: one.id, reverse=True) for key, some in found.items()}


def _invoices_of(connection: Connection, orders: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[Candidate]]:
    found: dict[tuple[str, str], list[Candidate]] = {}
    if orders:
        for one in execute_keyed(connection, sql.of_orders, ("provider_account", "order_id"), sorted(orders)).all():
            some = found.setdefault((one.provider_account, one.order_id), [])
            if len(some) < MOST_CANDIDATES:
                some.append(one)
    return found


def _owners(connection: Connection, rows: Sequence[StoredRow]) -> dict[tuple[str, str], str]:
    """The invoice that the first callback with the same reference was matched with."""
    keys = sorted({(row.account, row.reference) for row in rows if row.reference is not None})
    if not keys:
        return {}
    found = execute_keyed(connection, sql.of_references, ("account", "reference"), keys).all()
    owners: dict[tuple[str, str], str] = {}
    for one in found:
        if one.state == MATCHED and one.invoice_id is not None:
            owners.setdefault((one.account, one.reference), one.invoice_id)
    return owners


def _take(new: set[tuple[str, str]], key: tuple[str, str]) -> bool:
    """Whether it was among them; from now on it is not."""
    is_new = key in new
    new.discard(key)
    return is_new


def _row(one: NewCallback) -> dict[str, object]:
    return {
        "account": one.account,
        "digest": one.digest,
        "body": one.body,
        "headers": storable(one.headers),
        "order_id": None if one.order_id is None else storable(one.order_id)[:255],
        "reference": None if one.reference is None else storable(one.reference)[:255],
        "word": None if one.word is None else storable(one.word)[:64],
        "amount": one.amount,
        "state": NEW,
    }


def _line(number: int, account: str, now: datetime) -> dict[str, object]:
    line = {"stage": Stage.CALLBACK.value, "subject": str(number), "lane": account, "due_at": now}
    return line | {"claims": 0, "pokes": 0}
