"""A Nebulox payment from the callback to the shop's webhook: real processes, real HTTP, the sandbox as the provider."""

from __future__ import annotations

import json
import signal

import pytest

from tests.acceptance.system import System, nebulox_order, running
from tests.callbacks import nebulox_callback, post

ORDERS = 12


@pytest.fixture
def system(tmp_path, request):
    # Verify can't be reached at all under "renamed": whatever it turns out to be called, a payment becomes paid.
    renamed = {"verify": {"path": "/api/invoice/renamed"}, "callback_grace_minutes": "0.02"}
    accounts = {"nebulox": {"poll_seconds": 3600, **(renamed if request.param == "renamed" else {})}}
    with running(System(tmp_path, accounts=accounts), "intake", "worker", "web") as system:
        yield system


def call_back(system, order_id, status="COMPLETED", **fields):
    """What the provider would post about the invoice that it has made for this order."""
    (made,) = system.control(f"invoices?order_id={order_id}")["invoices"]
    told = {"trackingCode": made["number"], "amount": made["pay_amount"], **fields}
    body = nebulox_callback(order_id, status, **told)
    return post(f"{system.web_url()}/callbacks/nebulox", body), body


def pay(system, order_id):
    system.control("pay", {"provider": "nebulox", "order_id": order_id})


@pytest.mark.parametrize("system", ["verify", pytest.param("renamed", marks=pytest.mark.engines)], indirect=True)
def test_a_nebulox_payment_becomes_paid_whatever_verify_turns_out_to_be_called(system):
    orders = [f"paid-{n}" for n in range(ORDERS)]
    system.order(*(nebulox_order(order) for order in orders))
    system.wait_for_statuses("paid-", pending=ORDERS)
    for order in orders:
        pay(system, order)
        (status, _), body = call_back(system, order)
        assert status == 200
        assert post(f"{system.web_url()}/callbacks/nebulox", body)[0] == 200  # and once more: no news
    system.wait_for_statuses("paid-", paid=ORDERS)
    system.wait_until_told()
    system.check_history()
    system.check_told()
    assert system.received()["types"]["invoice.paid"] == ORDERS
    alone = system.rows("SELECT count(*) AS n FROM invoice WHERE reason LIKE '%stood alone%'")[0]["n"]
    assert alone == (0 if "renamed" not in json.dumps(system.accounts()) else ORDERS)
    assert system.creates().total() == ORDERS


@pytest.mark.engines
@pytest.mark.parametrize("system", ["verify"], indirect=True)
def test_a_callback_about_one_order_with_the_reference_of_another_pays_neither_and_is_told(system):
    system.order(nebulox_order("mine"), nebulox_order("theirs"))
    system.wait_for_statuses(pending=2)
    pay(system, "theirs")
    (theirs,) = system.control("invoices?order_id=theirs")["invoices"]
    body = nebulox_callback("mine", trackingCode=theirs["number"])
    assert post(f"{system.web_url()}/callbacks/nebulox", body)[0] == 200

    told = "SELECT contradicted FROM invoice WHERE order_id = 'mine'"
    system.wait_until(lambda: system.rows(told)[0]["contradicted"], "it is told as a contradiction")
    assert system.rows(told)[0]["contradicted"].split()[0] in {"reference", "order"}
    assert system.statuses() == {"pending": 2}


@pytest.mark.engines
@pytest.mark.parametrize("system", ["verify"], indirect=True)
def test_a_signed_callback_is_no_payment_until_the_provider_says_so_when_asked(system):
    system.order(nebulox_order("unpaid"))
    system.wait_for_statuses(pending=1)
    (status, _), _ = call_back(system, "unpaid", amount="0.01")
    assert status == 200
    # It was asked, has answered, and nothing is paid.
    system.wait_until(lambda: system.calls(operation="verify"), "the provider was asked")
    assert system.statuses() == {"pending": 1}
    pay(system, "unpaid")
    system.wait_for_statuses(paid=1)


@pytest.mark.engines
@pytest.mark.parametrize("system", ["verify"], indirect=True)
def test_a_web_process_that_is_killed_loses_no_callback_that_it_answered(system):
    orders = [f"killed-{n}" for n in range(ORDERS)]
    system.order(*(nebulox_order(order) for order in orders))
    system.wait_for_statuses("killed-", pending=ORDERS)
    system.kill("worker")
    for order in orders:
        pay(system, order)
        assert call_back(system, order)[0][0] == 200
    system.kill("web", signal.SIGKILL)
    system.start("worker")
    system.wait_for_statuses("killed-", paid=ORDERS)
    system.wait_until_told()
    system.check_told()


@pytest.mark.engines
@pytest.mark.parametrize("system", ["verify"], indirect=True)
def test_a_callback_for_an_order_that_nobody_knows_is_kept_and_matched_once_it_is_there(system):
    early = nebulox_callback("early-1", "COMPLETED", trackingCode=None)
    assert post(f"{system.web_url()}/callbacks/nebulox", early)[0] == 200
    system.wait_until(
        lambda: system.rows("SELECT id FROM callback WHERE state = 'unmatched'"), "it is kept as unmatched"
    )
    system.order(nebulox_order("early-1"))
    system.wait_for_statuses(paid=1)
    assert system.rows("SELECT state FROM callback") == [{"state": "matched"}]


@pytest.mark.engines
@pytest.mark.parametrize("system", ["verify"], indirect=True)
def test_whatever_is_odd_about_its_callbacks_a_paid_order_is_paid_once_and_an_unpaid_one_is_not(system):
    """The provider itself calls back: nobody polls here, so a payment is seen through callbacks or not at all."""
    assert system.control("callbacks", {"url": f"{system.web_url()}/callbacks/nebulox"})["sent"] == 0
    odd = "late=0.2", "twice", "reordered", "forged", "lost=1", "early", "old", "spelled", "wrong_amount", "wrong_coin"
    seen = [f"seen-{n}~underpay:0.2~pay:0.6~callback:{quirk}~" for n, quirk in enumerate(odd)]
    unseen = ["unseen-1~pay:0.2~callback:lost~", "unseen-2~pay:0.2~callback:forged_only~"]
    unpaid = ["unpaid-1~expire:0.2~callback:forged_only~", "unpaid-2~underpay:0.2~callback:forged~"]
    system.order(*(nebulox_order(order) for order in (*seen, *unseen, *unpaid)))
    system.wait_for_statuses("seen-", paid=len(seen))
    system.wait_for_statuses("unseen-", pending=2)
    system.wait_for_statuses("unpaid-", pending=1, partially_paid=1)
    system.wait_until(lambda: not system.control("callbacks")["waiting"], "all callbacks have arrived")
    system.wait_until_told()
    system.check_history()
    system.check_told()
    assert system.received()["types"]["invoice.paid"] == len(seen)
    told = system.control("callbacks")
    assert (told["answered"], told["forged_refused"]) == (told["sent"], told["forged"])
    kept = system.rows("SELECT digest FROM callback")
    assert {row["digest"] for row in kept} == {one["digest"] for one in told["callbacks"] if one["ended"] == "answered"}
