"""A provider that only the tests know goes the whole way: settings, create, callback, look-up, paid.

Nothing but its adapter and its line in the registry, its stand-in and its line in the sandbox: that is what a new
provider takes (deploy/decisions/README.md).
"""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from contextlib import contextmanager
from typing import cast

import fakeredis
import pytest
import uvicorn

from config.settings import load_settings
from domain.looks import Look, lane_of
from domain.order import parse_order
from tests.contracts.made_up import NAME, MadeUp, MadeUpStandIn
from tests.contracts.sandbox_client import control, wait_until
from tests.contracts.sandbox_thread import serve_sandbox
from tests.contracts.store_cases import events_of, evidence_of, invoice_of, rows, take
from workers.bootstrap import check_accounts, policies
from workers.cli.demo.orders import mix
from workers.coordination.rate_limit import RateLimit
from workers.embedded.sandbox.application import Options
from workers.embedded.sandbox.providers.registry import STAND_INS
from workers.embedded.sandbox.stand_in import StandIn
from workers.providers import registry
from workers.providers.call import Call, open_client
from workers.queue.fault_points import STEPS
from workers.stages import ProviderStages
from workers.stages.callbacks import callbacks
from workers.store.store import Store
from workers.store.tables import CALLBACK
from workers.web.application import Surroundings, build_application
from workers.web.callbacks import CallbackDesk
from workers.web.forged import ForgedSample
from workers.web.health import Health
from workers.web.metrics import Metrics
from workers.web.shelf import Shelf
from workers.web.threads import StoreThreads

KEY = f"sandbox-{NAME}-key"


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Its line in the registry; the settings know a provider by its folder, which this one has not."""
    monkeypatch.setitem(registry.PROVIDERS, NAME, MadeUp)
    monkeypatch.setattr("config.accounts.PROVIDERS", tuple(registry.PROVIDERS))


def settings_for(url, tmp_path):
    account = {"provider": NAME, "base_url": f"{url}/{NAME}", "api_key": KEY}
    return load_settings({"INVOICES_HOME": str(tmp_path), "INVOICES_ACCOUNTS": json.dumps({"shop": account})})


@contextmanager
def serving_callbacks(store, accounts, providers):
    """The web process's application on a port of its own."""
    no_shelf, forged = cast("Shelf", None), ForgedSample(lambda _: None)
    desk = CallbackDesk(accounts, providers, store.keep_callbacks, no_shelf, StoreThreads(), Metrics("1"), forged)
    health = Health(StoreThreads(), lambda: None, lambda: None)
    application = build_application(Surroundings((), (), (), None), health, Metrics("1"), desk.routes())
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, name="web")
    thread.start()
    try:
        wait_until(lambda: server.started, seconds=60)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/callbacks/shop"
    finally:
        server.should_exit = True
        thread.join()


async def run_stage(work, lane="shop"):
    """Claim what is due, perform it, commit it: how many there were."""
    items = list(work.claim(lane, 10))
    for start in range(0, len(items), work.batching.group):
        group = items[start : start + work.batching.group]
        work.commit(group if work.perform is None else await work.perform(lane, group))
    return len(items)


def test_an_order_is_made_called_back_looked_up_and_paid(database, tmp_path):
    with serve_sandbox(Options(), [MadeUpStandIn]) as sandbox:
        settings = settings_for(sandbox.url, tmp_path)
        check_accounts(settings)
        store = Store(database, policies(settings), lambda _: None)

        async def story():
            client = open_client(10)
            try:
                providers = registry.build_providers(Call(client))
                rate = RateLimit(fakeredis.FakeAsyncRedis(), {})
                create, check = ProviderStages(store, settings.accounts, providers, rate).works()
                with serving_callbacks(store, settings.accounts, providers) as url:
                    assert await asyncio.to_thread(control, sandbox, "callbacks", {"url": url})
                    assert await run_stage(create) == 1
                    assert invoice_of(database, invoice_id).status == "pending"
                    assert await asyncio.to_thread(control, sandbox, "pay", {"provider": NAME, "order_id": "o-1"})
                    await asyncio.to_thread(wait_until, lambda: rows(database, CALLBACK), 60)
                assert await run_stage(callbacks(store, settings.accounts, providers)) == 1
                assert invoice_of(database, invoice_id).status == "pending"  # a word, and a doorbell
                assert await run_stage(check, lane_of("shop", Look.CALLED)) == 1
            finally:
                await client.aclose()

        order = parse_order({"account": "shop", "order_id": "o-1", "price": "10.50", "currency": "EUR"})
        (invoice_id,) = take(store, order)
        asyncio.run(story())
    assert invoice_of(database, invoice_id).status == "paid"
    assert [row.type for row in events_of(database, invoice_id)] == ["invoice.pending", "invoice.paid"]
    assert [(row.kind, row.source) for row in evidence_of(database, invoice_id)] == [
        ("Created", "create"),
        ("CalledBack", "callback"),
        ("Seen", "look-up"),
    ]


def test_a_forged_callback_of_it_is_refused(database, tmp_path):
    with serve_sandbox(Options(), [MadeUpStandIn]) as sandbox:
        settings = settings_for(sandbox.url, tmp_path)
        store = Store(database, policies(settings), lambda _: None)
        providers = {NAME: MadeUp(Call(open_client(1)))}
        with serving_callbacks(store, settings.accounts, providers) as url:
            control(sandbox, "callbacks", {"url": url})
            order = json.dumps({"order": "o-2~pay:0~callback:forged_only~", "price": "3"}).encode()
            headers = {"x-key": KEY, "content-type": "application/json"}
            request = urllib.request.Request(f"{sandbox.url}/{NAME}/invoices", order, headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert answer.status == 201
            told = wait_until(lambda: ended(control(sandbox, "callbacks")[1]), seconds=60)
    assert (told["forged_refused"], told["sent"]) == (1, 0)
    assert rows(database, CALLBACK) == []


def ended(told):
    return told if told["forged"] and not told["waiting"] else None


def test_the_settings_the_fault_points_and_the_demo_know_it_by_its_lines(tmp_path):
    settings = load_settings({"INVOICES_HOME": str(tmp_path)})
    assert settings.accounts[NAME].base_url.endswith(f"/{NAME}")
    for step, method in (("create.call", "create"), ("check.call", "look_up")):
        assert f"tests.contracts.made_up:MadeUp.{method}" in STEPS[step].paths()
    mixed = mix((*STAND_INS, MadeUpStandIn))
    assert sum(stand_in is MadeUpStandIn for stand_in, _ in mixed) == 2


def test_the_sandbox_serves_and_controls_it_by_its_line(tmp_path):
    with serve_sandbox(Options(callback_urls=["http://127.0.0.1:9/nowhere"]), [MadeUpStandIn]) as sandbox:
        assert control(sandbox, "invoices")[1]["created"] == {NAME: {}}
        rule = {"provider": NAME, "operation": "look_up", "fault": "status"}
        assert control(sandbox, "faults", rule)[0] == 200
        assert control(sandbox, "faults", rule | {"provider": "nebulox"})[0] == 400
        assert control(sandbox, "callbacks")[1]["urls"] == {NAME: "http://127.0.0.1:9/nowhere"}
        assert control(sandbox, "lifetime", {"seconds": 5})[1] == {NAME: 5}


def test_where_several_call_back_the_one_that_is_meant_has_to_be_named():
    kinds: tuple[type[StandIn], ...] = (*STAND_INS, MadeUpStandIn)
    options = Options(callback_urls=[f"{NAME}=http://127.0.0.1:9/made-up"])
    with serve_sandbox(options, kinds) as sandbox:
        assert control(sandbox, "callbacks")[1]["urls"] == {"nebulox": None, NAME: "http://127.0.0.1:9/made-up"}
        status, said = control(sandbox, "callbacks", {"url": "http://127.0.0.1:9/x"})
        assert (status, said) == (400, {"error": "provider: is required"})
        named = {"provider": "nebulox", "url": "http://127.0.0.1:9/x"}
        assert control(sandbox, "callbacks", named)[1]["url"] == "http://127.0.0.1:9/x"
