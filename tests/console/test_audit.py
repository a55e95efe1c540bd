"""The audit log: who did what by hand, from where, why, before and after; as a page and as a file."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from domain.moments import read_moment
from domain.permissions import Role
from domain.sheets import cell, csv_line
from tests.console.scene import MARKUP, OPERATOR
from tests.contracts.store_cases import change
from workers.store.acts import Act, Actor, Deed, record
from workers.store.endpoints import list_endpoints
from workers.store.reads.acts import Wanted, page_of_acts
from workers.store.tables import ACT
from workers.web.console.audit import WORDS, changes_of
from workers.web.console.words import words_of

NOW = datetime(2026, 11, 28, 20, 36, 12, tzinfo=UTC)


def do(scene, actor=OPERATOR, act=Act.DISMISS, **about):
    """Somebody did something."""
    with scene.database.transaction() as connection:
        record(connection, scene.database, actor, [Deed(act=act, **about)])


# --- what is told ---------------------------------------------------------------------------------------------------


def test_only_what_changed_is_told_value_by_value():
    before = json.dumps({"status": "pending", "accounts": ["a", "b"], "same": 1, "gone": None})
    after = json.dumps({"status": "paid", "accounts": ["a"], "same": 1, "amount": "0.10"})

    told = [(one.name, one.before, one.after) for one in changes_of(before, after)]
    assert told == [("status", "pending", "paid"), ("accounts", "a, b", "a"), ("amount", None, "0.10")]
    assert changes_of(None, None) == []


def test_every_act_has_words_in_english_and_german():
    assert set(WORDS) == set(Act)
    assert set(WORDS.values()) - set(words_of("de")) == set()


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("12h", NOW - timedelta(hours=12)),
        ("2026-11-28T21:36:12+01:00", NOW),
        ("2026-11-28", NOW.replace(hour=0, minute=0, second=0)),
    ],
)
def test_a_time_is_one_of_a_clock_or_an_age(text, time):
    assert read_moment(text, NOW) == time


@pytest.mark.parametrize("text", ["yesterday", "9999999999d", "9" * 5000 + "d", "0001-01-01T00:00:00+14:00"])
def test_what_is_no_time_is_refused(ground, text):
    answered = ground.get("/console/audit", params={"since": text})

    assert answered.status_code == 400
    assert "This time can&#39;t be read" in answered.text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\t=1", " =1", "\r=1", "\uff1d1"])
def test_what_somebody_wrote_is_no_formula_in_a_spreadsheet(text):
    assert cell(text) == f"'{text}"
    (line,) = csv.reader(io.StringIO(csv_line([text, None, 7])))
    assert line == [f"'{text}", "", "7"]


# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_every_role_reads_who_did_what_why_before_and_after(ground, scene, role):
    page = ground.get("/console/audit", role).text

    assert "marked an invoice" in page
    assert "r.adeyemi" in page
    assert "cli ops@host" in page
    assert "Ticket 8841" in page
    assert f'href="/console/invoices/{scene.ids["dpkg-48177"]}">dpkg-48177</a>' in page
    assert '<ins class="mono">paid</ins>' in page
    assert 'method="post" action="/console/audit' not in page


def test_a_filter_is_the_address(ground, scene):
    do(scene, Actor("m.ito", "console 10.1.1.1", "no order of ours"), callback_id=17)

    theirs = ground.get("/console/audit?by=m.ito").text
    assert "dismissed a callback" in theirs
    assert "Ticket 8841" not in theirs
    assert "Ticket 8841" in ground.get("/console/audit?act=invoice.mark").text
    invoice = scene.ids["dpkg-48177"]
    assert "Ticket 8841" in ground.get(f"/console/audit?invoice={invoice}&since=1h").text
    assert "Nothing matches" in ground.get(f"/console/audit?invoice={invoice}&until=1h").text
    assert "invoices audit --by m.ito" in theirs


def test_each_chip_leaves_its_filter_out(ground):
    page = ground.get("/console/audit?by=r.adeyemi&since=7d").text

    assert 'href="/console/audit?since=7d"><span>by</span>' in page
    assert 'href="/console/audit?by=r.adeyemi"><span>since</span>' in page


@pytest.mark.parametrize("query", ["since=yesterday", "before=x", "bye=me", "by=a&by=b"])
def test_a_filter_that_can_not_be_used_is_refused(ground, query):
    assert ground.get(f"/console/audit?{query}").status_code == 400


def test_pages_follow_each_other_without_a_count(ground, scene):
    for number in range(120):
        do(scene, callback_id=number)
    first = ground.get("/console/audit?by=r.adeyemi").text
    assert first.count('id="act-') == 50
    place = first.split('rel="next"')[0].rpartition('href="')[2].rstrip('" ')

    second = ground.get(place.replace("&amp;", "&")).text
    assert second.count('id="act-') == 50
    assert "Newest</a>" in second


def test_a_filter_that_finds_little_goes_on_behind_what_was_looked_at(scene, monkeypatch):
    monkeypatch.setattr("workers.store.reads.acts.LOOKED_AT", 10)
    do(scene, Actor("m.ito", "cli", None), callback_id=1)
    for number in range(30):
        do(scene, callback_id=number)
    found, before = [], None
    for _ in range(20):
        read = scene.database.read(page_of_acts, Wanted(by="m.ito"), None, before=before, limit=5)
        found += read.rows
        before = read.before
        if before is None:
            break

    assert len(found) == 1
    assert before is None


def test_who_sees_one_account_sees_its_acts_only_and_not_from_where(ground, scene):
    do(scene, callback_id=3, account="nebulox")
    do(scene, act=Act.ADD_TOKEN)
    page = ground.get("/console/audit", accounts="nebulox").text

    assert 'title="callback.dismiss"' in page
    assert 'title="token.add"' not in page
    assert 'title="invoice.mark"' not in page
    assert "cli ops@host" not in page
    assert "dpkg-48177" not in page
    assert "marked an invoice" in ground.get("/console/audit", accounts="zeroxhost").text


def test_an_invoice_of_another_account_is_not_told_though_the_act_names_ones_own(ground, scene):
    do(scene, act=Act.UNPARK, invoice_id=scene.ids["dpkg-48230"], account="zeroxhost")

    assert scene.ids["dpkg-48230"] not in ground.get("/console/audit", accounts="zeroxhost").text


def test_what_somebody_wrote_is_text(ground, scene):
    do(scene, Actor(MARKUP[:90], MARKUP[:90], MARKUP), account=MARKUP[:60], after={MARKUP: MARKUP})
    change(scene.database, ACT, ACT.c.act == "callback.dismiss", act="<script>")
    page = ground.get("/console/audit").text

    assert "<img src=x" not in page
    assert "<script>alert" not in page
    assert "&lt;img src=x" in page


# --- as a file --------------------------------------------------------------------------------------------------------


def test_a_csv_holds_exactly_what_the_filter_finds(ground, scene):
    do(scene, Actor("=cmd()", "cli", "=1+1"), callback_id=17, after={"state": "dismissed"})
    answered = ground.get("/console/audit.csv?act=callback.dismiss")
    head, line = csv.reader(io.StringIO(answered.text))

    assert answered.headers["content-type"] == "text/csv; charset=utf-8"
    assert answered.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    told = dict(zip(head, line, strict=True))
    assert (told["by"], told["reason"], told["callback_id"]) == ("'=cmd()", "'=1+1", "17")
    assert json.loads(told["after"]) == {"state": "dismissed"}


def test_json_lines_hold_the_same_over_all_pages(ground, scene, monkeypatch):
    monkeypatch.setattr("workers.web.console.audit.EXPORTED", 7)
    for number in range(20):
        do(scene, callback_id=number)
    answered = ground.get("/console/audit.jsonl?act=callback.dismiss")
    told = [json.loads(line) for line in answered.text.splitlines()]

    assert [one["callback_id"] for one in told] == list(range(19, -1, -1))
    assert told[0]["origin"] == "cli ops@host"


def test_a_file_is_limited_as_the_page_is(ground, scene):
    do(scene, callback_id=3, account="nebulox")
    told = [json.loads(one) for one in ground.get("/console/audit.jsonl", accounts="nebulox").text.splitlines()]

    theirs = [endpoint.id for endpoint in scene.database.read(list_endpoints) if endpoint.is_within({"nebulox"})]
    assert told
    assert all(one["origin"] is None for one in told)
    assert all(one["account"] == "nebulox" or one["endpoint_id"] in theirs for one in told)
    assert ground.get("/console/audit.csv?since=never").status_code == 400
    assert ground.get("/console/audit.csv", role="nobody").status_code == 303
