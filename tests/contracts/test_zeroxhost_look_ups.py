"""0xhost's look-ups: one by one, in pages, and what its words mean."""

from __future__ import annotations

import json

import httpx
import pytest
from structlog.testing import capture_logs

from domain.evidence import (
    CredentialsRefused,
    RateLimited,
    Seen,
    Unreachable,
    Unreadable,
)
from domain.status import Anomaly, Status
from tests.contracts.provider_cases import CASES, PLAIN_KEY, look_up_recorded
from workers.providers.zeroxhost.look_up import FEW, MAX_PAGES, MAX_SINGLES

CASE = CASES["zeroxhost"]
TX_HASH = "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060"


def row(ref, status="Paying", **fields):
    return {"track_id": ref, "status": status, "tx_hash": None, "amount": "100.00", "currency": "eur", **fields}


def body(data, **fields):
    return json.dumps({"success": True, "data": data, **fields})


def seen(status, **fields):
    answers, _ = look_up_recorded(CASE, ["1"], (200, body(row("1", status, **fields))))
    return answers["1"]


def test_a_single_lookup_is_the_documented_one():
    _, requests = look_up_recorded(CASE, ["a/b c"], (200, body(row("a/b c"))))
    assert requests[0].method == "GET"
    assert str(requests[0].url) == "https://provider.test/API/get_transation_by_track_id?track_id=a%2Fb+c"
    assert requests[0].headers["x-api-key"] == PLAIN_KEY


@pytest.mark.parametrize(
    ("word", "tx_hash", "status", "anomaly"),
    [
        ("Paying", None, Status.PENDING, None),
        ("Paying", "", Status.PENDING, None),
        ("paying", TX_HASH, Status.CONFIRMING, None),
        ("New", None, Status.PENDING, None),
        ("WAITING", None, Status.PENDING, None),
        ("Paid", None, Status.PAID, None),
        ("paid", TX_HASH, Status.PAID, None),
        ("expired", None, Status.EXPIRED, None),
        ("Expired", TX_HASH, Status.EXPIRED, None),
        ("Underpaid", TX_HASH, Status.EXPIRED, Anomaly.UNDERPAID),
        ("Refunded", None, Status.REFUNDED, None),
    ],
)
def test_the_providers_words_are_mapped_without_regard_to_case(word, tx_hash, status, anomaly):
    evidence = seen(word, tx_hash=tx_hash)
    assert isinstance(evidence, Seen)
    assert (evidence.status, evidence.anomaly, evidence.word) == (status, anomaly, word)


@pytest.mark.parametrize(
    "tx_hash",
    ["null", "0", 0, False, [], " ", "-", "none", "pending", "0x", "0x" + "0" * 64, "N/A", "undefined"],
)
def test_a_placeholder_is_no_proof_of_a_payment(tx_hash):
    assert seen("Paying", tx_hash=tx_hash).status is Status.PENDING


@pytest.mark.parametrize("tx_hash", [TX_HASH, TX_HASH[:20], "0xabc", "0x" + "ab" * 32, "deadbeef" * 8, "tx1"])
def test_a_transaction_is_proof_of_a_payment_however_it_is_named(tx_hash):
    answer = seen("Paying", tx_hash=tx_hash)
    assert (answer.status, answer.tx_hash) == (Status.CONFIRMING, tx_hash)


def test_a_word_nobody_documented_changes_nothing_and_is_logged_once():
    with capture_logs() as logs:
        answers, _ = look_up_recorded(
            CASE,
            ["1", "2", "3"],
            (200, body(row("1", "Frozen"))),
            (200, body(row("2", "frozen"))),
            (200, body(row("3"))),
        )
    assert {ref: (answer.status, answer.word) for ref, answer in answers.items()} == {
        "1": (None, "Frozen"),
        "2": (None, "frozen"),
        "3": (Status.PENDING, "Paying"),
    }
    assert [(log["event"], log["word"]) for log in logs] == [("provider.unknown_status", "Frozen")]


@pytest.mark.parametrize(
    "answer",
    [
        (404, '{"error": "Transaction not found", "data": {}}'),
        (200, '{"error": "Transaction not found", "data": {"track_id": "1", "status": "Paid"}}'),
        (200, '{"success": false, "message": "no", "data": []}'),
        (200, body(row("2", "Paid"))),
        (200, body([])),
        (200, body(row("1", None))),
        (200, "<html>"),
        (302, body(row("1", "Paid"))),
    ],
)
def test_an_unknown_or_unreadable_invoice_is_no_news(answer):
    answers, _ = look_up_recorded(CASE, ["1"], answer)
    assert isinstance(answers["1"], Unreadable)


@pytest.mark.parametrize(("status", "kind"), [(401, CredentialsRefused), (429, RateLimited), (503, Unreachable)])
@pytest.mark.parametrize("count", [1, FEW + 1])
def test_what_is_about_the_account_is_said_for_every_invoice(status, kind, count):
    refs = [str(number) for number in range(count)]
    answers, requests = look_up_recorded(CASE, refs, (status, "{}"))
    assert list(map(type, answers.values())) == [kind] * count
    assert len(requests) == 1


def pages(rows, per_page=None):
    """A list that is asked page by page; ``per_page`` caps what the caller asks for."""

    def answer(request):
        query = request.url.params
        if "track_id" in query:
            found = [entry for entry in rows if entry["track_id"] == query["track_id"]]
            return httpx.Response(200, text=body(found)) if found else httpx.Response(404, text='{"error": "x"}')
        size = min(int(query["per_page"]), per_page or 100)
        start = (int(query["page"]) - 1) * size
        return httpx.Response(200, text=body(rows[start : start + size]))

    return answer


def paths(requests):
    return [request.url.path.rsplit("/")[-1] for request in requests]


def test_few_are_asked_one_by_one():
    rows = [row(str(number), "Paid") for number in range(FEW)]
    answers, requests = look_up_recorded(CASE, [entry["track_id"] for entry in rows], pages(rows))
    assert {answer.status for answer in answers.values()} == {Status.PAID}
    assert paths(requests) == ["get_transation_by_track_id"] * FEW


def test_many_are_found_in_pages_until_all_are_found():
    rows = [row(str(number), "Paid") for number in range(1000)]
    wanted = [str(number) for number in range(0, 250, 10)]
    answers, requests = look_up_recorded(CASE, wanted, pages(rows))
    assert {ref: answer.status for ref, answer in answers.items()} == dict.fromkeys(wanted, Status.PAID)
    assert paths(requests) == ["list_transactions"] * 3
    assert str(requests[0].url).endswith("/API/list_transactions?per_page=100&page=1")


def test_a_provider_that_caps_its_pages_is_read_on():
    rows = [row(str(number), "Paid") for number in range(45)]
    answers, requests = look_up_recorded(CASE, [str(number) for number in range(30, 40)], pages(rows, per_page=10))
    assert {answer.status for answer in answers.values()} == {Status.PAID}
    assert paths(requests) == ["list_transactions"] * 4


def test_what_a_short_page_ends_without_is_asked_alone():
    rows = [row(str(number), "Paid") for number in range(10)]
    answers, requests = look_up_recorded(CASE, ["1", "2", "3", "4", "gone"], pages(rows, per_page=7))
    assert isinstance(answers.pop("gone"), Unreadable)
    assert {answer.status for answer in answers.values()} == {Status.PAID}
    assert paths(requests) == ["list_transactions"] * 2 + ["get_transation_by_track_id"]


def test_pages_and_single_lookups_are_bounded():
    rows = [row(str(number), "Paid") for number in range(100 * MAX_PAGES + 200)]
    wanted = [str(100 * MAX_PAGES + number) for number in range(100)]
    answers, requests = look_up_recorded(CASE, wanted, pages(rows))
    assert set(answers) == set(wanted)
    assert sum(isinstance(answer, Seen) for answer in answers.values()) == MAX_SINGLES
    assert len(requests) == MAX_PAGES + MAX_SINGLES
    assert answers[wanted[-1]].reason == "not found in the list, asked alone next time"


def test_a_list_that_cant_be_read_leaves_the_single_lookups():
    answers, requests = look_up_recorded(
        CASE,
        list("12345"),
        lambda r: pages([row("1", "Paid")])(r) if "track_id" in r.url.params else httpx.Response(404),
    )
    assert answers["1"].status is Status.PAID
    assert len(requests) == 6


def test_a_repeated_ref_is_asked_once():
    _, requests = look_up_recorded(CASE, ["1", "1", "1"], (200, body(row("1"))))
    assert len(requests) == 1


def test_a_rows_evidence_is_the_row_without_the_key():
    answers, _ = look_up_recorded(CASE, ["1"], (200, body(row("1", "Paid", description=PLAIN_KEY, nested=[[1]]))))
    assert '"description":"***"' in answers["1"].raw
    assert "nested" not in answers["1"].raw


# --- with no more calls than these ------------------------------------------------------------------------------------


def by_path(known):
    """A provider whose list holds these pages and whose single look-ups find anything."""

    def answer(request):
        if request.url.path.endswith("list_transactions"):
            page = int(request.url.params["page"])
            return httpx.Response(200, content=body([row(ref) for ref in known[page - 1]]))
        return httpx.Response(200, content=body(row(request.url.params["track_id"])))

    return answer


def kinds(requests):
    return ["list" if request.url.path.endswith("list_transactions") else "one" for request in requests]


def test_one_call_covers_as_many_as_a_page_of_the_list_holds():
    refs = [f"r{number}" for number in range(50)]
    answers, requests = look_up_recorded(CASE, refs, by_path([refs]), calls=1)
    assert kinds(requests) == ["list"]
    assert set(answers) == set(refs)


def test_few_enough_to_be_asked_one_by_one_are():
    refs = ["a", "b", "c", "d", "e", "f"]
    answers, requests = look_up_recorded(CASE, refs, by_path([refs]), calls=6)
    assert kinds(requests) == ["one"] * 6
    assert set(answers) == set(refs)


@pytest.mark.parametrize("calls", [1, 2, 3, 7, 40])
def test_no_more_calls_are_made_and_what_they_do_not_cover_is_left_out(calls):
    """Old invoices, which no page of the list holds any more: one page is tried, the rest is asked one by one."""
    refs = [f"r{number}" for number in range(50)]
    answers, requests = look_up_recorded(CASE, refs, by_path([["x"] * 100] * 10), calls=calls)
    assert kinds(requests) == ["list"] + ["one"] * (calls - 1)
    assert set(answers) == set(refs[: calls - 1])


def test_the_list_is_read_on_as_long_as_its_pages_hold_what_is_wanted():
    refs = [f"r{number}" for number in range(30)]
    pages = [refs[:10] + ["x"] * 90, refs[10:20] + ["y"] * 90, ["z"] * 100, refs[20:] + ["z"] * 90]
    answers, requests = look_up_recorded(CASE, refs, by_path(pages), calls=6)
    assert kinds(requests) == ["list"] * 3 + ["one"] * 3
    assert set(answers) == set(refs[:23])


def test_what_is_wrong_with_the_account_is_the_answer_for_all():
    answers, requests = look_up_recorded(CASE, ["a", "b", "c"], (429, "{}"), calls=2)
    assert len(requests) == 1
    assert {type(answer) for answer in answers.values()} == {RateLimited}
    assert len(answers) == 3
