"""The overview: the verdict in a sentence, what is late, how fast things go, what is open."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.evidence import OrderRefused
from domain.permissions import Role
from domain.why import Cause, Late, Verdict
from domain.why.processes import Crew, Process
from domain.why.whose import Part
from tests.console.ground import Ground
from tests.console.scene import ACCOUNTS, MARKUP
from tests.contracts.store_cases import judge
from workers.store.processes import Heartbeat
from workers.store.reads.stream import Untold
from workers.store.reads.why.late import Overview
from workers.web.console.late import DISABLED, HELD, WORDS, headline, late_rows
from workers.web.console.overview import Money
from workers.web.console.sparkline import HEIGHT, WIDTH, sparkline
from workers.web.console.times import short_seconds
from workers.web.console.words import words_of

NOW = datetime(2026, 11, 28, 20, 36, 12, tzinfo=UTC)
RUNS = [Process(role, f"{role}-1", NOW, NOW) for role in ("intake", "worker", "web")]


def overview(verdict, *late, crew=RUNS, parts=()):
    return Overview(NOW, verdict, late, Crew(NOW, crew), Untold(0, None, None), parts)


def minutes(number):
    return NOW - timedelta(minutes=number)


# --- what is told ---------------------------------------------------------------------------------------------------


def test_the_headline_counts_what_waits_and_says_since_when():
    late = (
        Late(Cause.REJECTED_MESSAGE, 3, minutes(90), None),
        Late(Cause.WEBHOOK_WAITS, 198, minutes(19), "inv_1"),
        Late(Cause.IN_DOUBT, 4, minutes(5), "inv_2"),
    )
    told = headline(overview(Verdict.DEGRADED, *late))

    assert (told.what, told.count, told.is_more) == ("{count} invoices wait longer than they should", 202, False)
    assert told.since == minutes(90)


def test_a_webhook_of_no_invoice_is_not_counted_as_an_invoice():
    late = Late(Cause.WEBHOOK_WAITS, 3, NOW, "inv_1", of_none=2)
    assert headline(overview(Verdict.DEGRADED, late)).count == 1
    late = Late(Cause.WEBHOOK_WAITS, 2, NOW, None, of_none=2)
    assert headline(overview(Verdict.DEGRADED, late)).what == "something waits longer than it should"


def test_a_count_that_ends_at_its_bound_is_told_as_more():
    assert headline(overview(Verdict.DEGRADED, Late(Cause.WEBHOOK_WAITS, 10_000, minutes(1), None))).is_more


@pytest.mark.parametrize(
    ("verdict", "crew", "late", "what"),
    [
        (Verdict.OK, RUNS, (), ""),
        (Verdict.STALLED, RUNS[:1], (), "no worker runs"),
        (Verdict.STALLED, RUNS, (), "work is due and nothing moves"),
        (Verdict.DEGRADED, RUNS[1:], (), "something waits longer than it should"),
        (
            Verdict.DEGRADED,
            [Process("intake", "intake-1", minutes(2)), *RUNS[1:]],
            (),
            "no intake runs: orders wait in the queue",
        ),
        (Verdict.DEGRADED, RUNS, (Late(Cause.CONTRADICTION, 1, NOW, None),), "a source contradicts what is known"),
    ],
)
def test_the_headline_says_what_is_wrong(verdict, crew, late, what):
    assert headline(overview(verdict, *late, crew=crew)).what == what


def test_doubts_that_are_held_need_a_person_and_others_do_not():
    late = Late(Cause.IN_DOUBT, 4, minutes(120), "inv_1")
    (by_itself,) = late_rows(overview(Verdict.DEGRADED, late), 0, ())
    (held,) = late_rows(overview(Verdict.DEGRADED, late), 1, ())

    assert not by_itself.needs_person
    assert held.needs_person
    assert held.next == HELD


def test_a_cause_names_its_endpoints_and_says_when_all_of_them_are_disabled():
    late = Late(Cause.WEBHOOK_WAITS, 5, minutes(1), "inv_1")
    names = [f"ep_{number}" for number in range(5)]
    parts = [Part(late=late, account="a", endpoint=name, is_share=True) for name in names]
    (row,) = late_rows(overview(Verdict.DEGRADED, late, parts=parts), 0, names)

    assert (list(row.names), row.more) == (["ep_0", "ep_1", "ep_2"], 2)
    assert (row.next, row.needs_person) == (DISABLED, True)


def test_what_concerns_everybody_is_told_without_a_number():
    (row,) = late_rows(overview(Verdict.STALLED, Late(Cause.NO_WORKER, 0, minutes(1), None)), 0, ())

    assert row.count is None


def test_each_sentence_of_a_cause_is_there_in_german():
    sentences = {text for words in WORDS.values() for text in (words.what, words.next, words.go)} | {HELD, DISABLED}

    assert sentences - set(words_of("de")) == set()


# --- charts -----------------------------------------------------------------------------------------------------------


def test_a_sparkline_is_as_high_as_the_highest_value_or_the_goal():
    chart = sparkline([0.0, 5.0, 10.0], 10.0)

    assert chart.line == f"M0 {HEIGHT:g} L80 17 L{WIDTH:g} 2"
    assert chart.goal == 2.0
    assert sparkline([1.0, 2.0], 4.0).goal == 2.0
    assert sparkline([8.0, 8.0], 2.0).goal == 24.5


def test_a_sparkline_is_broken_where_nothing_was_measured():
    assert sparkline([1.0, 1.0, None, 1.0, 1.0]).line.count("M") == 2
    assert sparkline([None, None]).line == ""
    assert sparkline([]).area == ""


@pytest.mark.parametrize(
    ("seconds", "english", "german"),
    [
        (0.006, "6 ms", "6 ms"),
        (0.41, "0.41 s", "0,41 s"),
        (3.1, "3.1 s", "3,1 s"),
        (5.0, "5 s", "5 s"),
        (42, "42 s", "42 s"),
    ],
)
def test_a_figure_at_a_glance_has_two_digits(seconds, english, german):
    assert (short_seconds("en", seconds), short_seconds("de", seconds)) == (english, german)


# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_every_role_sees_the_overview_and_it_holds_no_form_that_changes_anything(ground, role):
    answered = ground.get("/console/", role)

    assert answered.status_code == 200
    assert "Stalled: no worker runs" in answered.text
    actions = re.findall(r'<form[^>]*action="([^"]*)"', answered.text)
    assert set(actions) <= {"/console/search", "/console/sign-out", "/console/language"}
    assert len(answered.content) < 100_000


def test_with_workers_seen_the_causes_are_told(ground, scene):
    heartbeat = Heartbeat(scene.database, ("intake", "worker", "web"), ACCOUNTS)
    heartbeat.moved()
    heartbeat.write()
    page = ground.get("/console/").text

    assert "<h1>Degraded: " in page
    assert "1 worker seen in the last 15 s." in page
    assert "In doubt: a create got no answer" in page
    assert "dpkg-48229" in page  # the example, by its order


def test_who_sees_one_account_is_told_nothing_of_another(ground, scene):
    page = ground.get("/console/", accounts="zeroxhost").text

    assert "nebulox" not in page
    for order in ("dpkg-48229", "dpkg-48230"):
        assert order not in page
        assert scene.ids[order] not in page
    assert "workers seen" not in page
    assert "zeroxhost" in page


def test_who_sees_an_account_without_invoices_sees_that_there_is_nothing(ground):
    page = ground.get("/console/", accounts="nobody's").text

    for words in ("Nothing is open", "No money is waited for", "Everything went as planned", "No endpoints"):
        assert words in page
    assert "dpkg-" not in page


def test_the_parts_that_change_are_drawn_by_themselves(ground):
    page = ground.get("/console/").text

    parts = set(re.findall(r"<!--live:([a-z-]+)-->", page))
    assert parts >= {"late", "speeds", "open", "money", "endpoints", "surprises", "accounts", "settle"}


def test_what_a_provider_wrote_of_a_failed_order_is_text(ground, scene):
    judge(scene.store, scene.ids["dpkg-48230"], OrderRefused(reason=MARKUP))
    page = ground.get("/console/").text

    assert MARKUP not in page
    assert "&lt;img src=x onerror=" in page


@pytest.mark.parametrize(("amount", "is_long"), [("0.12345678", False), ("0.123456789012345678", True), (None, False)])
def test_amounts_of_many_decimals_get_more_room(amount, is_long):
    money = Money("ETH", "Ethereum", None if amount is None else Decimal(amount), None)

    assert money.is_long is is_long


def test_an_address_with_a_parameter_nobody_knows_is_refused(ground):
    assert ground.get("/console/?stauts=paid").status_code == 400


def test_who_comes_before_the_figures_are_read_does_not_wait_for_them(scene):
    ground = Ground(scene, patience_seconds=0.0)
    page = ground.get("/console/").text
    ground.close()

    assert "Stalled: no worker runs" in page
    assert "The figures are being read" in page
    assert "Nothing is open" not in page


def test_the_figures_say_of_when_they_are(ground):
    assert re.search(r"Figures as of <time[^>]*>\d\d:\d\d:\d\d UTC", ground.get("/console/").text)


def test_a_thousand_looks_within_a_few_seconds_are_one_reading(ground, monkeypatch):
    read = []
    monkeypatch.setattr("workers.web.console.figures.FRESH_SECONDS", 3600.0)
    ground.get("/console/")
    monkeypatch.setattr("workers.store.reads.figures.figures.read_arrivals", lambda *_: read.append(1))
    for accounts in (None, "zeroxhost", "nebulox"):
        assert ground.get("/console/", accounts=accounts).status_code == 200
    assert read == []
