"""What operators did, one row an act: who, from where, why, on what, what it was before and after.

Written in the transaction of the act itself, never changed and never removed. What the system does by itself (disabling
an endpoint whose receiver is gone, trying an order at another account, a cancellation that a shop sent) is no
operator's act: events, evidence and attempts tell of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from sqlalchemy import Connection, insert

from domain.event import format_time
from domain.exact_json import write_json
from domain.money import format_amount
from workers.store.database import Database
from workers.store.storable import storable
from workers.store.tables import ACT
from workers.store.tables.columns import LONGEST_NAME, LONGEST_ORIGIN

LONGEST_REASON = 1000
MASK = "***"

Value = str | int | bool | Decimal | datetime | Sequence[str] | None
Values = Mapping[str, Value]


class Act(StrEnum):
    """What can be done by hand."""

    MARK = "invoice.mark"
    CANCEL = "invoice.cancel"
    RECHECK = "invoice.recheck"
    CREATE_AGAIN = "invoice.create_again"
    ADD_ENDPOINT = "endpoint.add"
    CHANGE_ENDPOINT = "endpoint.change"
    ROTATE_SECRET = "endpoint.rotate"  # noqa: S105 - the name of an act
    RESEAL_SECRETS = "endpoint.reseal"
    DISABLE_ENDPOINT = "endpoint.disable"
    ENABLE_ENDPOINT = "endpoint.enable"
    REMOVE_ENDPOINT = "endpoint.remove"  #: begun: nothing is delivered any more
    ENDPOINT_REMOVED = "endpoint.removed"  #: done
    REPLAY = "events.replay"
    BEGIN_JOB = "job.begin"  #: on everything that matches a filter; its acts name the job
    STOP_JOB = "job.stop"
    PAUSE_JOB = "job.pause"
    RESUME_JOB = "job.resume"
    SEND_AGAIN = "message.send_again"
    UNPARK = "row.unpark"
    LINK = "callback.link"
    DISMISS = "callback.dismiss"
    ACCEPT_DRIFT = "drift.accept"
    RESTORED = "database.restored"
    MOVED = "database.moved"
    ARCHIVED = "invoices.archived"
    ADD_TOKEN = "token.add"  # noqa: S105 - the name of an act
    REVOKE_TOKEN = "token.revoke"  # noqa: S105 - the name of an act
    ADD_PERSON = "person.add"
    CHANGE_ROLE = "person.role"
    CHANGE_PASSWORD = "person.password"  # noqa: S105 - the name of an act
    REMOVE_PERSON = "person.remove"
    END_SESSIONS = "person.end_sessions"
    SIGN_IN = "person.sign_in"
    SIGN_OUT = "person.sign_out"
    ADD_LINK = "console.link"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something by hand, from where, and why."""

    name: str
    origin: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """An act on one thing, with what it changed. Values are chosen field by field: nothing secret is among them."""

    act: Act
    invoice_id: str | None = None
    endpoint_id: str | None = None
    account: str | None = None
    callback_id: int | None = None
    message_id: int | None = None
    before: Values | None = None
    after: Values | None = None


def record(connection: Connection, database: Database, actor: Actor, deeds: Sequence[Deed]) -> None:
    """Write down what an operator does in this transaction."""
    if not deeds:
        return
    now = database.now(connection)
    connection.execute(insert(ACT), [_row(actor, deed, now) for deed in deeds])


def bare_url(url: str) -> str:
    """An address without what may authorise: no user, no password, and only the names of its query."""
    parts = urlsplit(url)
    names = "&".join(f"{name}={MASK}" for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, names, ""))


def _row(actor: Actor, deed: Deed, now: datetime) -> dict[str, object]:
    return {
        "at": now,
        "by": storable(actor.name)[:LONGEST_NAME],
        "origin": storable(actor.origin)[:LONGEST_ORIGIN],
        "act": deed.act.value,
        "invoice_id": deed.invoice_id,
        "endpoint_id": deed.endpoint_id,
        "account": deed.account,
        "callback_id": deed.callback_id,
        "message_id": deed.message_id,
        "reason": None if actor.reason is None else storable(actor.reason)[:LONGEST_REASON],
        "before": _json(deed.before),
        "after": _json(deed.after),
    }


def _json(values: Values | None) -> str | None:
    return None if values is None else write_json({name: _plain(value) for name, value in values.items()})


def _plain(value: Value) -> object:
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Decimal):
        return format_amount(value)
    if isinstance(value, str):
        return storable(value)
    return list(value) if isinstance(value, Sequence) else value
