"""Each shop is told each invoice's story in its order, whole, and whatever happens to the other shops and the workers.

Real worker processes, three endpoints (one healthy, one slow, one that fails at random), and one invoice that an
endpoint never takes. Compared is what came before what, never how long it took.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from random import Random

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks import Webhook

from tests.acceptance.awaited import DEADLINE_SECONDS
from tests.acceptance.shop import Shops, take
from tests.acceptance.system import ALL_PATIENT, System, zeroxhost_order

SLOW_SECONDS = 0.3
SLOWEST_SECONDS = 4  #: five at a time at three workers: 1500 events take longer than is waited for the healthy one's
SLOW_CAP = 5
STUCK = "stuck"  #: the order that the failing endpoint never takes


def fail(chosen):
    """Fails the first ``chosen(arrival)`` tries of an event, each in some way."""

    async def behave(arrival):
        if arrival.order_id.startswith(STUCK):
            return 500, False
        if arrival.tries >= chosen(arrival):
            return 200, True
        # The last two have taken it all the same: it comes once more, with the same id.
        ways = ((500, False), (503, False), (429, False), (302, False), (None, False), (500, True), (None, True))
        return Random(f"{arrival.order_id}/{arrival.sequence}/{arrival.tries}").choice(ways)

    return behave


def one_of_two(arrival):
    """One failure, of one of an invoice's events: over within the first delay of the schedule."""
    return int(Random(arrival.order_id).choice((1, 2, 9)) == arrival.sequence)


def up_to_two(arrival):
    return Random(f"{arrival.order_id}/{arrival.sequence}").choices((0, 1, 2), (70, 22, 8))[0]


def start(system, shops, *processes, **flags):
    """The processes, and the endpoints, added by the command line: what it printed, by name."""
    system.launch(*processes)
    found = {}
    for name in shops.behaviours:
        (found[name],) = system.command("endpoints", "add", shops.url(name), *flags.get(name, ()), "--json")
    system.wait_until_ready(*processes)
    return found


def check(system, shops, endpoints):
    """Nothing is missing, nothing goes back, nothing comes again under another id, everything is signed."""
    log = {told["id"]: told for told in system.events()}
    stuck = {each for each, told in log.items() if told["envelope"]["data"]["order_id"].startswith(STUCK)}
    for name in shops.behaviours:
        assert shops.taken(name) == set(log) - (stuck if name == "failing" else set()), name

    last: dict[tuple[str, str], int] = defaultdict(int)
    ids: dict[tuple[str, int], set[str]] = defaultdict(set)
    for arrival in shops.arrivals:
        pair = (arrival.endpoint, arrival.subject)
        assert arrival.sequence >= last[pair], f"{pair}: {arrival.sequence} after {last[pair]}"
        assert arrival.sequence <= last[pair] + 1, f"{pair}: {arrival.sequence} after {last[pair]}"
        last[pair] = arrival.sequence
        ids[arrival.subject, arrival.sequence].add(arrival.id)
        assert arrival.body == bytes(log[arrival.id]["body"])
        Webhook(endpoints[arrival.endpoint]["secret"]).verify(arrival.body, dict(arrival.headers))
    assert {len(found) for found in ids.values()} == {1}
    for event_id, told in log.items():
        event = JSONFormat().read(CloudEvent, bytes(told["body"]))
        assert (event.get_id(), event.get_subject()) == (event_id, told["invoice_id"])
    assert {each.sequence for each in shops.arrivals if each.endpoint == "failing" and each.id in stuck} == {1}
    assert system.errors() == []


def wait_until_taken(system, shops, name, but=0, seconds=DEADLINE_SECONDS):
    """Until an endpoint has every event there is, except ``but`` of them."""
    wanted = system.rows("SELECT count(*) AS n FROM event")[0]["n"] - but
    system.wait_until(lambda: len(shops.taken(name)) >= wanted, f"{name} has all {wanted} events", seconds)


@pytest.mark.engines
def test_a_slow_a_failing_and_a_stuck_one_hold_up_nobody_and_each_is_told_all_in_order(tmp_path):
    released = asyncio.Event()

    async def wait_for_the_healthy(_):
        await released.wait()
        return 204, True

    behaviours = {"healthy": take, "slow": wait_for_the_healthy, "failing": fail(one_of_two)}
    accounts = {"zeroxhost": {"poll_seconds": 0.3}}
    with Shops(behaviours) as shops, System(tmp_path, accounts=accounts) as system:
        endpoints = start(system, shops, "intake", "worker", "worker2")
        system.order(*(zeroxhost_order(name, "~pay:0.5~") for name in (STUCK, *(f"order-{n}" for n in range(30)))))
        system.wait_for_statuses(paid=31)

        wait_until_taken(system, shops, "healthy")
        assert shops.taken("slow") == set()  # not one of its answers was needed for that
        assert max(each.sequence for each in shops.arrivals if each.endpoint == "slow") == 1
        shops.call(released.set)
        wait_until_taken(system, shops, "slow")
        wait_until_taken(system, shops, "failing", but=2)
        check(system, shops, endpoints)
        (invoice_id,) = {each.subject for each in shops.arrivals if each.order_id == STUCK}
        unfinished = (
            "SELECT DISTINCT invoice_id FROM delivery WHERE state <> 'delivered'"  # answered is not yet committed
        )
        system.wait_until(
            lambda: [each["invoice_id"] for each in system.rows(unfinished)] == [invoice_id], "only the stuck one waits"
        )
        listed = {each["id"]: each for each in system.command("endpoints", "list", "--json")}
        assert listed[endpoints["failing"]["id"]]["waiting"] == 2
        assert {each["breaker"] for each in listed.values()} == {"closed"}


@pytest.mark.engines
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_500_invoices_at_a_healthy_a_slow_and_a_failing_shop_with_three_workers_one_of_them_killed(
    request, tmp_path, kind
):
    url = request.getfixturevalue("new_postgres_url") if kind == "postgresql" else None
    released = asyncio.Event()

    async def take_slowly(_):
        await asyncio.sleep(SLOW_SECONDS if released.is_set() else SLOWEST_SECONDS)
        return 204, True

    behaviours = {"healthy": take, "slow": take_slowly, "failing": fail(up_to_two)}
    workers = ("worker", "worker2", "worker3")
    with Shops(behaviours) as shops, System(tmp_path, database_url=url, accounts=ALL_PATIENT) as system:
        endpoints = start(system, shops, "intake", *workers, slow=("--max-in-flight", str(SLOW_CAP)))
        names = (STUCK, *(f"order-{n}" for n in range(499)))
        system.order(*(zeroxhost_order(name, "~confirm:1~pay:2~") for name in names))
        system.wait_for_statuses(paid=500)

        wait_until_taken(system, shops, "healthy")
        late = {name: len(shops.taken("healthy") - shops.taken(name)) for name in ("slow", "failing")}
        assert min(late.values()) > 0, late
        assert shops.most_at_once["slow"] <= SLOW_CAP * len(workers)
        system.kill("worker2")
        system.start("worker2")
        shops.call(released.set)
        wait_until_taken(system, shops, "slow", seconds=240)
        of_stuck = sum(told["envelope"]["data"]["order_id"].startswith(STUCK) for told in system.events())
        wait_until_taken(system, shops, "failing", but=of_stuck, seconds=240)

        assert shops.last("healthy") < min(shops.last("slow"), shops.last("failing"))
        assert any(each.tries for each in shops.arrivals if each.endpoint == "failing" and each.taken)
        check(system, shops, endpoints)
