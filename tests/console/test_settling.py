"""What a person settles by hand, by requests."""

from __future__ import annotations

import json

import pytest

from domain.status import Status
from tests.console.scene import MARKUP, OPERATOR
from tests.contracts.store_cases import invoice_of, rows
from workers.store.operate.invoices import Mark, mark
from workers.store.reads.acts import act_fields, list_acts
from workers.store.tables import CALLBACK, REJECTED

MAY, MAY_NOT = ["operator", "admin"], ["viewer", "finance"]
PAGES = ["doubts", "rejected", "unmatched", "contradictions"]


def newest_act(scene):
    return act_fields(next(iter(list_acts(scene.database, limit=1))))


def acts(scene):
    return len(list(list_acts(scene.database, limit=0)))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("role", MAY_NOT)
def test_who_may_not_settle_sees_what_there_is_and_no_form(ground, page, role):
    answered = ground.get(f"/console/{page}", role=role)

    assert answered.status_code == 200
    assert f'action="/console/{page}' not in answered.text


@pytest.mark.parametrize("page", PAGES)
def test_what_senders_and_providers_wrote_is_text(ground, scene, page):
    shown = ground.get(f"/console/{page}").text
    if page in {"rejected", "unmatched"}:
        shown += ground.get(f"/console/{page}/{scene.callback if page == 'unmatched' else 1}").text
        assert "&lt;img" in shown
    assert MARKUP not in shown
    assert "<img src=x" not in shown


@pytest.mark.parametrize("role", MAY)
def test_an_invoice_in_doubt_is_created_again(ground, scene, role):
    invoice_id = scene.ids["dpkg-48229"]
    shown = ground.get("/console/doubts", role=role).text
    assert "a person decides" in shown
    assert f'value="{invoice_id}"' in shown

    fields = {"only": invoice_id, "ids": invoice_id, "reason": "the provider has none"}
    answered = ground.post("/console/doubts/create-again", fields, role=role)

    assert answered.headers["location"] == "/console/doubts?again=1&left=0"
    assert "Created again: 1." in ground.get(answered.headers["location"]).text
    act = newest_act(scene)
    assert (act["act"], act["reason"], act["origin"]) == (
        "invoice.create_again",
        "the provider has none",
        "console 10.4.2.17",
    )
    ids = f"{invoice_id} {scene.ids['dpkg-48231']}"
    again = ground.post("/console/doubts/create-again", {"ids": ids, "reason": "all of them"}, role=role)
    assert again.headers["location"].endswith("left=1") or again.headers["location"].endswith("left=2")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"only": "inv_none", "reason": "why"}, 404),
        ({"only": "", "ids": "", "reason": "why"}, 422),
        ({"only": "ID", "reason": ""}, 422),
        ({"only": "ID", "reason": "why", "also": "x"}, 400),
    ],
)
def test_what_can_not_be_created_again_changes_nothing(ground, scene, fields, status):
    fields = {name: value.replace("ID", scene.ids["dpkg-48229"]) for name, value in fields.items()}
    before = acts(scene)

    assert ground.post("/console/doubts/create-again", fields).status_code == status
    assert acts(scene) == before


@pytest.mark.parametrize("role", MAY)
def test_a_rejected_message_is_sent_again_as_it_came(ground, scene, role):
    assert "price: must be greater than 0" in ground.get("/console/rejected").text
    assert "Only its beginning was kept" in ground.get("/console/rejected").text

    answered = ground.post("/console/rejected/send-again", {"only": "1", "reason": "the rule was wrong"}, role=role)

    assert answered.headers["location"] == "/console/rejected?sent=1&left=0"
    ((task, text),) = ground.outside.sent
    assert (task, json.loads(text)["order_id"]) == ("invoices.create", "dpkg-48240")
    assert rows(scene.database, REJECTED)[0].redriven_at is not None
    assert newest_act(scene)["reason"] == "the rule was wrong"
    assert "price: must be greater" not in ground.get("/console/rejected").text
    assert "price: must be greater" in ground.get("/console/rejected?all=1").text


def test_while_the_broker_is_away_a_message_stays_where_it_is(ground, scene):
    ground.outside.broker_away = True
    answered = ground.post("/console/rejected/send-again", {"only": "1", "reason": "the rule was wrong"})

    assert answered.status_code == 503
    assert "nothing is lost" in answered.text
    assert "the rule was wrong" in answered.text
    assert rows(scene.database, REJECTED)[0].redriven_at is None


def test_one_that_can_not_be_sent_again_is_left(ground, scene):
    answered = ground.post("/console/rejected/send-again", {"ids": "1 2", "reason": "why"})

    assert answered.headers["location"] == "/console/rejected?sent=1&left=1"
    assert len(ground.outside.sent) == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"only": "99", "reason": "why"}, 404),
        ({"only": "x", "reason": "why"}, 422),
        ({"only": "1", "reason": " "}, 422),
    ],
)
def test_messages_that_are_not_there_send_nothing(ground, fields, status):
    assert ground.post("/console/rejected/send-again", fields).status_code == status
    assert ground.outside.sent == []


def test_who_sees_one_account_sees_messages_that_name_it(ground):
    assert "dpkg-48240" in ground.get("/console/rejected", accounts="zeroxhost").text
    assert "dpkg-48240" not in ground.get("/console/rejected", accounts="nebulox").text
    assert ground.get("/console/rejected/1", accounts="nebulox").status_code == 404
    assert ground.get("/console/rejected/2", accounts="zeroxhost").status_code == 404
    sent = ground.post("/console/rejected/send-again", {"only": "1", "reason": "why"}, accounts="nebulox")
    assert sent.status_code == 404
    assert ground.outside.sent == []


@pytest.mark.parametrize("role", MAY)
def test_a_callback_is_linked_to_an_invoice_by_its_order(ground, scene, role):
    fields = {"invoice": "dpkg-48231", "reason": "the shop says so"}
    answered = ground.post(f"/console/unmatched/{scene.callback}/link", fields, role=role)

    assert answered.headers["location"] == "/console/unmatched?done=linked"
    row = rows(scene.database, CALLBACK, CALLBACK.c.id == scene.callback)[0]
    assert (row.state, row.invoice_id) == ("new", scene.ids["dpkg-48231"])
    assert newest_act(scene)["act"] == "callback.link"
    assert "Every callback belongs" in ground.get(answered.headers["location"]).text
    assert ground.post(f"/console/unmatched/{scene.callback}/link", fields, role=role).status_code == 404


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"invoice": "", "reason": "why"}, "Name the invoice"),
        ({"invoice": "no-such", "reason": "why"}, "There is no such invoice"),
        ({"invoice": "dpkg-48230", "reason": "why"}, "There is no such invoice"),
        ({"invoice": "dpkg-48231", "reason": ""}, "Say why"),
    ],
)
def test_a_link_that_can_not_be_says_why_and_keeps_what_was_typed(ground, scene, fields, said):
    answered = ground.post(f"/console/unmatched/{scene.callback}/link", fields)

    assert answered.status_code == 422
    assert said in answered.text
    assert f'value="{fields["invoice"]}"' in answered.text
    assert rows(scene.database, CALLBACK, CALLBACK.c.id == scene.callback)[0].state == "unmatched"


def test_a_callback_is_dismissed(ground, scene):
    assert ground.post(f"/console/unmatched/{scene.callback}/dismiss", {"reason": ""}).status_code == 422
    answered = ground.post(f"/console/unmatched/{scene.callback}/dismiss", {"reason": "a test of theirs"})

    assert answered.headers["location"] == "/console/unmatched?done=dismissed"
    assert rows(scene.database, CALLBACK, CALLBACK.c.id == scene.callback)[0].state == "dismissed"
    assert newest_act(scene)["reason"] == "a test of theirs"


@pytest.mark.parametrize("act", ["link", "dismiss"])
@pytest.mark.parametrize(
    ("role", "accounts", "status"), [("viewer", None, 403), ("finance", None, 403), ("admin", "nebulox", 404)]
)
def test_who_may_not_settles_no_callback(ground, scene, act, role, accounts, status):
    fields = {"reason": "why"} | ({"invoice": "dpkg-48231"} if act == "link" else {})
    place = f"/console/unmatched/{scene.callback}/{act}"

    assert ground.post(place, fields, role=role, accounts=accounts).status_code == status
    assert rows(scene.database, CALLBACK, CALLBACK.c.id == scene.callback)[0].state == "unmatched"


def test_another_accounts_callback_is_as_one_that_is_not_there(ground, scene):
    for number in (scene.callback, 999, "x", "1e5"):
        assert ground.get(f"/console/unmatched/{number}", accounts="nebulox").status_code == 404


def test_a_contradiction_leads_to_its_invoice_and_a_mark_settles_it(ground, scene):
    invoice_id = scene.ids["dpkg-48225"]
    shown = ground.get("/console/contradictions").text
    assert "the provider says expired, and it is paid" in shown
    assert f"/console/invoices/{invoice_id}#actions" in shown
    assert "#actions" not in ground.get("/console/contradictions", role="operator").text
    assert "dpkg-48225" not in ground.get("/console/contradictions", accounts="nebulox").text

    mark(scene.store, OPERATOR, invoice_id, Mark(Status.PAID))

    assert "Nothing contradicts anything" in ground.get("/console/contradictions").text
    assert "marked" in ground.get("/console/contradictions?all=1").text
    assert invoice_of(scene.database, invoice_id).status == "paid"


@pytest.mark.parametrize("page", PAGES)
def test_an_address_of_a_page_that_somebody_made_up_does_no_harm(ground, page):
    assert ground.get(f"/console/{page}?before=zzz").status_code == 200
    assert ground.get(f"/console/{page}?befroe=1").status_code == 400
