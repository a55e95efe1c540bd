"""The timeline of one invoice: what stands in it, in which order, what is folded, and that it stays bounded."""

from __future__ import annotations

import re
from datetime import timedelta

from domain.permissions import Role
from tests.console.receivers import HEALTHY
from tests.console.scene import OPERATOR
from tests.console.story import ORDER
from tests.contracts.store_cases import change, events_of, evidence_of
from workers.store.operate.replay import replay_of_invoice
from workers.store.tables import EVIDENCE
from workers.web.console.invoice_page import MOST_LINES, read_page
from workers.web.console.person import Person


def page_of(ground, order_id, query="", **options):
    answered = ground.get(f"/console/invoices/{ground.scene.ids[order_id]}{query}", **options)
    assert answered.status_code == 200, answered.text[:300]
    return answered.text


def lines_in(page):
    """Its lines as text, newest first; those of a fold within their line."""
    timeline = page.partition('<ol class="timeline">')[2].partition("</section>")[0]
    found = re.findall(r'<li class="line ([^"]*)"[^>]*>(.*?)(?=<li class="(?:line|day)|</ol>)', timeline, re.DOTALL)
    return [(kind, re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", body)).strip()) for kind, body in found]


def test_everything_that_happened_has_its_line_newest_first(ground):
    kinds = [kind.split()[0] for kind, _ in lines_in(page_of(ground, ORDER)) if kind not in {"coming", "now"}]

    assert kinds[-1] == "line-order"
    assert kinds.count("line-decisions") == 4
    assert kinds.count("line-events") == 3
    assert kinds.count("line-operators") == 2
    assert kinds.index("line-operators") < kinds.index("line-order")


def test_a_decision_says_what_became_what_and_what_speaks_for_it(ground):
    decisions = [text for kind, text in lines_in(page_of(ground, ORDER)) if kind == "line-decisions"]

    assert "partially paid" in decisions[0]
    assert "expired underpaid" in decisions[0]
    assert "0.0200000000 of 0.0358619204 ETH received" in decisions[1]
    assert "told by look-up" in decisions[1]
    assert "to pay: 0.0358619204 ETH" in decisions[2]
    assert "told by call" in decisions[2]
    assert "the create got no answer" in decisions[3]


def test_evidence_has_its_badge_its_verdict_and_its_words_one_click_away(ground, scene):
    page = page_of(ground, ORDER)

    for badge in ("call", "look-up", "callback"):
        assert f'<span class="kind">{badge}</span>' in page
    assert "applied" in page
    raw = [row for row in evidence_of(scene.database, scene.ids[ORDER]) if row.raw]
    for row in raw:
        path = f"/console/invoices/{scene.ids[ORDER]}/raw/evidence/{row.id}"
        assert f'href="{path}"' in page
        assert f"raw, {len(row.raw)} B" in page
        told = ground.get(path)
        assert told.status_code == 200
        assert row.raw.replace('"', "&#34;") in told.text


def test_a_callback_and_the_evidence_that_it_is_are_one_line(ground):
    callbacks = [text for _, text in lines_in(page_of(ground, ORDER)) if "callback" in text]

    assert len(callbacks) == 1
    assert "Paying" in callbacks[0]


def test_an_operators_line_has_who_and_why_and_from_where_only_for_those_who_see_every_account(ground):
    whole, limited = page_of(ground, ORDER), page_of(ground, ORDER, accounts="zeroxhost")

    assert "had it looked up" in whole
    assert "The customer says the rest was sent at 20:15." in whole
    assert "cli ops@host" in whole
    assert "had it looked up" in limited
    assert "cli ops@host" not in limited


def test_an_events_line_says_where_it_is_and_where_it_is_not_yet(ground, scene):
    events = [text for kind, text in lines_in(page_of(ground, ORDER)) if kind == "line-events"]

    assert "invoice.expired event 3, delivered to hooks.shop.example/eu/invoices" in events[0]
    assert "on its way to erp.shop.example/hooks/payments" in events[0]
    assert f"/console/deliveries?event={events_of(scene.database, scene.ids[ORDER])[-1].id}" in page_of(ground, ORDER)
    assert "a-secret-token" not in page_of(ground, ORDER)


def test_tries_of_what_was_delivered_are_in_their_events_line_and_under_attempts(ground):
    everything, attempts = lines_in(page_of(ground, ORDER)), lines_in(page_of(ground, ORDER, "?show=attempts"))

    assert not [text for kind, text in everything if "line-attempts" in kind and "hooks.shop.example" in text]
    assert [text for kind, text in everything if "line-attempts" in kind and "erp.shop.example" in text]
    assert [text for kind, text in attempts if "hooks.shop.example" in text and "204 No Content" in text]
    assert [text for kind, text in attempts if "erp.shop.example" in text and "503 Service Unavailable" in text]


def test_what_a_receiver_answered_is_shown_as_text(ground, scene):
    invoice_id = scene.ids[ORDER]
    paths = re.findall(rf"/console/invoices/{invoice_id}/raw/attempt/\d+", page_of(ground, ORDER, "?show=attempts"))

    told = ground.get(paths[0]).text

    assert "upstream connect error" in told
    assert "<script>alert(1)</script>" not in told


def test_who_is_limited_to_accounts_sees_no_endpoint_of_all_accounts_nor_what_it_answered(ground, scene):
    invoice_id = scene.ids[ORDER]
    page = page_of(ground, ORDER, "?show=attempts")
    path = re.findall(rf"/console/invoices/{invoice_id}/raw/attempt/\d+", page)[0]

    assert "erp.shop.example" not in page_of(ground, ORDER, accounts="zeroxhost")
    assert ground.get(path, accounts="zeroxhost").status_code == 404


def test_words_that_are_not_this_invoices_are_not_shown(ground):
    for path in (
        "evidence/999",
        "evidence/x",
        "callback/1",
        "attempt/999",
        "event/999",
        "secret/1",
        f"event/{'9' * 30}",
    ):
        assert ground.get(f"/console/invoices/{ground.scene.ids[ORDER]}/raw/{path}").status_code == 404, path


def test_no_words_of_another_invoice_are_shown_under_this_one(ground, scene):
    theirs = next(row for row in evidence_of(scene.database, scene.ids[ORDER]) if row.raw)

    assert ground.get(f"/console/invoices/{scene.ids['dpkg-48231']}/raw/evidence/{theirs.id}").status_code == 404


def test_what_comes_stands_dashed_above_now(ground):
    lines = lines_in(page_of(ground, "dpkg-48231"))
    kinds = [kind for kind, _ in lines]

    assert kinds.index("now") > 0
    assert set(kinds[: kinds.index("now")]) == {"coming"}
    assert any("it expires then" in text for kind, text in lines if kind == "coming")
    assert "coming" not in [kind for kind, _ in lines_in(page_of(ground, "dpkg-48231", "?show=evidence"))]


def test_look_ups_in_a_row_that_changed_nothing_are_one_line(ground, scene):
    invoice_id = scene.ids["dpkg-48226"]
    fill(scene, invoice_id, 47, "Seen")

    page = page_of(ground, "dpkg-48226")

    assert "47 look-ups that changed nothing" in page
    evidence = lines_in(page_of(ground, "dpkg-48226", "?show=evidence"))
    assert len([text for _, text in evidence if "look-up" in text]) == 48


def test_look_ups_that_failed_stand_by_themselves(ground, scene):
    fill(scene, scene.ids["dpkg-48226"], 5)

    page = page_of(ground, "dpkg-48226")

    assert "look-ups that changed nothing" not in page
    assert page.count("answers what can&#39;t be understood") == 5


def test_each_tab_shows_its_lines_and_has_their_number(ground):
    for tab in ("evidence", "decisions", "events", "attempts", "operators"):
        page = page_of(ground, ORDER, f"?show={tab}")
        lines = lines_in(page)

        assert lines
        assert {one.split()[0] for one, _ in lines} == {f"line-{tab}"}
        link = re.search(rf'\?show={tab}" aria-current="true">\w+ <span class="muted">(\d+)</span>', page)
        assert link is not None
        assert int(link[1]) == len(lines)


def test_a_query_that_means_nothing_is_refused(ground):
    for query in ("?show=nothing", "?before=yesterday", "?unknown=1", "?show=evidence&show=events"):
        assert ground.get(f"/console/invoices/{ground.scene.ids[ORDER]}{query}").status_code == 400, query


def fill(scene, invoice_id, number, kind="Unreadable"):
    """So many pieces of evidence, a second apart, before everything else."""
    first = min(row.at for row in evidence_of(scene.database, invoice_id))
    detail = '{{"reason": "number {0}", "word": "w{0}"}}'
    told = {"invoice_id": invoice_id, "kind": kind, "verdict": "noted", "source": "look-up", "raw": "x" * 2000}
    with scene.database.transaction() as connection:
        connection.execute(
            EVIDENCE.insert(),
            [
                {**told, "at": first - timedelta(seconds=number - place), "detail": detail.format(place)}
                for place in range(number)
            ],
        )


def look(ground, invoice_id, before=None):
    """Its evidence, as an admin sees it."""
    person = Person("p", Role.ADMIN, None, "")
    page = read_page(ground.scene.store, ground.around, person, invoice_id, "evidence", before)
    assert page is not None
    return page.history


def test_a_history_of_thousands_of_lines_is_shown_in_pages_without_a_gap_or_a_repeat(ground, scene):
    invoice_id = scene.ids["dpkg-48225"]
    fill(scene, invoice_id, 2000)
    history = look(ground, invoice_id)
    pages = [history]
    while history.older is not None:
        history = look(ground, invoice_id, history.older)
        pages.append(history)
    found = [line.name for page in pages for line in page.lines]

    assert all(len(page.lines) <= MOST_LINES for page in pages)
    assert len(pages) >= 2000 // MOST_LINES
    assert len(found) == len(set(found)) == len(evidence_of(scene.database, invoice_id))


def test_the_way_to_older_lines_is_a_link_and_the_numbers_say_that_there_are_more(ground, scene):
    fill(scene, scene.ids["dpkg-48225"], 1000)

    page = page_of(ground, "dpkg-48225")

    older = re.search(r'href="([^"]+before=[^"]+)" rel="next"', page)
    assert older is not None
    assert f"{MOST_LINES + 1}+</span>" in page
    following = ground.get(older[1].replace("&amp;", "&"))
    assert following.status_code == 200
    assert "To the newest" in following.text


def test_more_lines_at_one_instant_than_a_page_has_keep_nobody_from_going_on(ground, scene):
    invoice_id = scene.ids["dpkg-48225"]
    fill(scene, invoice_id, MOST_LINES * 2)
    moment = min(row.at for row in evidence_of(scene.database, invoice_id))
    change(scene.database, EVIDENCE, EVIDENCE.c.kind == "Unreadable", at=moment)

    history = look(ground, invoice_id)
    while history.older is not None:
        history = look(ground, invoice_id, history.older)

    assert history.older is None


def test_a_replayed_delivery_numbers_its_tries_anew(ground, scene):
    invoice_id, endpoint = scene.ids[ORDER], scene.receivers[HEALTHY]
    replay_of_invoice(scene.store, OPERATOR, invoice_id, endpoint, only_newest=True)

    texts = [text for _, text in lines_in(page_of(ground, ORDER, "?show=attempts")) if "hooks.shop.example" in text]

    assert sum("before the replay" in text for text in texts) == 1
