"""``GET /v1/snapshot``: every invoice as of a position, so that the events after it go on without a gap or a repeat."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest

from domain.evidence import CancelRequested
from domain.permissions import Scope
from tests.contracts.log_cases import place
from tests.contracts.store_cases import (
    OPERATOR,
    change,
    judge,
    now,
    pend,
    queue,
    rows,
    seen,
    subscribe,
)
from workers.store.operate.restoration import restore
from workers.store.reads import snapshot
from workers.store.tables import EVENT, INVOICE


def take(get, as_of=None, **how):
    """A snapshot: its position, and its invoices by id."""
    answered = get("/v1/snapshot" if as_of is None else f"/v1/snapshot?as_of={as_of}", **how)
    assert answered.status_code == 200, answered.text
    lines = [json.loads(line) for line in answered.text.splitlines()]
    position = int(answered.headers["snapshot-position"])
    assert {line["as_of"] for line in lines} <= {position}
    assert [line["id"] for line in lines] == sorted({line["id"] for line in lines})
    return position, {line["id"]: {name: line[name] for name in line if name != "as_of"} for line in lines}


def data_of(event):
    """The invoice as an event has it."""
    more = {"previous_status", "kind", "words"}
    return {name: value for name, value in event["data"].items() if name not in more}


def follow(get, position, known):
    """What a shop knows once it has handled the events that follow; each has to be new to it."""
    while events := (page := get(f"/v1/events?after={position}&limit=4").json())["events"]:
        for event in (one["event"] for one in events):
            if "sequence" not in event:
                continue
            before = known.get(event["subject"], {"sequence": 0})["sequence"]
            assert int(event["sequence"]) == before + 1 or before < 1_000_000 < int(event["sequence"]), event
            known[event["subject"]] = data_of(event)
        position = page["next"]
    return known


def as_they_are(get, database):
    """Every invoice as one asks for it."""
    return {row.id: get(f"/v1/invoices/{row.id}").json() for row in rows(database, INVOICE)}


def some_history(store, seed):
    """Invoices in any status, some of whose events have no position yet."""
    dice, ids = random.Random(seed), []
    for _ in range(40):
        step = dice.choice(["queue", "pend", "judge", "judge", "judge", "cancel", "place"])
        if step == "queue":
            ids.append(queue(store))
        elif step == "pend":
            ids += pend(store)
        elif step == "place":
            place(store, tell=dice.random() < 0.5)
        elif ids:
            evidence = seen(dice.choice(["confirming", "pending", "paid", "refunded", "failed"]))
            judge(store, dice.choice(ids), CancelRequested(reason="no more") if step == "cancel" else evidence)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.engines) for seed in (1, 2))])
def test_from_every_position_a_shop_comes_to_know_what_there_is(service, get, database, seed):
    some_history(service.store, seed)
    place(service.store)
    newest = get("/v1/events?limit=1000").json()
    states: dict[str, dict[str, object]] = {}
    for position in range(newest["next"] + 1):
        if position:
            event = newest["events"][position - 1]["event"]
            states[event["subject"]] = data_of(event)
        taken, known = take(get, position)
        assert taken == position
        assert {one: known[one] for one in states} == states, "as the events up to there told"
        assert {state["status"] for one, state in known.items() if one not in states} <= {"queued", "in_doubt"}
        known = follow(get, position, known)
        now_there = as_they_are(get, database)
        assert {one: now_there[one] for one in known} == known
    assert take(get)[1] == as_they_are(get, database)


def test_now_is_what_the_log_has_told_even_where_a_row_is_further(service, get):
    queued, (ahead, still) = queue(service.store), pend(service.store, 2)
    place(service.store)
    judge(service.store, ahead, seen("paid"))
    (fresh,) = pend(service.store)
    position, known = take(get)
    assert position == 2
    found = {one: (known[one]["status"], known[one]["sequence"]) for one in (queued, ahead, still, fresh)}
    assert found == {queued: ("queued", 0), ahead: ("pending", 1), still: ("pending", 1), fresh: ("queued", 0)}
    assert (known[fresh]["address"], known[fresh]["provider_ref"]) == (None, None)
    place(service.store)
    assert follow(get, position, known)[ahead]["status"] == "paid"


def test_a_large_one_comes_in_pages_of_one_moment(service, get, database, monkeypatch):
    monkeypatch.setattr(snapshot, "PAGE", 2)
    ids = pend(service.store, 5)
    place(service.store)
    moment = database.read(snapshot.read_moment, None)
    first = database.read(snapshot.read_states, moment, "", None)
    judge(service.store, ids[-1], seen("paid"))
    pend(service.store, 2)
    place(service.store)
    pages = [first]
    while pages[-1].next is not None:
        pages.append(database.read(snapshot.read_states, moment, pages[-1].next, None))
    found = [(one["id"], one["status"]) for page in pages for one in page.invoices]
    assert found == [(one, "pending") for one in sorted(ids)]
    assert len(take(get)[1]) == 7


def test_what_retention_removed_is_told_by_the_row_or_by_what_came_next(service, get, database):
    store = service.store
    subscribe(database, ["invoice.pending"])  # waits for the first event of each, and keeps it
    still, refunded, young = pend(store, 3)
    for one in (still, refunded):
        judge(store, one, seen("paid"))
    place(store)
    change(database, EVENT, created_at=now(database) - timedelta(days=91))
    store.remove_finished(timedelta(days=90))
    assert [row.sequence for row in rows(database, EVENT, EVENT.c.invoice_id == refunded)] == [1], "only this is kept"
    judge(store, refunded, seen("refunded"))
    place(store)
    oldest = get("/v1/events?after=0").json()["oldest"]
    position, known = take(get, oldest)
    assert {one: (known[one]["status"], known[one]["sequence"]) for one in (still, refunded, young)} == {
        still: ("paid", 2),
        refunded: ("paid", 2),
        young: ("pending", 1),
    }
    assert follow(get, position, known) == as_they_are(get, database)
    assert get(f"/v1/snapshot?as_of={oldest - 1}").status_code == 410
    assert get("/v1/snapshot?as_of=1000000").status_code == 410
    assert get(f"/v1/snapshot?as_of={10**30}").status_code == 410


def test_after_a_restore_a_snapshot_goes_on_too(service, get, database):
    store = service.store
    (held,) = pend(store)
    judge(store, held, seen("confirming"))
    place(store)
    restore(store, OPERATOR, lambda _: 0.0)
    judge(store, held, seen("paid"))
    place(store)
    for position in (1, 2):
        taken, known = take(get, position)
        assert (taken, known[held]["sequence"]) == (position, position)
        assert follow(get, position, known) == as_they_are(get, database)


def test_a_token_gets_its_accounts(service, get):
    queue(service.store)
    mine = queue(service.store, "nebulox")
    token = service.add_token(Scope.READ, accounts=["nebulox"])
    assert list(take(get, token=token)[1]) == [mine]
    assert get("/v1/snapshot?as_of=x").status_code == 400
    assert get("/v1/snapshot?after=1").status_code == 400


def test_an_empty_one_has_its_position_too(get):
    assert take(get) == (0, {})
