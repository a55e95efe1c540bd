"""What a person does with an invoice from its page: each act by each role, where it is possible and where it is not."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from domain.status import Status
from tests.console.receivers import FAILING, HEALTHY, SWITCHED_OFF
from tests.contracts.store_cases import agenda_of, deliveries_of, invoice_of, judge, rows, seen
from workers.store.reads.contradictions import list_contradictions
from workers.store.tables import ACT

MAY = {
    "recheck": {"operator", "admin"},
    "cancel": {"operator", "admin"},
    "mark": {"finance", "admin"},
    "create-again": {"operator", "admin"},
    "replay": {"operator", "admin"},
}
PENDING, DOUBTFUL, PAID, FAILED, EXPIRED = "dpkg-48231", "dpkg-48229", "dpkg-48225", "dpkg-48215", "dpkg-48190"


def send(ground, order_id, act, fields=None, **options):
    return ground.post(f"/console/invoices/{ground.scene.ids[order_id]}/{act}", fields or {"reason": ""}, **options)


def status_of(ground, order_id):
    return invoice_of(ground.scene.database, ground.scene.ids[order_id]).status


def newest_act(ground):
    return rows(ground.scene.database, ACT)[-1]


def fields_for(ground, act):
    given = {"reason": "Ticket 8841"}
    if act == "mark":
        given["status"] = "paid"
    if act == "replay":
        given |= {"endpoint": ground.scene.receivers[HEALTHY], "which": "newest"}
    return given


# ------------------------------------------------------------ by role


@pytest.mark.parametrize("role", ["viewer", "operator", "finance", "admin"])
@pytest.mark.parametrize("act", MAY)
def test_an_act_is_done_by_the_roles_that_may_and_refused_to_the_others(ground, act, role):
    target = DOUBTFUL if act == "create-again" else PENDING
    acts_before = len(rows(ground.scene.database, ACT))

    answered = send(ground, target, act, fields_for(ground, act), role=role)

    if role in MAY[act]:
        assert answered.status_code == 303, answered.text[-2000:]
        did = newest_act(ground)
        assert (did.by, did.origin, did.reason) == ("j.brandt", "console 10.4.2.17", "Ticket 8841")
        assert did.invoice_id == ground.scene.ids[target]
        assert "said" in ground.get(answered.headers["location"]).text
    else:
        assert answered.status_code == 403
        assert len(rows(ground.scene.database, ACT)) == acts_before


@pytest.mark.parametrize("act", MAY)
def test_another_accounts_invoice_is_no_invoice_to_an_act_either(ground, act):
    answered = send(ground, PENDING, act, fields_for(ground, act), accounts="nebulox")

    assert answered.status_code == 404
    assert status_of(ground, PENDING) == Status.PENDING


@pytest.mark.parametrize("act", MAY)
def test_what_another_sites_page_sends_is_refused(ground, act):
    answered = send(ground, PENDING, act, fields_for(ground, act), headers={"sec-fetch-site": "cross-site"})

    assert answered.status_code == 403
    assert status_of(ground, PENDING) == Status.PENDING


@pytest.mark.parametrize("act", MAY)
def test_an_act_can_not_be_asked_for_by_a_link(ground, act):
    assert ground.get(f"/console/invoices/{ground.scene.ids[PENDING]}/{act}").status_code in {404, 405}


# ------------------------------------------------------------ what each does


def test_a_cancellation_tells_its_reason_in_the_event_and_the_page_says_so(ground):
    answered = send(ground, PENDING, "cancel", {"reason": "The customer gave up"})

    assert answered.headers["location"].endswith("?done=cancelled")
    row = invoice_of(ground.scene.database, ground.scene.ids[PENDING])
    assert (row.status, row.reason) == ("cancelled", "The customer gave up")
    assert "The invoice is cancelled." in ground.get(answered.headers["location"]).text


def test_a_cancellation_without_a_reason_has_the_one_of_the_command_line(ground):
    assert send(ground, PENDING, "cancel").status_code == 303
    assert newest_act(ground).reason == "cancelled by hand"


def test_a_second_cancellation_finds_what_it_wants(ground):
    assert send(ground, "dpkg-48208", "cancel", {"reason": "again"}).status_code == 303


def test_a_recheck_orders_a_look_up_at_once(ground):
    assert send(ground, PENDING, "recheck").status_code == 303
    due = agenda_of(ground.scene.database, ground.scene.ids[PENDING])["check"].due_at
    assert due <= newest_act(ground).at


@pytest.mark.parametrize("amount", ["0.0358619204", "0.03", "0.0400000000000000001"])
def test_a_mark_keeps_the_amount_digit_for_digit(ground, amount):
    assert send(ground, PENDING, "mark", {"status": "paid", "reason": "By hand", "amount": amount}).status_code == 303

    row = invoice_of(ground.scene.database, ground.scene.ids[PENDING])
    assert (row.status, row.paid_amount) == ("paid", Decimal(amount))
    told = {"0.0358619204": None, "0.03": "underpaid"}.get(amount, "overpaid")
    assert row.anomaly == told


def test_a_mark_that_says_what_is_known_settles_what_was_said_against_it(ground):
    answered = send(ground, PAID, "mark", {"status": "paid", "reason": "It is in our wallet"})

    assert answered.headers["location"].endswith("?done=confirmed")
    assert "what was said against it is settled" in ground.get(answered.headers["location"]).text


def test_one_that_stays_expired_is_settled_in_the_words_of_the_command_line(ground):
    database, invoice_id = ground.scene.database, ground.scene.ids[EXPIRED]
    judge(ground.scene.store, invoice_id, seen("partially_paid"))
    page = ground.get(f"/console/invoices/{invoice_id}").text
    assert "Mark as expired" in page
    assert f"invoices mark {invoice_id} expired --reason REASON" in page

    answered = send(ground, EXPIRED, "mark", {"status": "expired", "reason": "Paid back"})

    assert answered.headers["location"].endswith("?done=confirmed")
    assert "what was said against it is settled" in ground.get(answered.headers["location"]).text
    assert [row.settled for row in list_contradictions(database) if row.invoice_id == invoice_id] == [True]
    assert invoice_of(database, invoice_id).status == "expired"
    german = ground.get(f"/console/invoices/{invoice_id}", headers={"accept-language": "de"}).text
    assert "Als abgelaufen markieren" in german


@pytest.mark.parametrize(("order_id", "status"), [(PENDING, 409), (PAID, 409)])
def test_no_other_becomes_expired_by_hand(ground, order_id, status):
    before = status_of(ground, order_id)
    assert send(ground, order_id, "mark", {"status": "expired", "reason": "x"}).status_code == status
    assert status_of(ground, order_id) == before


def test_an_invoice_in_doubt_is_created_again(ground):
    answered = send(ground, DOUBTFUL, "create-again", {"reason": "Nothing there"})

    assert answered.headers["location"].endswith("?done=created-again")
    due = agenda_of(ground.scene.database, ground.scene.ids[DOUBTFUL])["create"].due_at
    assert due <= newest_act(ground).at


@pytest.mark.parametrize(("which", "count"), [("newest", 1), ("all", 2)])
def test_a_replay_makes_its_events_due_at_one_endpoint(ground, which, count):
    endpoint, invoice_id = ground.scene.receivers[HEALTHY], ground.scene.ids["dpkg-48221"]

    answered = send(ground, "dpkg-48221", "replay", {"endpoint": endpoint, "which": which, "reason": "They lost it"})

    assert answered.headers["location"].endswith("?done=replayed")
    due = [one for one in deliveries_of(ground.scene.database, invoice_id) if one.endpoint_id == endpoint]
    assert sum(one.state == "due" for one in due) == count
    did = newest_act(ground)
    assert (did.act, did.invoice_id, did.endpoint_id) == ("events.replay", invoice_id, endpoint)


@pytest.mark.parametrize("endpoint", ["", "ep_nobody", SWITCHED_OFF])
def test_a_replay_goes_to_no_endpoint_that_is_not_offered(ground, endpoint):
    """The one that is switched off is another account's."""
    endpoint = ground.scene.receivers.get(endpoint, endpoint)

    answered = send(ground, PENDING, "replay", {"endpoint": endpoint, "which": "all", "reason": "kept as it was"})

    assert answered.status_code == 422
    assert 'value="kept as it was"' in answered.text


def test_who_is_limited_to_an_account_can_replay_to_no_endpoint_of_all_accounts(ground):
    answered = send(ground, PENDING, "replay", fields_for(ground, "replay"), accounts="zeroxhost")

    assert answered.status_code == 422


def test_what_is_replayed_to_an_endpoint_that_fails_waits_there(ground):
    fields = {"endpoint": ground.scene.receivers[FAILING], "which": "all"}

    assert send(ground, PENDING, "replay", fields).status_code == 303


# ------------------------------------------------------------ what is not possible


#: Each changes nothing: they are tried in one scene.
NOT_POSSIBLE: tuple[tuple[str, str, dict[str, str], str], ...] = (
    (PAID, "cancel", {"reason": "no"}, "it is paid"),
    (FAILED, "recheck", {"reason": "no"}, "nothing to ask by is known yet"),
    ("dpkg-48230", "recheck", {}, "the provider has not made it yet"),
    (PENDING, "create-again", {"reason": "no"}, "it is pending, not in doubt"),
    (FAILED, "mark", {"status": "paid", "reason": "no"}, "it is failed"),
    (PENDING, "mark", {"status": "refunded", "reason": "no"}, "it is pending"),
    ("dpkg-48208", "mark", {"status": "paid", "reason": "no"}, "it is cancelled"),
)


def test_what_the_invoice_does_not_allow_is_answered_by_its_page_with_the_reason(ground):
    for order_id, act, fields, why in NOT_POSSIBLE:
        before = status_of(ground, order_id)

        answered = send(ground, order_id, act, fields)

        assert answered.status_code == 409, (order_id, act)
        assert "Nothing was done:" in answered.text
        assert why in answered.text
        assert status_of(ground, order_id) == before


UNUSABLE = (
    ({"status": "paid"}, "reason"),
    ({"status": "paid", "reason": ""}, "reason"),
    ({"status": "paid", "reason": "   "}, "reason"),
    ({"status": "paid", "reason": "x" * 501}, "reason"),
    ({"status": "sold", "reason": "r"}, "status"),
    ({"reason": "r"}, "status"),
    ({"status": "paid", "reason": "r", "amount": "12,50"}, "amount"),
    ({"status": "paid", "reason": "r", "amount": "-1"}, "amount"),
    ({"status": "paid", "reason": "r", "amount": "NaN"}, "amount"),
    ({"status": "paid", "reason": "r", "amount": "1e400"}, "amount"),
    ({"status": "paid", "reason": "r", "amount": "0." + "1" * 31}, "amount"),
    ({"status": "failed", "reason": "r", "amount": "1"}, "amount"),
)


def test_a_mark_that_can_not_be_used_comes_back_with_its_words_and_the_reason(ground):
    for fields, why in UNUSABLE:
        answered = send(ground, PENDING, "mark", fields)

        assert answered.status_code == 422, fields
        alert = re.search(r'role="alert">(.*?)</p>', answered.text, re.DOTALL)
        assert alert is not None
        assert why in alert[1]
        assert '<details class="act" id="act-mark" open>' in answered.text
        assert f'value="{fields.get("amount", "")}"' in answered.text
        assert status_of(ground, PENDING) == Status.PENDING


@pytest.mark.parametrize("act", ["cancel", "recheck", "replay"])
def test_a_reason_that_is_too_long_is_told_so(ground, act):
    answered = send(ground, PENDING, act, fields_for(ground, act) | {"reason": "x" * 501})

    assert answered.status_code == 422
    assert "The reason is too long" in answered.text
    assert status_of(ground, PENDING) == Status.PENDING


@pytest.mark.parametrize(
    "fields", [{"surprise": "1"}, {"sequence": "x"}, {"sequence": "9" * 30}, {"reason": "a\u202eb"}]
)
def test_a_form_that_is_not_the_pages_own_is_refused(ground, fields):
    assert send(ground, PENDING, "cancel", fields).status_code == 400
    assert status_of(ground, PENDING) == Status.PENDING


# ------------------------------------------------------------ when it has changed meanwhile


def test_a_form_of_an_invoice_that_has_changed_does_nothing_and_says_what_changed(ground):
    page = ground.get(f"/console/invoices/{ground.scene.ids[PENDING]}").text
    sequence = re.search(r'name="sequence" value="(\d+)"', page)
    assert sequence is not None
    judge(ground.scene.store, ground.scene.ids[PENDING], seen("partially_paid", paid_amount=Decimal("0.01")))

    answered = send(ground, PENDING, "cancel", {"reason": "too late", "sequence": sequence[1]})

    assert answered.status_code == 409
    assert "the invoice has changed since this page was opened" in answered.text
    assert "invoice.partially_paid" in answered.text
    assert 'value="too late"' in answered.text
    assert status_of(ground, PENDING) == Status.PARTIALLY_PAID

    again = re.search(r'name="sequence" value="(\d+)"', answered.text)
    assert again is not None
    assert send(ground, PENDING, "cancel", {"reason": "all the same", "sequence": again[1]}).status_code == 303
    assert status_of(ground, PENDING) == Status.CANCELLED


@pytest.mark.parametrize("act", ["recheck", "mark", "create-again"])
def test_no_act_is_done_on_a_wrong_sequence(ground, act):
    target = DOUBTFUL if act == "create-again" else PENDING
    before = len(rows(ground.scene.database, ACT))

    assert send(ground, target, act, fields_for(ground, act) | {"sequence": "7"}).status_code == 409
    assert len(rows(ground.scene.database, ACT)) == before


# ------------------------------------------------------------ what is promised


@pytest.mark.parametrize("status", ["paid", "failed", "refunded", "cancelled"])
def test_a_mark_has_a_button_exactly_where_it_is_possible_and_becomes_what_was_said(ground, status):
    for order_id in ("dpkg-48230", DOUBTFUL, PENDING, "dpkg-48221", "dpkg-48226", PAID, "dpkg-48190"):
        page = ground.get(f"/console/invoices/{ground.scene.ids[order_id]}").text
        offered = f'name="status" value="{status}"' in page

        answered = send(ground, order_id, "mark", {"status": status, "reason": "By hand"})

        assert answered.status_code == (303 if offered else 409), order_id
        assert (status_of(ground, order_id) == status) or not offered, order_id


@pytest.mark.parametrize("act", ["cancel", "recheck", "create-again"])
def test_an_act_has_a_form_exactly_where_it_is_possible(ground, act):
    for order_id in ("dpkg-48230", DOUBTFUL, PENDING, "dpkg-48226", PAID, "dpkg-48190", FAILED):
        page = ground.get(f"/console/invoices/{ground.scene.ids[order_id]}").text
        offered = f'/{act}" class="fields"' in page

        answered = send(ground, order_id, act, {"reason": "By hand"})

        assert answered.status_code == (303 if offered else 409), order_id


def test_every_form_has_the_command_that_does_the_same(ground):
    page = ground.get(f"/console/invoices/{ground.scene.ids[PENDING]}").text
    invoice_id = ground.scene.ids[PENDING]

    for command in ("recheck", "cancel"):
        assert f"invoices {command} {invoice_id} --reason REASON" in page
    assert f"invoices mark {invoice_id} paid --reason REASON" in page
    assert "invoices deliveries replay evt_" in page
    assert "|" not in "".join(re.findall(r'data-copy="([^"]*)"', page))
