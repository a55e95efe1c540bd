"""The page of one invoice: each fact in its place, who sees it, and what of it is linked."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

from domain.status import Status
from tests.console.story import ORDER, TRANSACTION
from tests.contracts.store_cases import change, created, invoice_of, judge, now, order, seen, take
from workers.store.tables import DELIVERY, EVENT, INVOICE


def page_of(ground, order_id, **options):
    answered = ground.get(f"/console/invoices/{ground.scene.ids[order_id]}", **options)
    assert answered.status_code == 200, answered.text[:300]
    return answered.text


def words_in(html):
    """The page's text as it is read."""
    text = re.sub(r"<(script|style|svg).*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text)).replace("&#39;", "'").replace("&#34;", '"')


def test_the_page_tells_what_is_known_of_an_invoice(ground):
    text = words_in(page_of(ground, ORDER))

    for fact in (
        ground.scene.ids[ORDER],
        ORDER,
        "110816020",
        TRANSACTION,
        "cart: 77120",
        "channel: web",
        "user_id: u-4410",
        "89.97 EUR",
        "0.0200000000 of 0.0358619204 ETH received",
        "watched until",
    ):
        assert fact in text, fact


def test_the_head_has_the_status_its_anomaly_and_the_way_back(ground):
    page = page_of(ground, ORDER)

    assert '<h1 class="wraps">dpkg-48187</h1>' in page
    assert 'href="/console/invoices?account=zeroxhost"' in page
    assert '<span class="tag">underpaid</span>' in page


def test_an_expired_invoice_is_drawn_hollow_as_long_as_a_late_payment_counts(ground, scene):
    assert "icon-expired-final" not in page_of(ground, ORDER)

    change(scene.database, INVOICE, INVOICE.c.id == scene.ids[ORDER], monitor_until=now(scene.database))

    assert "icon-expired-final" in page_of(ground, ORDER)


def test_other_invoices_of_the_order_are_named_with_their_status(ground, scene):
    (sibling,) = take(scene.store, order("dpkg-48190", account="zeroxhost", idempotency_key="again"))

    page = page_of(ground, "dpkg-48190")

    assert "Other invoices of this order" in page
    assert f'href="/console/invoices/{sibling}"' in page
    assert "Other invoices of this order" not in page_of(ground, ORDER)


def test_an_invoice_of_the_order_at_another_account_is_not_told_to_those_who_do_not_see_it(ground, scene):
    (sibling,) = take(scene.store, order("dpkg-48231", account="nebulox"))

    assert sibling in page_of(ground, "dpkg-48231")
    assert sibling not in page_of(ground, "dpkg-48231", accounts="zeroxhost")


def test_an_id_that_no_invoice_has_is_answered_by_a_page(ground):
    for name in (f"inv_{'0' * 32}", "inv_1", "dpkg-48231", "inv_%00", f"inv_{'f' * 200}"):
        assert ground.get(f"/console/invoices/{name}").status_code == 404, name


def test_another_accounts_invoice_is_answered_as_a_missing_one(ground, scene):
    theirs = ground.get(f"/console/invoices/{scene.ids[ORDER]}", accounts="nebulox")
    missing = ground.get("/console/invoices/inv_00000000000000000000000000000000", accounts="nebulox")

    assert (theirs.status_code, theirs.text.count("There is no such invoice")) == (
        404,
        missing.text.count("There is no such invoice"),
    )
    assert ORDER not in theirs.text


def test_every_role_sees_the_page_and_a_viewer_no_form_that_changes_anything(ground):
    expected = {
        "viewer": set(),
        "operator": {"recheck", "cancel", "replay"},
        "finance": {"mark"},
        "admin": {"recheck", "mark", "cancel", "replay"},
    }
    for role, acts in expected.items():
        forms = re.findall(r'<form method="post" action="([^"]+)"', page_of(ground, "dpkg-48231", role=role))

        assert {form.rpartition("/")[2] for form in forms} - {"sign-out", "language"} == acts, role


def test_an_act_that_is_not_possible_or_not_allowed_stays_and_says_why(ground):
    admin, viewer = words_in(page_of(ground, "dpkg-48225")), words_in(page_of(ground, "dpkg-48231", role="viewer"))

    assert "Cancelnot possible: it is paid" in admin
    assert "Create againonly in doubt: it is paid" in admin
    assert "Mark by handfinance, admin" in viewer


# ------------------------------------------------------------ why


def test_the_reason_why_is_one_sentence_with_since_and_what_helps(ground):
    text = words_in(page_of(ground, "dpkg-48229"))

    assert "What happens next" in text
    assert "ago" in text
    assert f"invoices redrive doubt {ground.scene.ids['dpkg-48229']}" in text


def test_what_is_over_has_no_reason_why(ground, scene):
    told = now(scene.database)
    change(scene.database, EVENT, EVENT.c.invoice_id == scene.ids["dpkg-48215"], published_at=told)
    change(scene.database, DELIVERY, DELIVERY.c.invoice_id == scene.ids["dpkg-48215"], state="delivered")

    assert 'class="why' not in page_of(ground, "dpkg-48215")


def test_what_needs_a_person_is_marked_by_more_than_its_colour(ground):
    page = page_of(ground, "dpkg-48225")  # contradicted

    assert 'class="why needs-person"' in page
    assert "icon-person" in page.partition('class="why needs-person"')[2][:200]
    assert "invoices mark" in page


# ------------------------------------------------------------ the payment


def test_what_is_missing_stands_in_the_panel_and_in_the_code(ground):
    page = page_of(ground, "dpkg-48221")

    assert "Still missing" in page
    assert "0.0158619204ETH" in words_in(page).replace(" ", "")
    assert '<progress max="100" value="55"' in page
    assert "Holds the address and the amount" in page
    assert 'class="qr"' in page


def test_there_is_no_code_where_nothing_is_to_be_paid(ground):
    """Queued, in doubt, failed, cancelled, confirming, paid, refunded."""
    for name in ("dpkg-48230", "dpkg-48229", "dpkg-48215", "dpkg-48208", "dpkg-48226", "dpkg-48225", "dpkg-48180"):
        assert 'class="qr"' not in page_of(ground, name), name


def test_there_is_no_code_once_the_time_to_pay_has_ended_or_a_callback_speaks_of_a_payment(ground, scene):
    chosen = INVOICE.c.id == scene.ids["dpkg-48231"]
    assert 'class="qr"' in page_of(ground, "dpkg-48231")

    change(scene.database, INVOICE, chosen, called_status="paid", called_word="COMPLETED")
    assert 'class="qr"' not in page_of(ground, "dpkg-48231")

    past = now(scene.database) - timedelta(seconds=1)
    change(scene.database, INVOICE, chosen, called_status=None, called_word=None, expires_at=past)
    assert 'class="qr"' not in page_of(ground, "dpkg-48231")


def test_an_expired_invoice_has_a_code_as_long_as_a_late_payment_counts(ground, scene):
    assert "counts, with the anomaly late" in page_of(ground, ORDER)
    assert 'class="qr"' in page_of(ground, ORDER)

    change(scene.database, INVOICE, INVOICE.c.id == scene.ids[ORDER], monitor_until=now(scene.database))

    assert 'class="qr"' not in page_of(ground, ORDER)
    assert "Nothing is to be paid any more" in page_of(ground, ORDER)


def test_a_code_never_asks_for_an_amount_that_nobody_knows(ground, scene):
    """Partly paid, and nobody told how much."""
    (invoice_id,) = take(scene.store, order("dpkg-1", account="zeroxhost"))
    made = {"pay_amount": Decimal("0.5"), "pay_currency": "BTC", "network": "Bitcoin"}
    judge(scene.store, invoice_id, created(address="175tWpb8K1S7NmH4Zx6rewF9WQrcZv245W", **made))
    judge(scene.store, invoice_id, seen("partially_paid"))
    assert invoice_of(scene.database, invoice_id).status == Status.PARTIALLY_PAID

    page = ground.get(f"/console/invoices/{invoice_id}").text

    assert "Holds the address only" in page


def test_each_payment_has_its_row(ground):
    text = words_in(page_of(ground, ORDER))

    assert "Payments seen" in text
    assert "payment, told by look-up" in text
    assert text.count(TRANSACTION) == 2  # in the facts, and in its row


def test_a_payment_page_is_a_link_only_where_a_browser_may_open_it(ground, scene):
    for url in ("javascript:alert(1)", "data:text/html,x", "//evil.example", "https://", "vbscript:x", " javascript:x"):
        change(scene.database, INVOICE, INVOICE.c.id == scene.ids["dpkg-48231"], payment_url=url)

        page = page_of(ground, "dpkg-48231")

        assert f'href="{url}"' not in page
        assert "Payment page" not in page
        assert url.strip() in words_in(page)


def test_a_payment_page_opens_without_telling_where_one_came_from(ground):
    assert re.search(
        r'<a href="https://pay.example/dpkg-48231" rel="noreferrer noopener"', page_of(ground, "dpkg-48231")
    )


def test_the_page_is_small_and_has_one_first_heading(ground):
    page = page_of(ground, ORDER)

    assert len(page.encode()) < 100_000
    assert page.count("<h1") == 1
