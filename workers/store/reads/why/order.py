"""The facts of one order, each by an index."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from domain.account import Account
from domain.decision import Stage
from domain.event import format_time
from domain.exact_json import read_json
from domain.status import Status
from domain.why.causes import waits_for_callback
from domain.why.facts import Against, Facts, Planned, Queue, Untold
from workers.store.callbacks import newest_at
from workers.store.database import Database
from workers.store.pairs import subject_of
from workers.store.reads.callbacks import paid_elsewhere
from workers.store.reads.contradictions import AGAINST, settled
from workers.store.reads.drift import drifts_of, sentence_of
from workers.store.reads.processes import read_crew
from workers.store.reads.put_off import read_resting
from workers.store.reads.record import STAGES
from workers.store.reads.stream import read_untold
from workers.store.reads.why.held_up import read_said
from workers.store.reads.why.rejected import find_rejected
from workers.store.reads.why.webhooks import Breakers, read_webhooks
from workers.store.rows import StoredRow
from workers.store.tables import AGENDA, CALLBACK, EVENT, EVIDENCE, INVOICE

#: How many calls of an account, and orders ahead of one, are counted.
COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Around:
    """What is known besides the rows: the configured accounts, where a provider's callbacks go (in words), and the
    state of breakers, if Redis tells. ``sees``: the endpoints that may be mentioned; None: all."""

    accounts: Mapping[str, Account]
    callback_place: Callable[[str], str | None]
    breakers: Breakers
    sees: Collection[str] | None = None


def read_facts_of_name(connection: Connection, database: Database, name: str, account: str | None = None) -> Facts:
    """The facts of a name that no invoice has."""
    now = database.now(connection)
    newest = select(INVOICE.c.account, INVOICE.c.created_at).order_by(INVOICE.c.id.desc()).limit(1)
    if account is not None:
        newest = newest.where(INVOICE.c.account == account)
    last = connection.execute(newest).one_or_none()
    return Facts(
        name=name,
        now=now,
        crew=read_crew(connection, now),
        rejected=find_rejected(connection, name, account),
        last_order=None if last is None else (last.account, last.created_at),
    )


def read_facts(connection: Connection, database: Database, invoice_id: str, around: Around) -> Facts | None:
    """The facts of an invoice; None: there is no such invoice."""
    invoice = connection.execute(select(INVOICE).where(INVOICE.c.id == invoice_id)).one_or_none()
    if invoice is None:
        return None
    now = database.now(connection)
    account = invoice.provider_account
    webhooks = read_webhooks(connection, invoice_id, around.breakers, around.sees)
    agenda = _agenda(connection, invoice_id, sorted(one.endpoint for one in webhooks if not one.dead))
    create = next((row for row in agenda if row.stage is Stage.CREATE), None)
    return Facts(
        name=invoice_id,
        now=now,
        crew=read_crew(connection, now),
        invoice=invoice,
        account=around.accounts.get(account),
        agenda=agenda,
        said=read_said(connection, invoice_id),
        against=_against(connection, invoice_id),
        untold=_untold(connection, invoice_id, now),
        webhooks=webhooks,
        rests_until=read_resting(connection, now).get(account),
        queue=_queue(connection, create, now) if create and invoice.status == Status.QUEUED else Queue(0, 0),
        confirmations=_confirmations(connection, invoice) if invoice.status == Status.CONFIRMING else None,
        callback_place=around.callback_place(account),
        called_at=(called_at := newest_at(connection, account)),
        is_paid_elsewhere=around.sees is None and _is_paid_elsewhere(connection, invoice, agenda, called_at),
        drift=[f"{sentence_of(row)}, since {format_time(row.since)}" for row in drifts_of(connection, invoice_id)],
    )


def _is_paid_elsewhere(
    connection: Connection, invoice: StoredRow, agenda: Sequence[Planned], called_at: datetime | None
) -> bool:
    """Asked only where the invoice waits for its account's first callback since it was made."""
    waits = waits_for_callback(invoice, {row.stage.value for row in agenda})
    if not waits or (called_at is not None and called_at >= invoice.created_at):
        return False
    return bool(paid_elsewhere(connection, invoice.provider_account, invoice.created_at, 1))


def _agenda(connection: Connection, invoice_id: str, endpoints: Sequence[str]) -> Sequence[Planned]:
    """What is planned for the invoice, and for the endpoints that its events are sent to."""
    subjects = [subject_of((endpoint, invoice_id)) for endpoint in endpoints]
    own = AGENDA.c.stage.in_(STAGES), AGENDA.c.subject == invoice_id
    webhooks = AGENDA.c.stage == Stage.DELIVER.value, AGENDA.c.subject.in_(subjects)
    rows = list(connection.execute(select(AGENDA).where(*own)))
    if subjects:
        rows += connection.execute(select(AGENDA).where(*webhooks).order_by(AGENDA.c.subject))
    return [_planned(row) for row in rows]


def _planned(row: StoredRow) -> Planned:
    return Planned(Stage(row.stage), row.due_at, row.lease_token is not None, row.claims, row.lane)


def _against(connection: Connection, invoice_id: str) -> Against | None:
    """The first contradiction that nobody has settled."""
    against = EVIDENCE.c.invoice_id == invoice_id, EVIDENCE.c.verdict == AGAINST, ~settled()
    row = connection.execute(select(EVIDENCE).where(*against).order_by(EVIDENCE.c.id).limit(1)).one_or_none()
    return None if row is None else Against(row.at, row.note, row.source)


def _untold(connection: Connection, invoice_id: str, now: datetime) -> Untold | None:
    """Its oldest event that is not on the stream."""
    waiting = EVENT.c.invoice_id == invoice_id, EVENT.c.published_at.is_(None)
    query = select(EVENT.c.type, EVENT.c.created_at).where(*waiting).order_by(EVENT.c.sequence).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    stream = read_untold(connection, now)
    return Untold(row.type, row.created_at, stream.events, stream.held_until)


def _queue(connection: Connection, create: Planned, now: datetime) -> Queue:
    lane = AGENDA.c.stage == Stage.CREATE.value, AGENDA.c.lane == create.lane
    held = select(AGENDA.c.subject).where(*lane, AGENDA.c.due_at >= now, AGENDA.c.lease_token.is_not(None))
    ahead = select(AGENDA.c.subject).where(*lane, AGENDA.c.due_at < min(create.due_at or now, now))
    counted = [
        connection.execute(select(func.count()).select_from(rows.limit(COUNTED).subquery())).scalar_one()
        for rows in (held, ahead)
    ]
    return Queue(*counted)


def _confirmations(connection: Connection, invoice: StoredRow) -> int | None:
    """How many its newest callback tells of, if it does."""
    ours = CALLBACK.c.account == invoice.provider_account, CALLBACK.c.order_id == invoice.order_id
    query = select(CALLBACK.c.body).where(*ours, CALLBACK.c.invoice_id == invoice.id)
    body = connection.execute(query.order_by(CALLBACK.c.id.desc()).limit(1)).scalar_one_or_none()
    if body is None:
        return None
    try:
        told = read_json(bytes(body))
    except ValueError:
        return None
    number = told.get("confirmations") if isinstance(told, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None
