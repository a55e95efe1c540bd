"""Endpoints: failing ones, disabled ones, deliveries that were given up, secrets that can't be opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from workers.cli.breakers import breaker_states
from workers.cli.doctor.finding import Finding, State, ago, clock, counted
from workers.cli.rotation import open_box

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database
    from workers.store.endpoints import Endpoint
    from workers.store.reads.receivers import Backlog, Dead, Failing

#: How many failing endpoints are reported one by one, those with the longest backlog first.
TOLD = 20
#: After so many failed attempts, over about three minutes, it is no passing hiccup any more.
MANY_TRIES = 4


def check_endpoints(database: Database, config: Settings) -> Iterator[Finding]:
    """From rows, with the breakers' states where Redis answers."""
    from workers.store.endpoints import list_endpoints
    from workers.store.reads import receivers

    now, endpoints = database.time(), database.read(list_endpoints)
    backlogs, dead = database.read(receivers.read_backlogs), database.read(receivers.read_dead)
    busy = [each for each in endpoints if each.disabled_at is None and _fails(backlogs.get(each.id))]
    busy.sort(key=lambda each: -backlogs[each.id].waiting)
    failing = {each.id: database.read(receivers.read_failing, each.id) for each in busy[:TOLD]}
    breakers = breaker_states(config, [each.id for each in busy[:TOLD]])
    found = list(_tell_secrets(endpoints, config))
    found += [_tell_failing(each, backlogs[each.id], failing[each.id], breakers, now) for each in busy[:TOLD]]
    if len(busy) > TOLD:
        detail = f"{len(busy) - TOLD} more receivers fail"
        found.append(Finding("endpoints", "wrong", detail, "failing", count=len(busy) - TOLD))
    found += [_tell_disabled(each, backlogs.get(each.id), now) for each in endpoints if each.disabled_at]
    found += [_tell_dead(endpoint, letters, now) for endpoint, letters in dead.items()]
    yield from found
    if not any(finding.state == "wrong" for finding in found):
        waiting = sum(backlog.waiting for backlog in backlogs.values())
        yield Finding(
            "endpoints", "ok", f"{len(endpoints)} of them, their secrets open, {waiting} webhooks on their way"
        )


def _fails(backlog: Backlog | None) -> bool:
    return backlog is not None and backlog.failing > 0


def _tell_secrets(endpoints: Sequence[Endpoint], config: Settings) -> Iterator[Finding]:
    from workers.delivery.secretbox import SecretUnreadable

    box, shut = open_box(config), []
    for endpoint in endpoints:
        try:
            for sealed in endpoint.sealed_secrets:
                box.open(sealed)
            box.open_headers(endpoint.sealed_headers, "{}")
        except SecretUnreadable:
            shut.append(endpoint.id)
    if shut:
        detail = (
            f"secrets can't be opened with INVOICES_SECRET_KEY ({_listed(shut)}): give the key they were sealed with"
        )
        yield Finding("endpoints", "wrong", detail, "secrets_unreadable", count=len(shut))
    clear = [endpoint.id for endpoint in endpoints if endpoint.clear_headers != "{}"]
    if clear:
        detail = f"header values that the release before stored are not encrypted yet ({_listed(clear)})"
        command = "invoices endpoints reseal"
        yield Finding("endpoints", "note", detail, "headers_in_the_clear", count=len(clear), command=command)


def _tell_failing(
    endpoint: Endpoint, backlog: Backlog, failing: Failing | None, breakers: Mapping[str, str], now: datetime
) -> Finding:
    check, command = f"endpoint {endpoint.id}", f"invoices deliveries list --endpoint {endpoint.id} --state due"
    have = counted(backlog.failing, "event has", "events have")
    if failing is None:
        detail = f"{have} failed, up to {counted(backlog.most_tries, 'time')}"
        return Finding(check, "wrong", detail, "failing", backlog.oldest_at, backlog.waiting, command)
    takes_some = failing.last_success_at is not None and failing.last_success_at >= failing.since
    said = failing.error or failing.outcome
    parts = [
        f"{'does not take some events' if takes_some else 'takes nothing'}: {have} failed for "
        f"{ago(failing.since, now)}, up to {counted(backlog.most_tries, 'time')}; last answer: {said}",
        f"{counted(backlog.waiting, 'webhook waits', 'webhooks wait')}",
    ]
    if breakers.get(endpoint.id, "closed") != "closed":
        parts.append(f"its breaker is {breakers[endpoint.id]}")
    if failing.next_try_at is not None and failing.next_try_at > now:
        parts.append(f"next try {clock(failing.next_try_at)}")
    patience = MANY_TRIES if takes_some else 2 if backlog.failing == 1 else 1
    state: State = "note" if backlog.most_tries < patience else "wrong"
    return Finding(check, state, "; ".join(parts), "failing", failing.since, backlog.waiting, command)


def _tell_disabled(endpoint: Endpoint, backlog: Backlog | None, now: datetime) -> Finding:
    from workers.store.deliveries import BY_ITSELF

    waiting, since = backlog.waiting if backlog else 0, endpoint.disabled_at or now
    reason = endpoint.disabled_reason or "without a reason"
    detail = f"disabled {ago(since, now)} ago ({reason}), {counted(waiting, 'webhook waits', 'webhooks wait')}"
    # By hand is only a note: somebody knows.
    state: State = "wrong" if waiting and reason.startswith(BY_ITSELF) else "note"
    command = f"invoices endpoints enable {endpoint.id}"
    return Finding(f"endpoint {endpoint.id}", state, detail, "disabled", since, waiting, command)


def _tell_dead(endpoint: str, dead: Dead, now: datetime) -> Finding:
    last = f", the last {ago(dead.last_at, now)} ago" if dead.last_at else ""
    detail = f"{counted(dead.deliveries, 'webhook was', 'webhooks were')} given up after 12 tries{last}"
    command = f"invoices deliveries replay --endpoint {endpoint} --dead-only"
    return Finding(f"endpoint {endpoint}", "note", detail, "dead_letters", dead.last_at, dead.deliveries, command)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
