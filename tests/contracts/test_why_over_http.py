"""Why nothing happens, over HTTP: what the command line says, of what the token sees."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from domain.permissions import Scope
from tests.contracts import why_cases
from tests.contracts.store_cases import ACCOUNT, SILENT_ACCOUNT, queue
from tests.contracts.why_cases import Ground


@pytest.fixture
def ground(service):
    ground = Ground(service.store.database, service.store)
    ground.beat("intake", "worker", "web")
    return ground


@pytest.fixture
def ask(service):
    def ask(invoice_id, **how):
        return asyncio.run(service.ask("GET", f"/v1/invoices/{invoice_id}/why", **how))

    return ask


def test_it_is_the_cause_with_what_comes_next_and_the_command(ground, ask):
    invoice = why_cases.key_refused(ground)
    answered = ask(invoice)
    assert answered.status_code == 200
    said = answered.json()
    assert list(said) == ["cause", "text", "since", "next_at", "next", "command"]
    assert (said["cause"], said["command"]) == ("key_refused", "invoices doctor")
    assert said["since"] < said["next_at"]


def test_an_invoice_that_is_unknown_or_another_s_is_not_there(service, ground, ask):
    token = service.add_token(Scope.READ, accounts=[ACCOUNT])
    theirs = queue(service.store, SILENT_ACCOUNT)
    assert ask(theirs).status_code == 200
    assert ask(theirs, token=token).status_code == 404
    assert ask(f"inv_{'0' * 32}").status_code == 404


def test_a_limited_token_is_not_told_of_others_endpoints(service, ground, ask):
    invoice = why_cases.webhook_waits(ground)
    token = service.add_token(Scope.READ, accounts=[ACCOUNT])
    assert ask(invoice).json()["cause"] == "webhook_waits"
    assert ask(invoice, token=token).json()["cause"] == "confirming"


def test_orders_wait_for_workers_that_are_gone(ground, ask):
    invoice = queue(ground.store)
    ground.lose("worker", timedelta(minutes=7))
    assert ask(invoice).json()["cause"] == "no_worker"
