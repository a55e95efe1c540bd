"""An order's whole way, with the Procfile's processes: from a message of somebody else's to signed events."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks import Webhook

from domain.event import NAMED_ONLY
from tests.acceptance.shop import Shops, take
from tests.acceptance.system import PATIENT, System, nebulox_order, running, zeroxhost_order
from tests.brokers import BROKERS, WITH_USERS, embedded_and
from tests.engines import MissingEngineError, run_postgres
from tests.least_privilege import Logins, asked_for
from tests.pgbouncer import run_pgbouncer, set_role

pytestmark = pytest.mark.timeout(900)

EXACT = "0.1000000000000000055"


SQLITE, POOLED = (pytest.param(name, marks=pytest.mark.engines) for name in ("sqlite", "pgbouncer"))


@pytest.fixture
def pooled_url():
    """(through a pooler that hands out transactions, straight), the role set up as documented."""
    with contextlib.ExitStack() as stack:
        try:
            straight = stack.enter_context(run_postgres())
            set_role(straight)
            yield stack.enter_context(run_pgbouncer(straight)), straight
        except MissingEngineError as error:
            pytest.skip(str(error))


@pytest.fixture(params=[SQLITE, POOLED, *embedded_and(*BROKERS, *WITH_USERS)])
def system(request, tmp_path, brokers):
    """What `Procfile` names, on each broker with PostgreSQL, on SQLite, behind a pooler, with users of their own."""
    name, url, straight = request.param, None, None
    if name == "pgbouncer":
        url, straight = request.getfixturevalue("pooled_url")
    elif name != "sqlite":
        url = request.getfixturevalue("new_postgres_url")
    name = "embedded" if name in {"sqlite", "pgbouncer"} else name
    accounts = {"nebulox": {**PATIENT, "price_decimals": 19}, "zeroxhost": {**PATIENT, "poll_seconds": 0.3}}
    with brokers.open(name) as broker:
        logins = Logins(str(url)) if name in WITH_USERS else asked_for(straight, are_pooled=True)
        urls: dict[str, Any] = {"database_url": url, "direct_database_url": straight}
        system = System(tmp_path, **urls, accounts=accounts, broker=broker, logins=logins, cold=True)
        with running(system, "intake", "worker", "beat") as system:
            yield system


@pytest.fixture
def shop(system):
    """A second shop, whose webhooks are read with the official libraries: (what arrived, its secret)."""
    with Shops({"official": take}) as shops:
        (added,) = system.command("endpoints", "add", shops.url("official"), "--json")
        yield shops.arrivals, added["secret"]


def test_orders_of_both_providers_reach_every_end_and_the_shop_is_told_each_step_exactly(system, shop):
    number = json.dumps(nebulox_order("exact-number", price="PLACE")).replace('"PLACE"', EXACT)
    system.order(
        nebulox_order("expires", lifetime_minutes="0.03", metadata={"cart": [1, "ä"]}),
        nebulox_order("exact-text", price="12.50"),
        number,
        nebulox_order("refused~fault:refused~"),
        zeroxhost_order("paid", "~pay:1~"),
        zeroxhost_order("confirmed", "~confirm:1~pay:2~"),
        zeroxhost_order("ran-out", "~lifetime:3~"),
        zeroxhost_order("refuse-this-user"),
    )
    system.publish("invoices.create_many", {"orders": [zeroxhost_order("many"), nebulox_order("bad", price="-1")]})
    for name in ("exact-text", "exact-number", "many"):
        system.wait_for_statuses(name, pending=1)
    for name in ("exact-text", "exact-number"):
        system.publish("invoices.cancel", {"account": "nebulox", "order_id": name, "reason": "no more"})
    system.publish("invoices.cancel", {"account": "zeroxhost", "order_id": "many"})

    system.wait_for_statuses(paid=2, expired=2, failed=2, cancelled=3)
    system.wait_until_told()

    found = system.invoices()
    assert {name: row["status"] for name, row in found.items()} == {
        "expires": "expired",
        "exact-text": "cancelled",
        "exact-number": "cancelled",
        "refused~fault:refused~": "failed",
        "paid": "paid",
        "confirmed": "paid",
        "ran-out": "expired",
        "refuse-this-user": "failed",
        "many": "cancelled",
    }
    (rejected,) = system.command("rejected", "--json")
    assert rejected["reason"].startswith("price: ")
    assert found["exact-text"]["reason"] == "no more"
    system.check_history()
    system.check_told()
    check_amounts(system)
    check_with_official_libraries(system, *shop)
    assert max(system.creates().values()) == 1
    assert len(system.stream()) == len(system.events())  # nothing failed: nothing was told twice
    assert system.received()["duplicates"] == 0
    assert system.errors() == []
    publisher = "SELECT due_at, lease_token FROM agenda WHERE stage = 'publish'"
    system.wait_until(lambda: [row["lease_token"] for row in system.rows(publisher)] == [None], "nobody publishes")
    before = system.rows(publisher)
    system.holds(lambda: system.rows(publisher) == before, "with nothing to tell the publisher rests", 1.5)


def check_with_official_libraries(system, arrivals, secret):
    """Standard Webhooks takes every webhook, CloudEvents reads every envelope."""
    log = {told["id"]: told["type"] for told in system.events() if told["type"] not in NAMED_ONLY}
    system.wait_until(lambda: len(arrivals) >= len(log), "the second shop is told everything")
    for arrival in arrivals:
        Webhook(secret).verify(arrival.body, dict(arrival.headers))
    events = [JSONFormat().read(CloudEvent, arrival.body) for arrival in arrivals]
    assert {event.get_id(): event.get_type() for event in events} == log
    assert {arrival.id for arrival in arrivals} == set(log)


def check_amounts(system):
    """What the shop wrote, and what the provider wrote, is what everybody is told, digit for digit."""
    of_orders = [entry["envelope"]["data"] for entry in system.events() if entry["type"] not in NAMED_ONLY]
    told = {data["order_id"]: data for data in of_orders}
    assert (told["exact-text"]["price"], told["exact-number"]["price"]) == ("12.50", EXACT)
    assert told["expires"]["metadata"] == {"cart": [1, "ä"]}
    made = {each["order_id"]: each for each in system.control("invoices?limit=0")["invoices"]}
    assert made["exact-number"]["request"]["price"] == Decimal(EXACT)
    for name in ("paid", "many"):
        (shown,) = system.command("show", name, "--json")
        theirs = next(each for order_id, each in made.items() if order_id.partition("~")[0] == name)
        assert shown["pay_amount"] == format(Decimal(theirs["pay_amount"]), "f")
        assert shown["status"] == system.invoices()[name]["status"]
