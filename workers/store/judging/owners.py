"""Whose invoice an answer is about: one about another order's invoice binds nothing.

Otherwise a customer would be shown somebody else's address.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

from sqlalchemy import Column, Connection, Executable, select

from domain.answers import weight
from domain.asking import twins_of
from domain.evidence import Created, Evidence, Found, InDoubt, SearchFailed, Seen, Unreadable
from domain.exact_json import read_json, write_json
from workers.store.bulk import execute_keyed, keyed
from workers.store.tables import INVOICE

Said = Sequence[tuple[SimpleNamespace, Evidence]]  #: invoices, each with what was said of it


@dataclass(slots=True)
class Owners:
    """What is taken: providers' references by (provider account, reference), orders by (provider account, order id).

    ``twins``: references that a search took for an order's other invoices. Nobody was shown them, so an order that
    binds one has it.
    """

    refs: dict[tuple[str, str], str]
    orders: dict[tuple[str, str], str]
    twins: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def of(self, invoice: SimpleNamespace, ref: str) -> str | None:
        """The other invoice that ``ref`` is bound to, if any."""
        owner = self.refs.get((invoice.provider_account, ref), invoice.id)
        return None if owner == invoice.id else owner

    def is_free(self, invoice: SimpleNamespace, ref: str) -> bool:
        """Whether no other invoice has ``ref``, not even as a twin."""
        holders = self.twins.get((invoice.provider_account, ref), set()) - {invoice.id}
        return not holders and self.of(invoice, ref) is None


def find_owners(connection: Connection, said: Said) -> Owners:
    """The owners of every reference and every other order that this evidence names."""
    asked = {(invoice.provider_account, ref) for invoice, evidence in said for ref in _refs(invoice, evidence)}
    named = {
        (invoice.provider_account, evidence.order_id)
        for invoice, evidence in said
        if isinstance(evidence, Created) and evidence.order_id
    }
    return Owners(
        _ids(connection, _bound_refs, ("provider_account", "provider_ref"), asked),
        _ids(connection, _known_orders, ("provider_account", "order_id"), named),
        _twins(connection, said),
    )


def _refs(invoice: SimpleNamespace, evidence: Evidence) -> list[str]:
    if isinstance(evidence, Found):
        return [evidence.provider_ref, *_others_of(evidence)]
    if isinstance(evidence, Created):
        return [evidence.provider_ref] if evidence.provider_ref else []
    if isinstance(evidence, Seen):
        return [ref for one in (evidence, *evidence.others) for ref in (one.provider_ref, _twin(invoice, one)) if ref]
    return []


def _others_of(found: Found) -> list[str]:
    return [str(ref) for ref in read_json(found.twins)] if found.twins else []


def _twin(invoice: SimpleNamespace, seen: Seen) -> str | None:
    """The twin that was asked for by its reference: the answer may not name it."""
    return seen.reference if seen.reference is not None and seen.reference in twins_of(invoice) else None


def _twins(connection: Connection, said: Said) -> dict[tuple[str, str], set[str]]:
    """Which invoices have a reference as a twin, among those with the order id of a search."""
    searched = {(one.provider_account, one.order_id) for one, evidence in said if isinstance(evidence, Found)}
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    if searched:
        names = ("provider_account", "order_id")
        for row in execute_keyed(connection, _twins_of_orders, names, sorted(searched)):
            for ref in twins_of(row):
                found[row.provider_account, ref].add(row.id)
    return found


@functools.cache
def _twins_of_orders(dialect: str) -> Executable:
    keys = INVOICE.c.provider_account, INVOICE.c.order_id
    found = select(
        INVOICE.c.id, INVOICE.c.provider_account, INVOICE.c.provider_ref, INVOICE.c.asked_by, INVOICE.c.twins
    )
    return found.where(keyed(dialect, *keys), INVOICE.c.twins.is_not(None))


def _ids(
    connection: Connection, statement: Callable[[str], Executable], names: tuple[str, str], keys: set[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    if not keys:
        return {}
    rows = execute_keyed(connection, statement, names, sorted(keys)).all()
    return {(row.account, row.name): row.id for row in rows}


@functools.cache
def _bound_refs(dialect: str) -> Executable:
    return _named(dialect, INVOICE.c.provider_ref)


@functools.cache
def _known_orders(dialect: str) -> Executable:
    return _named(dialect, INVOICE.c.order_id)


def _named(dialect: str, name: Column[object]) -> Executable:
    account = INVOICE.c.provider_account
    found = select(INVOICE.c.id, account.label("account"), name.label("name"))
    return found.where(keyed(dialect, account, name))


def settle_owner(invoice: SimpleNamespace, evidence: Evidence, owners: Owners) -> Evidence:
    """The evidence as it is; where it is about another order's invoice, a doubt, or the owner is named in it."""
    if isinstance(evidence, Seen):
        return _settle_seen(invoice, evidence, owners)
    if not isinstance(evidence, Created) or not evidence.provider_ref:
        return evidence
    if isinstance(evidence, Found):
        evidence = _settle_found(invoice, evidence, owners)
    account = invoice.provider_account
    if evidence.order_id:
        other = owners.orders.get((account, evidence.order_id), invoice.id)
        if other != invoice.id:
            return _doubt(evidence, f"about the order {evidence.order_id!r}, another one ({other})")
    owner = owners.refs.setdefault((account, evidence.provider_ref), invoice.id)
    if owner == invoice.id:
        return evidence
    return _doubt(evidence, f"with {evidence.provider_ref}, the invoice of another order ({owner})")


def _settle_found(invoice: SimpleNamespace, found: Found, owners: Owners) -> Found:
    """The best find that no other order has, with those twins that none has. Where all are taken, the best of all."""
    able = [one for one in (found, *found.instead) if owners.of(invoice, one.provider_ref) is None]
    free = [one for one in able if owners.is_free(invoice, one.provider_ref)]
    chosen = next(iter(free or able), found)
    refs = [ref for ref in (found.provider_ref, *_others_of(found)) if ref != chosen.provider_ref]
    twins = [ref for ref in refs if owners.is_free(invoice, ref)]
    return dataclasses.replace(
        chosen, twins=write_json(twins) if twins else None, instead=(), asked_at=found.asked_at, raw=found.raw
    )


def _settle_seen(invoice: SimpleNamespace, seen: Seen, owners: Owners) -> Evidence:
    """The answer without twins that another order has bound since: their payments belong to that order."""
    if not invoice.twins:
        others = tuple(_with_owner(invoice, one, owners) for one in seen.others)
        return _with_owner(invoice, dataclasses.replace(seen, others=others) if others else seen, owners)
    answers = [dataclasses.replace(one, others=()) for one in (seen, *seen.others)]
    lost = {ref: owner for one in answers if (ref := _twin(invoice, one)) and (owner := owners.of(invoice, ref))}
    ours = [_with_owner(invoice, one, owners) for one in answers if one.reference not in lost]
    if not ours:
        return Unreadable(reason=f"the answer is about another order's invoice only: {lost}", asked_at=seen.asked_at)
    first = max(ours, key=weight) if seen.reference in lost else ours[0]
    others = tuple(one for one in ours if one is not first)
    return dataclasses.replace(first, others=others) if others else first


def _with_owner(invoice: SimpleNamespace, seen: Seen, owners: Owners) -> Seen:
    if not seen.provider_ref:
        return seen
    if seen.provider_ref in twins_of(invoice):  # looking at a twin does not bind it
        owner = owners.of(invoice, seen.provider_ref)
        return seen if owner is None else dataclasses.replace(seen, owner=owner)
    owner = owners.refs.setdefault((invoice.provider_account, seen.provider_ref), invoice.id)
    return seen if owner == invoice.id else dataclasses.replace(seen, owner=owner)


def _doubt(evidence: Created, words: str) -> InDoubt | SearchFailed:
    """A search makes nothing, so it adds no doubt."""
    kind = SearchFailed if isinstance(evidence, Found) else InDoubt
    return kind(reason=f"the provider answered {words}", asked_at=evidence.asked_at, raw=evidence.raw)
