"""Judges what a search for an order in doubt brought. Only after it may the create be called again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from domain import schedule
from domain.asking import twins_of
from domain.decision import Changes, Decision, InvoiceView, Policy, Stage
from domain.evidence import Found, NotFound, SearchFailed
from domain.exact_json import read_json, write_json
from domain.lifecycle.callbacks import MAX_REFERENCES
from domain.lifecycle.case import Case, past_create_before
from domain.lifecycle.creates import created
from domain.lifecycle.moves import contradict
from domain.status import FINAL, UNMADE, Status

AGAIN = "it may be created again"
HELD = "it waits for a person: it is not created again by itself"


def is_to_be_sought(invoice: InvoiceView) -> bool:
    """Whether the next call for this order is a search and no create, if the provider can be searched."""
    return bool(invoice.status == Status.IN_DOUBT and invoice.sought != invoice.doubts)


def is_only_sought(invoice: InvoiceView, policy: Policy, now: datetime) -> bool:
    """Whether this order is searched for, and is not created again whatever the search brings, unless a person asks."""
    sought = policy.searchable and is_to_be_sought(invoice)
    return sought and not _may_repeat(Case(invoice, Status(invoice.status), policy, now, 0.0, 0))


def found(case: Case, evidence: Found) -> Decision:
    """It is made. Its twins are remembered: they are looked up as well, and a payment to any of them pays the order."""
    others = read_json(evidence.twins) if evidence.twins else []
    if case.status not in UNMADE:
        return _found_late(case, [evidence.provider_ref, *others])
    decision = created(case, evidence)
    changes: Changes = {**decision.changes}
    if others:
        changes["twins"] = write_json(others[:MAX_REFERENCES])
    soon = {Stage.CHECK: case.now} if decision.agenda.get(Stage.CHECK) is not None else {}
    return replace(decision, changes=changes, agenda={**decision.agenda, **soon})


def _found_late(case: Case, refs: list[str]) -> Decision:
    """Another answer was judged first, or the order was given up meanwhile."""
    ours, twins = case.invoice.provider_ref, twins_of(case.invoice)
    new = [ref for ref in refs if ref != ours and ref not in twins]
    if not new or case.status in FINAL:
        return contradict(case, agrees=not new)
    return Decision("noted", {"twins": write_json([*twins, *new][:MAX_REFERENCES])})


def not_found(case: Case, evidence: NotFound) -> Decision:
    """Search again until the grace is over. An order that is not there by then was not made."""
    if case.status is not Status.IN_DOUBT:
        return _not_in_doubt(case)
    looks = (case.invoice.searches or 0) + 1
    changes: Changes = {"searches": looks, "search_failures": 0, "refused_since": None}
    since = case.invoice.doubted_at
    if since is None or since > case.now or evidence.after_lost:  # nobody knows when the last create was called
        since = changes["doubted_at"] = case.now
    end = since + _grace(case)
    if (evidence.asked_at or case.now) >= end:
        return _settle(case, changes, "the provider does not have it")
    soon = case.after(schedule.step(schedule.SEARCH_SECONDS, looks + 1))
    return Decision("noted", changes, agenda={Stage.CREATE: min(soon, _not_before(case, end))})


def search_failed(case: Case, evidence: SearchFailed) -> Decision:
    """Search again, a bounded number of times. Then ``on_doubt`` decides as if there were no search."""
    if case.status is not Status.IN_DOUBT:
        return _not_in_doubt(case)
    failures = (case.invoice.search_failures or 0) + 1
    changes: Changes = {"search_failures": failures}
    wait = max(
        schedule.step(schedule.SEARCH_RETRY_SECONDS, failures), schedule.bounded_wait(evidence.retry_after_seconds)
    )
    if failures <= len(schedule.SEARCH_RETRY_SECONDS):
        return Decision("noted", changes, agenda={Stage.CREATE: case.after(wait)})
    end = (case.invoice.doubted_at or case.now) + _grace(case)
    if _may_repeat(case) and case.now < end <= case.now + _grace(case):
        return Decision("noted", changes, agenda={Stage.CREATE: end})
    return _settle(case, changes, "it could not be looked for")


def _not_in_doubt(case: Case) -> Decision:
    return Decision("ignored", agenda={Stage.CREATE: case.now} if case.status is Status.QUEUED else {})


def _settle(case: Case, changes: Changes, why: str) -> Decision:
    if not _may_repeat(case):
        return Decision("noted", changes, agenda={Stage.CREATE: None}, note=f"{why}; {HELD}")
    changes["sought"] = case.invoice.doubts
    return Decision("noted", changes, agenda={Stage.CREATE: case.now}, note=f"{why}; {AGAIN}")


def _may_repeat(case: Case) -> bool:
    """Whether the create may be repeated: by ``on_doubt`` and the count of doubts, or because an operator asked for it,
    which sets that count to 0."""
    if past_create_before(case):
        return False
    doubts = case.invoice.doubts
    return doubts == 0 or (case.policy.on_doubt == "retry" and doubts <= len(schedule.DOUBT_RETRY_SECONDS))


def _grace(case: Case) -> timedelta:
    """Until this long after the last create, a search that finds nothing proves nothing: lists lag. At least as long as
    ``on_doubt`` waits anyway; longer if a person decides in the end, because then it costs nothing."""
    doubts, waits = case.invoice.doubts, schedule.DOUBT_RETRY_SECONDS
    if not _may_repeat(case):
        return timedelta(seconds=waits[-1])
    usual = schedule.step(waits, doubts) if doubts else 0.0
    return timedelta(seconds=max(schedule.SEARCH_GRACE_SECONDS, usual))


def _not_before(case: Case, end: datetime) -> datetime:
    return max(end, case.now + timedelta(seconds=1))
