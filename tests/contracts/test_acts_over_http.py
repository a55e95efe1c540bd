"""Cancel, mark and recheck over HTTP: under the invoice's lock, by a token's name, and only where it is expected."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from domain.permissions import Scope
from tests.contracts.operator_cases import told
from tests.contracts.store_cases import agenda_of, events_of, evidence_of, invoice_of, judge, queue, seen
from workers.store.reads.contradictions import list_contradictions

WHY = {"reason": "the shop asked for it"}


@pytest.fixture
def post(service):
    def ask(invoice_id, act, body=WHY, **how):
        return asyncio.run(service.ask("POST", f"/v1/invoices/{invoice_id}/{act}", json=body, **how))

    return ask


def acts(service):
    """What was done with invoices."""
    return [act for act in told(service.store) if act["invoice_id"]]


def test_a_cancelled_one_is_answered_and_written_down_with_the_token_s_name(service, post):
    invoice_id = queue(service.store)
    answered = post(invoice_id, "cancel")

    assert (answered.status_code, answered.json()["status"], answered.json()["reason"]) == (
        200,
        "cancelled",
        WHY["reason"],
    )
    assert answered.headers["etag"] == '"1"'
    (act,) = acts(service)
    assert (act["by"], act["act"], act["reason"]) == ("a service", "invoice.cancel", WHY["reason"])
    assert act["origin"].startswith("api tok_")
    assert service.token.partition(".")[2] not in str(act)


def test_cancelling_again_is_well_and_another_end_is_409(service, post):
    one, other = queue(service.store), queue(service.store)
    post(one, "cancel")
    post(other, "mark", WHY | {"status": "paid"})

    assert post(one, "cancel").status_code == 200
    refused = post(other, "cancel")
    assert (refused.status_code, refused.json()["detail"]) == (409, "it is paid")


def test_a_mark_says_what_was_paid(service, post):
    invoice_id = queue(service.store)
    service.pend(invoice_id)
    answered = post(invoice_id, "mark", WHY | {"status": "paid", "amount": "0.0358619204"})

    assert (answered.status_code, answered.json()["status"]) == (200, "paid")
    assert answered.json()["paid_amount"] == "0.0358619204"


def test_a_second_mark_with_another_amount_is_409_and_kept_as_a_contradiction(service, post):
    invoice_id = queue(service.store)
    service.pend(invoice_id)

    def mark(status, **amount):
        answered = post(invoice_id, "mark", WHY | {"status": status} | amount)
        return answered.status_code, answered.json().get("detail")

    assert [mark("paid", amount=amount)[0] for amount in ("10", "10.00")] == [200, 200]
    assert mark("paid", amount="9") == (409, "it is paid already, with 10, and a mark changes no amount")
    assert mark("paid")[0] == 200, "without an amount it confirms what is known"
    (found,) = list_contradictions(service.store.database)
    assert found.note == "mark: marked as paid with 9 by a service, and it is paid with 10"
    assert found.settled
    assert invoice_of(service.store.database, invoice_id).paid_amount == 10
    assert [mark("refunded", amount=amount)[0] for amount in ("4", "4.0")] == [200, 200]
    assert mark("refunded", amount="5") == (409, "it is refunded already, and a mark changes no amount")
    assert mark("refunded")[0] == 200


def test_an_amount_that_nobody_told_is_added_by_no_second_mark(service, post):
    invoice_id = queue(service.store)
    service.pend(invoice_id)
    assert post(invoice_id, "mark", WHY | {"status": "paid"}).status_code == 200
    refused = post(invoice_id, "mark", WHY | {"status": "paid", "amount": "9"})
    words = "it is paid already, no amount is known, and a mark changes no amount"
    assert (refused.status_code, refused.json()["detail"]) == (409, words)
    assert list(list_contradictions(service.store.database)) == []


def test_an_expired_one_stays_so_where_nothing_has_moved_since(service, post):
    invoice_id, database = queue(service.store), service.store.database
    service.pend(invoice_id)
    body = WHY | {"status": "expired"}
    refused = post(invoice_id, "mark", body)
    assert (refused.status_code, refused.json()["detail"]) == (409, "it is pending")
    judge(service.store, invoice_id, seen("expired"))
    tag = post(invoice_id, "mark", body).headers["etag"]  # nothing is against it: it is confirmed
    judge(service.store, invoice_id, seen("partially_paid", paid_amount=Decimal(1)))
    assert post(invoice_id, "mark", body, headers={"if-match": tag}).status_code == 412
    assert [row.settled for row in list_contradictions(database)] == [False]

    for _ in range(2):
        answered = post(invoice_id, "mark", body)
        assert (answered.status_code, answered.json()["status"], answered.json()["reason"]) == (
            200,
            "expired",
            invoice_of(database, invoice_id).reason,
        )
    assert [row.settled for row in list_contradictions(database)] == [True]
    for status in ("failed", "cancelled", "refunded"):
        refused = post(invoice_id, "mark", WHY | {"status": status})
        assert (refused.status_code, refused.json()["detail"]) == (409, "it is expired")


def test_one_that_a_look_up_pays_meanwhile_is_not_called_expired(service, post):
    invoice_id = queue(service.store)
    service.pend(invoice_id)
    judge(service.store, invoice_id, seen("expired"))
    tag = f'"{invoice_of(service.store.database, invoice_id).sequence}"'
    judge(service.store, invoice_id, seen("paid"))

    body = WHY | {"status": "expired"}
    assert post(invoice_id, "mark", body, headers={"if-match": tag}).status_code == 412
    refused = post(invoice_id, "mark", body)
    assert (refused.status_code, refused.json()["detail"]) == (409, "it is paid")
    (found,) = list_contradictions(service.store.database)
    assert (found.note, found.settled) == ("mark: marked as expired by a service, and it is paid", False)


def test_a_recheck_is_queued(service, post):
    invoice_id = queue(service.store)
    assert post(invoice_id, "recheck").status_code == 409  # not made yet: nobody to ask
    service.pend(invoice_id)

    assert post(invoice_id, "recheck").status_code == 200
    assert "check" in agenda_of(service.store.database, invoice_id)


def test_if_match_holds_under_the_lock(service, post):
    invoice_id = queue(service.store)
    service.pend(invoice_id)
    before = evidence_of(service.store.database, invoice_id)
    for stale in ('"0"', '"0", "7"', 'W/"1"', '"x"', '"99999999999999999999"'):
        answered = post(invoice_id, "cancel", headers={"if-match": stale})
        assert (answered.status_code, answered.headers["etag"]) == (412, '"1"'), stale

    assert invoice_of(service.store.database, invoice_id).status == "pending"
    assert [act["act"] for act in acts(service)] == []
    assert evidence_of(service.store.database, invoice_id) == before
    assert len(events_of(service.store.database, invoice_id)) == 1
    assert post(invoice_id, "cancel", headers={"if-match": '"0", "1"'}).status_code == 200
    assert post(queue(service.store), "cancel", headers={"if-match": "*"}).status_code == 200


def test_of_two_that_saw_the_same_one_does_it(service):
    """Both pass any look before the lock; under it only one finds what it saw."""
    invoice_id = queue(service.store)
    service.pend(invoice_id)

    async def both():
        path, headers = f"/v1/invoices/{invoice_id}", {"if-match": '"1"'}
        mark, cancel = WHY | {"status": "paid"}, WHY
        return await asyncio.gather(
            service.ask("POST", f"{path}/mark", json=mark, headers=headers),
            service.ask("POST", f"{path}/cancel", json=cancel, headers=headers),
        )

    assert sorted(one.status_code for one in asyncio.run(both())) == [200, 412]
    assert len(events_of(service.store.database, invoice_id)) == 2


@pytest.mark.parametrize(
    ("act", "body", "pointer"),
    [
        ("cancel", {}, "#/reason"),
        ("cancel", {"reason": ""}, "#/reason"),
        ("cancel", {"reason": "x" * 501}, "#/reason"),
        ("cancel", WHY | {"colour": 1}, "#/colour"),
        ("recheck", [], "#"),
        ("mark", WHY, "#/status"),
        ("mark", WHY | {"status": "pending"}, "#/status"),
        ("mark", WHY | {"status": "paid", "amount": -1}, "#/amount"),
        ("mark", WHY | {"status": "failed", "amount": 1}, "#/amount"),
        ("mark", WHY | {"status": "expired", "amount": 1}, "#/amount"),
    ],
)
def test_what_can_not_be_used_is_422_with_a_pointer(service, post, act, body, pointer):
    answered = post(queue(service.store), act, body)

    assert (answered.status_code, [one["pointer"] for one in answered.json()["errors"]]) == (422, [pointer])


def test_who_may_do_what(service, post):
    tokens = {scope: service.add_token(scope) for scope in Scope}
    allowed = {"cancel": {"orders", "operate", "admin"}, "recheck": {"operate", "admin"}, "mark": {"admin"}}
    for act, scopes in allowed.items():
        for scope, token in tokens.items():
            body = WHY | ({"status": "paid"} if act == "mark" else {})
            status = post(queue(service.store), act, body, token=token).status_code
            assert (status != 403) == (scope.value in scopes), (act, scope, status)


def test_others_invoices_are_not_there(service, post):
    token = service.add_token(Scope.ADMIN, accounts=["nebulox"])

    assert post(queue(service.store, "zeroxhost"), "cancel", token=token).status_code == 404
    assert post("inv_" + "0" * 32, "cancel").status_code == 404
