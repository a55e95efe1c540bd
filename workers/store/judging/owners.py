"""Whose invoice an answer is about: one that is another order's binds nothing.

It would show a customer somebody else's address.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, select

from domain.evidence import Created, Evidence, Found, InDoubt, SearchFailed, Seen
from workers.store.bulk import execute_keyed, keyed
from workers.store.intake import INVOICE

Said = Sequence[tuple[SimpleNamespace, Evidence]]  #: invoices, each with what was said of it


@dataclass(slots=True)
class Owners:
    """What is taken: provider's references by (provider account, reference), orders by (provider account, order id)."""

    refs: dict[tuple[str, str], str]
    orders: dict[tuple[str, str], str]


def find_owners(connection: Connection, said: Said) -> Owners:
    """The owners of every reference and every other order that this evidence names."""
    asked = {(invoice.provider_account, ref) for invoice, evidence in said for ref in _refs(evidence)}
    named = {
        (invoice.provider_account, evidence.order_id)
        for invoice, evidence in said
        if isinstance(evidence, Created) and evidence.order_id
    }
    return Owners(
        _ids(connection, _bound_refs, ("provider_account", "provider_ref"), asked),
        _ids(connection, _known_orders, ("provider_account", "order_id"), named),
    )


def _refs(evidence: Evidence) -> list[str]:
    if not isinstance(evidence, (Created, Seen)):
        return []
    others = evidence.others if isinstance(evidence, Seen) else ()
    return [one.provider_ref for one in (evidence, *others) if one.provider_ref]


def _ids(
    connection: Connection, statement: Any, names: tuple[str, str], keys: set[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    if not keys:
        return {}
    rows = execute_keyed(connection, statement, names, sorted(keys)).all()
    return {(row.account, row.name): row.id for row in rows}


@functools.cache
def _bound_refs(dialect: str) -> Any:
    return _named(dialect, INVOICE.c.provider_ref)


@functools.cache
def _known_orders(dialect: str) -> Any:
    return _named(dialect, INVOICE.c.order_id)


def _named(dialect: str, name: Any) -> Any:
    account = INVOICE.c.provider_account
    found = select(INVOICE.c.id, account.label("account"), name.label("name"))
    return found.where(keyed(dialect, account, name))


def settle_owner(invoice: SimpleNamespace, evidence: Evidence, owners: Owners) -> Evidence:
    """The evidence; a doubt instead, or with its owner named, where it is about another order's invoice."""
    if isinstance(evidence, Seen):
        others = tuple(_with_owner(invoice, one, owners) for one in evidence.others)
        return _with_owner(invoice, dataclasses.replace(evidence, others=others) if others else evidence, owners)
    if not isinstance(evidence, Created) or not evidence.provider_ref:
        return evidence
    account = invoice.provider_account
    if evidence.order_id:
        other = owners.orders.get((account, evidence.order_id), invoice.id)
        if other != invoice.id:
            return _doubt(evidence, f"about the order {evidence.order_id!r}, another one ({other})")
    owner = owners.refs.setdefault((account, evidence.provider_ref), invoice.id)
    if owner == invoice.id:
        return evidence
    return _doubt(evidence, f"with {evidence.provider_ref}, the invoice of another order ({owner})")


def _with_owner(invoice: SimpleNamespace, seen: Seen, owners: Owners) -> Seen:
    if not seen.provider_ref:
        return seen
    owner = owners.refs.setdefault((invoice.provider_account, seen.provider_ref), invoice.id)
    return seen if owner == invoice.id else dataclasses.replace(seen, owner=owner)


def _doubt(evidence: Created, words: str) -> InDoubt | SearchFailed:
    """A search makes nothing: it is no further doubt."""
    kind = SearchFailed if isinstance(evidence, Found) else InDoubt
    return kind(reason=f"the provider answered {words}", asked_at=evidence.asked_at, raw=evidence.raw)
