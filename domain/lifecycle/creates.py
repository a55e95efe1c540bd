"""Judges what a create brought, and what else concerns an order that is not made yet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import cast

from domain import schedule
from domain.decision import Agenda, Changes, Decision, Stage
from domain.evidence import (
    Created,
    CredentialsRefused,
    Evidence,
    InDoubt,
    NotSent,
    OrderRefused,
    ProviderRefused,
    RateLimited,
    RetryRequested,
    Unreachable,
)
from domain.fallbacks import next_turn
from domain.lifecycle.callbacks import alone
from domain.lifecycle.case import (
    LONGEST_LIFETIME,
    Case,
    asked_wait,
    earliest,
    is_askable,
    next_poll,
    past_create_before,
    span,
    usable,
)
from domain.lifecycle.look_ups import not_seen
from domain.lifecycle.moves import close, contradict, move
from domain.status import UNMADE, Status

#: The reason of an order that waits because its account is refused, and fails after ``hold_refused_minutes`` of that.
REFUSED_REASONS: Mapping[type[Evidence], str] = {
    CredentialsRefused: "credentials_refused",
    ProviderRefused: "provider_refuses",
}


def created(case: Case, evidence: Created) -> Decision:
    if case.status not in UNMADE:
        return contradict(case, agrees=evidence.provider_ref == case.invoice.provider_ref)
    gift = ("price", "currency", "pay_amount", "pay_currency", "network", "address", "payment_url", "qr_code")
    changes = cast("Changes", {name: value for name in gift if (value := getattr(evidence, name)) is not None})
    minutes = usable(evidence.lifetime_minutes) or case.invoice.lifetime_minutes or case.policy.lifetime_minutes
    expires_at = evidence.expires_at or case.now + span(minutes)
    if expires_at > case.now + LONGEST_LIFETIME:  # a mistake, and times beyond the year 9999 can't be stored
        expires_at = case.now + span(minutes)
    changes |= {"provider_ref": evidence.provider_ref, "lifetime_minutes": minutes, "expires_at": expires_at}
    changes["refused_since"] = None
    look = next_poll(case, 0, expires_at, askable=is_askable(case, evidence.provider_ref))
    told = evidence.disbelieved_expires_at
    at_once = told is not None and told <= case.now  # the provider says that it is expired already: look at that
    if look is not None and (at_once or case.invoice.called_status):  # or a callback was faster than this answer
        look = case.now
    agenda: Agenda = {Stage.CREATE: None, Stage.CHECK: look, Stage.CLOCK: expires_at}
    if case.invoice.called_status and look is None:
        return alone(case, case.invoice, changes, expires_at)
    return move(case, Status.PENDING, None, changes, agenda)


def order_refused(case: Case, evidence: OrderRefused) -> Decision:
    if case.status is Status.QUEUED:
        return _pass_on(case, evidence.reason) or close(case, Status.FAILED, evidence.reason)
    # A repeat was refused. That says nothing of the first call, which may have made it: an operator decides.
    return Decision("noted", agenda={Stage.CREATE: None})


def account_refused(case: Case, evidence: CredentialsRefused | ProviderRefused) -> Decision:
    """The account is refused, not the order. The order waits, is tried now and then, and tells what it waits for."""
    if case.status not in UNMADE:
        return not_seen(case, evidence)
    passed_on = _pass_on(case, evidence.reason)
    if passed_on is not None:
        return passed_on
    tries = max(case.invoice.create_tries, 0) + 1
    since = case.invoice.refused_since or case.now
    end = since + span(case.policy.hold_refused_minutes)
    reason = REFUSED_REASONS[type(evidence)]
    if case.status is Status.QUEUED and end <= case.now:
        return close(case, Status.FAILED, reason)
    changes: Changes = {"create_tries": tries, "refused_since": since}
    probe = case.after(schedule.step(schedule.PROBE_SECONDS, tries))
    last = end - timedelta(seconds=case.policy.timeout_seconds + 1)  # a last try before the hold ends
    agenda: Agenda = {Stage.CREATE: min(probe, last) if last > case.now else probe}
    if case.status is Status.QUEUED:
        changes["reason"] = reason
        agenda[Stage.CLOCK] = earliest(case.invoice.create_before, end)
    return Decision("noted", changes, agenda=agenda)


def again_later(case: Case, evidence: Unreachable | RateLimited) -> Decision:
    """A create that was certainly not processed is repeated, and so is a look-up that brought nothing."""
    if case.status not in UNMADE:
        return not_seen(case, evidence)
    queued = case.status is Status.QUEUED
    if past_create_before(case):
        return close(case, Status.FAILED, "too_late") if queued else Decision("noted", agenda={Stage.CREATE: None})
    put_off = isinstance(evidence, RateLimited)  # counted below 0: a failure of one kind ends the other's streak
    known = case.invoice.create_tries
    tries = max(-known if put_off else known, 0) + 1
    if not put_off and tries >= schedule.TRIES_BEFORE_FALLBACK:
        passed_on = _pass_on(case, evidence.reason)
        if passed_on is not None:
            return passed_on
    wait = max(schedule.step(schedule.CREATE_RETRY_SECONDS, tries), asked_wait(evidence))
    changes: Changes = {"create_tries": -tries if put_off else tries, "refused_since": None}
    agenda: Agenda = {Stage.CREATE: case.after(wait)}
    if queued:
        agenda[Stage.CLOCK] = case.invoice.create_before
        changes["reason"] = None  # it no longer waits for a refusal to end
    return Decision("noted", changes, agenda=agenda)


def not_sent(case: Case, evidence: NotSent) -> Decision:
    """Due again at once, as before: it counts neither as a try nor as a failed search, and ends neither."""
    if case.status not in UNMADE:
        return not_seen(case, evidence)
    changes: Changes = {"doubted_at": case.now} if evidence.after_lost and case.status is Status.IN_DOUBT else {}
    return Decision("noted", changes, agenda={Stage.CREATE: case.now})


def in_doubt(case: Case, evidence: InDoubt) -> Decision:
    if case.status not in UNMADE:
        return not_seen(case, evidence)
    doubts = case.invoice.doubts + 1
    changes: Changes = {"doubts": doubts, "refused_since": None}
    if case.policy.searchable:
        return _look_for_it(case, evidence, changes)
    repeat = case.policy.on_doubt == "retry" and doubts <= len(schedule.DOUBT_RETRY_SECONDS)
    due = case.after(schedule.step(schedule.DOUBT_RETRY_SECONDS, doubts)) if repeat else None
    agenda: Agenda = {Stage.CREATE: None if past_create_before(case) else due, Stage.CLOCK: None}
    if case.status is Status.IN_DOUBT:
        return Decision("noted", changes, agenda=agenda)
    return move(case, Status.IN_DOUBT, evidence.reason, changes, agenda)


def _look_for_it(case: Case, evidence: InDoubt, changes: Changes) -> Decision:
    """Search the provider before anything else is decided, whatever ``on_doubt`` says: a search makes nothing."""
    changes |= {"doubted_at": case.now, "searches": 0, "search_failures": 0}
    agenda: Agenda = {Stage.CREATE: case.after(schedule.SEARCH_SECONDS[0]), Stage.CLOCK: None}
    if case.status is Status.IN_DOUBT:
        return Decision("noted", changes, agenda=agenda)
    return move(case, Status.IN_DOUBT, evidence.reason, changes, agenda)


def _pass_on(case: Case, why: str) -> Decision | None:
    """Pass the order on to its next account; None if there is none, or if the current one may have made it.

    A callback before the create's answer shows that the order was received, whatever else the account says.
    """
    invoice = case.invoice
    perhaps_made = case.status is not Status.QUEUED or invoice.called_status or invoice.asked_by
    if perhaps_made or past_create_before(case):
        return None
    changes, skipped = next_turn(invoice, case.policy)
    if changes is None:
        return None
    reason = f"{invoice.provider_account}: {why}"
    changes |= {"reason": reason, "create_tries": 0, "refused_since": None, "updated_at": case.now}
    passed_over = "".join(f"{account} is no longer configured; " for account in skipped)
    note = f"{passed_over}next: {changes['provider_account']}"
    return Decision("applied", changes, None, {Stage.CREATE: case.now, Stage.CLOCK: invoice.create_before}, note)


def retry_requested(case: Case, evidence: RetryRequested) -> Decision:
    if case.status is not Status.IN_DOUBT:
        return Decision("ignored")
    again: Changes = {"doubts": 0, "sought": None, "search_failures": 0}
    return Decision("noted", again, agenda={Stage.CREATE: case.now})
