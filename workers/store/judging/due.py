"""What is due next, written to the agenda."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace

from sqlalchemy import Connection

from domain.decision import Decision, Policy, Stage
from domain.evidence import Evidence
from domain.lifecycle import is_only_sought
from domain.looks import has_own_lane, lane_of, look_of, search_lane_of
from workers.store import places
from workers.store.agenda import CLOCK_LANE, Lane
from workers.store.bulk import insert_rows, update_rows
from workers.store.judging.work import Work
from workers.store.rows import LockedRow
from workers.store.tables import AGENDA

#: The clock's lane is also rung for rows due within this: it claims them to the moment, and sweeps only once a second.
SOON = timedelta(seconds=2)

_IDENTITY = ("stage", "subject")


def write_agenda(connection: Connection, work: Work) -> set[Lane]:
    """Set what is due next. A row that somebody else has leased stays as it is: its holder decides about it once this
    is committed."""
    gone: dict[tuple[str, str], LockedRow] = {}
    moved: list[dict[str, object]] = []
    added: list[dict[str, object]] = []
    lanes: set[Lane] = set()
    soon = work.now + SOON
    due = {key for key, due_at in work.agenda.items() if due_at is not None}
    for key in sorted(due | ((work.agenda.keys() | work.held.keys()) & work.rows.keys())):
        row, due_at = work.rows.get(key), work.agenda.get(key)
        if row is None:
            if due_at is not None:
                added.append(_row(key, due_at, lane=_lane(work, key)))
        elif key not in work.agenda and not work.holds(key):
            continue  # the lease was lost meanwhile: whoever holds the row now decides about it
        elif due_at is None:
            gone[row.stage, row.subject] = row
        elif row.lease_token is None or work.holds(key):
            lane = _lane(work, key)
            elsewhere = {} if lane == row.lane else {"lane": lane}  # its account, or its kind of look-up, has changed
            moved.append(_row(key, due_at, lease_token=None, **elsewhere))
        if due_at is not None and due_at <= (soon if key[0] == Stage.CLOCK else work.now):
            lanes.add((Stage(key[0]), _lane(work, key)))
    _execute_agenda(connection, gone, moved, added)
    return lanes


def place_look_up(work: Work, invoice: SimpleNamespace, evidence: Evidence, decision: Decision, policy: Policy) -> None:
    """Choose the lane of the planned look-up. Those after callbacks have one, to wait behind no others; where an
    account's budget does not cover all at once, each kind has one."""
    due_at = decision.agenda.get(Stage.CHECK)
    if due_at is None:
        return
    account, look = invoice.provider_account, look_of(invoice, evidence, due_at)
    if has_own_lane(account, look, policy):
        work.look_lanes[invoice.id] = lane_of(account, look)


def place_create(work: Work, invoice: SimpleNamespace, decision: Decision, policy: Policy) -> None:
    """Choose the lane of the planned create: its account's, or that of searches which must not become creates."""
    if decision.agenda.get(Stage.CREATE) is not None:
        account: str = invoice.provider_account
        work.create_lanes[invoice.id] = (
            search_lane_of(account) if is_only_sought(invoice, policy, work.now) else account
        )


def _execute_agenda(
    connection: Connection,
    gone: Mapping[tuple[str, str], LockedRow],
    moved: Sequence[Mapping[str, object]],
    added: Sequence[Mapping[str, object]],
) -> None:
    places.remove(connection, gone)
    update_rows(connection, AGENDA, _IDENTITY, [row for row in moved if "lane" not in row])
    update_rows(connection, AGENDA, _IDENTITY, [row for row in moved if "lane" in row])
    insert_rows(connection, AGENDA, added)


def _row(key: tuple[str, str], due_at: datetime, **more: object) -> dict[str, object]:
    return {"stage": str(key[0]), "subject": key[1], "due_at": due_at, "claims": 0, "pokes": 0, **more}


def _lane(work: Work, key: tuple[str, str]) -> str:
    stage, invoice_id = key
    account: str = work.invoices[invoice_id].provider_account
    if stage == Stage.CHECK:
        return work.look_lanes.get(invoice_id, account)
    if stage == Stage.CREATE:
        return work.create_lanes.get(invoice_id, account)
    return CLOCK_LANE if stage == Stage.CLOCK else account
