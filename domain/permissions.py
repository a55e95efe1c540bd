"""Who may do what: one table for tokens' scopes and people's roles. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum


class Action(StrEnum):
    """Something that a token or a person may be allowed to do."""

    CREATE = "create"  #: send orders
    READ = "read"  #: invoices, events, deliveries, endpoints, jobs
    REPORT = "report"
    CANCEL = "cancel"
    RECHECK = "recheck"
    REDRIVE = "redrive"
    REPLAY = "replay"
    ENDPOINTS = "endpoints"  #: add, change and remove them
    MARK = "mark"
    TOKENS = "tokens"


class Scope(StrEnum):
    """What a token is for."""

    ORDERS = "orders"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


class Role(StrEnum):
    """What a person of the console may do, as a whole."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    FINANCE = "finance"
    ADMIN = "admin"


_A = Action
_READING = frozenset({_A.READ, _A.REPORT})
_OPERATING = _READING | {_A.CANCEL, _A.RECHECK, _A.REDRIVE, _A.REPLAY, _A.ENDPOINTS}
_ALL = frozenset(Action)

#: The actions of each scope and role.
PERMISSIONS: Mapping[Scope | Role, frozenset[Action]] = {
    Scope.ORDERS: frozenset({_A.CREATE, _A.CANCEL}),
    Scope.READ: _READING,
    Scope.OPERATE: _OPERATING,
    Scope.ADMIN: _ALL,
    Role.VIEWER: _READING,
    Role.OPERATOR: _OPERATING,
    Role.FINANCE: _READING | {_A.MARK},
    Role.ADMIN: _ALL,
}


def may(holds: Iterable[Scope | Role], action: Action) -> bool:
    """Whether one of these scopes or roles allows the action."""
    return any(action in PERMISSIONS[one] for one in holds)


def sees(accounts: Collection[str] | None, account: str) -> bool:
    """Whether somebody may see what belongs to ``account``. ``accounts``: the only ones they may see; None: all."""
    return accounts is None or account in accounts
