"""``/console/invoices``: the filter is the address, and what it chooses is what is shown, copied and downloaded."""

from __future__ import annotations

import csv
import io
import re
import shlex
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy.exc import OperationalError

from domain.evidence import InDoubt
from tests.console.scene import LONG_ORDER, MARKUP
from tests.contracts.store_cases import change, created, judge, order, take
from workers.cli.invoices import list_command
from workers.store.reads import selection
from workers.store.tables import INVOICE
from workers.web.console import invoices_csv

PLACE = "/console/invoices"
NEBULOX = {"dpkg-48230", "dpkg-48229", "dpkg-48233", "twice/nebulox"}
ROWS = re.compile(r'<tr data-row id="(inv_[0-9a-f]{32})"')


def shown(ground, query="", **options):
    """The orders of the rows, by the address of their invoices, newest first."""
    answered = ground.get(f"{PLACE}?{query}", **options)
    assert answered.status_code == 200, answered.text
    names = {invoice_id: name for name, invoice_id in ground.scene.ids.items()}
    return [names.get(found, found) for found in ROWS.findall(answered.text)]


def downloaded(ground, query="", **options):
    """The rows of the CSV, each by its columns."""
    answered = ground.get(f"{PLACE}.csv?{query}", **options)
    assert answered.status_code == 200, answered.text
    return list(csv.DictReader(io.StringIO(answered.content.decode(), newline="")))


def test_all_are_listed_newest_first(ground, scene):
    assert shown(ground) == list(reversed(scene.ids))


@pytest.mark.parametrize(
    ("query", "orders"),
    [
        ("status=failed", {"dpkg-48215"}),
        ("status=failed,cancelled", {"dpkg-48215", "dpkg-48208"}),
        ("status=failed&status=cancelled&since=3h", {"dpkg-48215", "dpkg-48208"}),
        ("account=nebulox", NEBULOX),
        ("account=nebulox&status=queued", {"dpkg-48230"}),
        ("anomaly=overpaid", {"dpkg-48219"}),
        ("anomaly=overpaid&status=failed", set()),
        ("asset=DAI", {LONG_ORDER}),
        ("q=dpkg-48190", {"dpkg-48190"}),
        ("q=dpkg-48190&status=paid", set()),
        ("q=nothing", set()),
        ("since=2001-01-01T00:00:00Z&until=2002-01-01T00:00:00Z", set()),
        ("since=2001-01-01&status=refunded", {"dpkg-48180"}),
        ("needs=person", {"dpkg-48229", "dpkg-48225"}),
        ("needs=person&account=nebulox", {"dpkg-48229"}),
    ],
)
def test_a_filter_chooses(ground, query, orders):
    answered = ground.get(f"{PLACE}?{query}")
    if answered.status_code == 303:  # boxes of one name become one list
        query = answered.headers["location"].partition("?")[2]

    assert set(shown(ground, query)) == orders


def test_the_views_are_links_with_filters_that_keep_the_rest(ground):
    page = ground.get(f"{PLACE}?account=zeroxhost&status=paid").text

    assert 'href="?status=expired,failed,cancelled&amp;account=zeroxhost"' in page
    assert '<a href="?status=paid&amp;account=zeroxhost" aria-current="page">' in page
    assert page.count('aria-current="page"') == 2  # the tab, and the rail's entry


def test_chips_remove_themselves(ground):
    page = ground.get(f"{PLACE}?status=paid,failed&account=zeroxhost&since=3h").text

    assert '<a class="chip" href="?account=zeroxhost&amp;since=3h">' in page
    assert '<a class="chip" href="?status=paid,failed&amp;since=3h">' in page
    assert '<a class="chip" href="?status=paid,failed&amp;account=zeroxhost">' in page


@pytest.mark.parametrize(
    "query",
    [
        "state=paid",
        "status=payed",
        "status=paid,",
        "anomaly=odd",
        "account=nobody",
        "needs=money",
        "since=yesterday",
        "since=3h&until=4h",
        "before=inv_1",
        "status=paid%00",
        "asset=" + "A" * 65,
        "since=3h&since=4h",
    ],
)
def test_what_is_no_filter_is_a_clear_page(ground, query):
    answered = ground.get(f"{PLACE}?{query}")

    if query == "status=paid,":
        assert answered.status_code == 200
        return
    assert answered.status_code == 400
    assert "can&#39;t be used" in answered.text
    assert ground.get(f"{PLACE}.csv?{query}").status_code == 400


def test_an_unused_form_field_leaves_no_trace_in_the_address(ground):
    answered = ground.get(f"{PLACE}?status=paid&status=failed&since=&q=&asset=")

    assert answered.status_code == 303
    assert answered.headers["location"] == f"{PLACE}?status=paid,failed"
    assert ground.get(f"{PLACE}?since=").headers["location"] == PLACE


def test_another_accounts_invoices_are_as_good_as_missing(ground):
    assert set(shown(ground, accounts="nebulox")) == NEBULOX
    assert shown(ground, "q=dpkg-48231", accounts="nebulox") == []
    assert ground.get(f"{PLACE}?account=zeroxhost", accounts="nebulox").status_code == 400
    assert {row["account"] for row in downloaded(ground, accounts="nebulox")} == {"nebulox"}
    page = ground.get(PLACE, accounts="nebulox").text
    assert "zeroxhost" not in page
    assert "zeroxhost" not in ground.get(f"{PLACE}?account=nobody", accounts="nebulox").text


def test_pages_go_on_where_the_one_before_ended(ground, scene):
    take(scene.store, *(order(f"more-{number}") for number in range(60)))

    page = ground.get(f"{PLACE}?status=queued").text
    first = ROWS.findall(page)
    (older,) = re.findall(r'<a href="\?(status=queued&amp;before=inv_[0-9a-f]{32})" rel="next">', page)
    rest = ROWS.findall(ground.get(f"{PLACE}?{older.replace('&amp;', '&')}").text)

    assert len(first) == 50
    assert first + rest == sorted({*first, *rest}, reverse=True)
    assert len(rest) == 12
    assert "50 shown of 62." in page


def test_what_is_rare_is_looked_for_so_far_and_the_page_says_how_far(ground, scene, monkeypatch):
    monkeypatch.setattr(selection, "DEPTHS", (5, 10))
    take(scene.store, *(order(f"more-{number}") for number in range(20)))

    page = ground.get(f"{PLACE}?account=nebulox").text

    assert ROWS.findall(page) == []
    assert "None among those that were compared" in page
    found, query = [], "account=nebulox"
    for _ in range(20):
        page = ground.get(f"{PLACE}?{query}").text
        found += ROWS.findall(page)
        further = re.findall(r'<a href="\?(account=nebulox&amp;before=inv_[0-9a-f]{32})" rel="next">', page)
        if not further:
            break
        query = further[0].replace("&amp;", "&")
    names = {invoice_id: name for name, invoice_id in scene.ids.items()}
    assert [names[one] for one in found] == ["twice/nebulox", "dpkg-48233", "dpkg-48229", "dpkg-48230"]
    assert len(downloaded(ground, "account=nebulox")) == 4


def test_a_row_says_what_happens_next_and_whether_a_person_is_needed(ground, scene):
    page = ground.get(PLACE).text
    rows = dict(re.findall(r'<tr data-row id="(inv_[0-9a-f]{32})"[^>]*>(.*?)</tr>', page, re.DOTALL))

    def says(name):
        return " ".join(re.sub(r"<[^>]+>", " ", rows[scene.ids[name]].rpartition("col-next")[2]).split())

    assert "payer has until" in says("dpkg-48231")
    assert "held: redrive it" in says("dpkg-48229")
    assert "contradicted: a person decides" in says("dpkg-48225")
    assert "final: the customer gave up" in says("dpkg-48208")
    assert "waits for its turn" in says("dpkg-48230")
    assert 'aria-label="Needs a person"' in rows[scene.ids["dpkg-48229"]]
    assert 'aria-label="Needs a person"' not in rows[scene.ids["dpkg-48231"]]


def test_an_order_in_doubt_that_repeats_by_itself_needs_nobody(ground, scene):
    (invoice_id,) = take(scene.store, order("doubtful"))
    judge(scene.store, invoice_id, InDoubt(reason="no answer in 10 s"))

    page = ground.get(f"{PLACE}?q=doubtful").text

    assert "create repeats at" in page or "searched at" in page
    assert 'aria-label="Needs a person"' not in page
    assert invoice_id not in ground.get(f"{PLACE}?needs=person").text


def test_who_sees_some_accounts_is_told_of_no_endpoint_of_others(ground):
    assert "webhook" in ground.get(f"{PLACE}?account=zeroxhost").text
    assert "webhook" not in ground.get(f"{PLACE}?account=zeroxhost", accounts="zeroxhost").text


def test_invoices_stand_under_the_day_on_which_they_were_made(ground, scene):
    old = scene.ids["dpkg-48230"]
    with scene.database.reading() as connection:
        now = scene.database.now(connection)
    made = now - timedelta(days=2)
    change(scene.database, INVOICE, INVOICE.c.id != old, created_at=now)  # some may be yesterday's
    change(scene.database, INVOICE, INVOICE.c.id == old, created_at=made)

    page = ground.get(PLACE).text

    assert page.count('scope="rowgroup"') == 1
    assert f"{made.day} {made:%b %Y}" in page


def test_the_command_lists_the_same(ground):
    page = ground.get(f"{PLACE}?status=paid,failed&account=zeroxhost&since=3h&asset=ETH&anomaly=late").text

    (command,) = re.findall(r'<div class="command"><code>([^<]*)</code>', page)
    words = shlex.split(command)
    assert words[:2] == ["invoices", "list"]
    given = list_command.make_context("list", words[2:]).params
    assert given["statuses"] == ("paid", "failed")
    assert given["accounts"] == ("zeroxhost",)
    assert given["anomalies"] == ("late",)
    assert given["assets"] == ("ETH",)
    assert given["since"] is not None


def test_the_command_of_who_sees_some_accounts_names_them(ground):
    assert "invoices list --account nebulox</code>" in ground.get(PLACE, accounts="nebulox").text


def test_a_filter_that_no_command_has_shows_none(ground):
    assert '<div class="command">' not in ground.get(f"{PLACE}?needs=person").text
    assert "invoices list --order dpkg-48231</code>" in ground.get(f"{PLACE}?q=dpkg-48231").text


def test_the_csv_has_all_that_match_with_every_digit(ground, scene):
    take(scene.store, *(order(f"more-{number}") for number in range(600)))

    rows = downloaded(ground)

    assert len(rows) == 600 + len(scene.ids)
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    by_order = {row["order_id"]: row for row in rows}
    assert by_order[LONG_ORDER]["pay_amount"] == "0.012345678901234567"
    assert by_order["dpkg-48231"]["pay_amount"] == "0.0358619204"
    assert [row["order_id"] for row in downloaded(ground, "status=failed")] == ["dpkg-48215"]


def test_a_csv_is_as_its_standard_has_it_and_holds_no_formula(ground, scene):
    take(scene.store, order('=HYPERLINK("http://x")'), order("-2+3"), order("@SUM"), order("a,b"))

    answered = ground.get(f"{PLACE}.csv")

    assert answered.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answered.headers["content-disposition"] == 'attachment; filename="invoices.csv"'
    assert answered.content.endswith(b"\r\n")
    orders = {row["order_id"] for row in downloaded(ground)}
    assert {'\'=HYPERLINK("http://x")', "'-2+3", "'@SUM", "a,b", MARKUP} <= orders


def test_a_csv_is_broken_off_when_the_database_goes_away_so_that_no_part_passes_for_the_whole(
    ground, scene, monkeypatch
):
    take(scene.store, *(order(f"more-{number}") for number in range(30)))
    monkeypatch.setattr(invoices_csv, "PIECE", 20)
    asked = []

    def away(*arguments):
        asked.append(arguments)
        if len(asked) > 1:
            raise OperationalError("SELECT", {}, Exception("gone"))
        return selection.read_piece(*arguments)

    monkeypatch.setattr(invoices_csv, "read_piece", away)

    sent = ground.messages(f"{PLACE}.csv")

    assert sent[0]["status"] == 200
    assert sum(message.get("body", b"").count(b"\r\n") for message in sent[1:]) == 21
    assert all(message["more_body"] for message in sent[1:]), "the end of the answer is never told"
    asked.append(())
    assert ground.get(f"{PLACE}.csv").status_code == 503


def test_viewers_find_no_form_that_changes_anything(ground):
    page = ground.get(PLACE, role="viewer").text

    places = set(re.findall(r'<form method="post"[^>]*action="([^"]*)"', page))
    assert places == {"/console/sign-out"}


def test_a_page_of_fifty_is_small(ground, scene):
    for number in range(60):
        (invoice_id,) = take(scene.store, order(f"{number:0128}"))
        judge(scene.store, invoice_id, created(pay_amount=Decimal("123456.123456789012345678"), pay_currency="USDT"))

    answered = ground.get(PLACE)

    assert len(ROWS.findall(answered.text)) == 50
    assert len(answered.content) < 100 * 1024
