"""`invoices drift list|accept`, and where else it shows."""

from __future__ import annotations

import dataclasses

import pytest

from domain.drift import Novelty
from domain.evidence import Created
from workers.store.judging import Judgement

WORD = Novelty("nebulox", "nebulox", "word", "", "status", "aml_hold")
FIELD = Novelty("nebulox", "nebulox", "field", "callback", "riskLevel", "")


@pytest.fixture
def drifted(store, add_order):
    """Twelve invoices whose answers have a status that nobody documented; the first one's has a new field, too."""
    ids = [add_order(f"A-{number}") for number in range(12)]
    for number, invoice_id in enumerate(ids):
        made = Created(provider_ref=f"r-{number}", payment_url="https://pay.example/1")
        news = (WORD, FIELD) if number == 0 else (WORD,)
        store.judge_and_take([Judgement(invoice_id, dataclasses.replace(made, news=news))], None)
    return ids


def test_it_is_listed_with_how_many_invoices_have_it(invoices, drifted):
    heading, *lines = invoices("drift", "list").out.splitlines()
    assert heading.split() == ["ID", "ACCOUNT", "NEW", "IN", "INVOICES", "SINCE", "ACCEPTED"]
    told = [" ".join(line.split()[1:-2]) for line in lines]
    assert told == ["nebulox status aml_hold 12", "nebulox field riskLevel callback 1"]
    found = {one["kind"]: one for one in invoices("drift", "list", "--json").lines}
    assert (found["word"]["invoices"], found["word"]["value"], found["word"]["accepted_at"]) == (12, "aml_hold", None)
    assert (found["field"]["call"], found["field"]["field"]) == ("callback", "riskLevel")
    (event,) = [one for one in invoices("events", "--json", "--type", "provider.drift", "--limit", "9").lines
                if one["id"] == found["word"]["event"]]  # fmt: skip
    assert event["data"]["drift"] == found["word"]["id"]
    assert invoices("drift", "list", "--account", "zeroxhost").err.startswith("every answer is as")


def test_the_invoice_shows_it(invoices, drifted):
    shown = invoices("show", "A-0").out
    assert "new in the provider's answers (invoices drift list)" in shown
    assert "nebulox sends a field it never sent: riskLevel (callback)" in shown
    (fields,) = invoices("show", "A-1", "--json").lines
    assert [one["text"] for one in fields["drift"]] == ["nebulox sends a status it never sent: aml_hold"]


def test_people_read_it_below_the_cause_and_programs_read_the_same_fields_as_ever(invoices, drifted):
    name = invoices("list", "--json").lines[0]["id"]
    assert "  new      nebulox sends a status it never sent: aml_hold" in invoices("why", name).out
    (why,) = invoices("why", name, "--json").lines
    assert list(why) == ["cause", "text", "since", "next_at", "next", "command"]


def test_the_doctor_notes_it_and_nothing_is_wrong_for_that(invoices, drifted):
    found = [one for one in invoices("doctor", "--json").lines if one["cause"] == "provider_drift"]
    assert [(one["state"], one["count"], one["command"]) for one in found] == [
        ("note", 2, "invoices drift list --account nebulox")
    ]
    assert "a status it never sent: aml_hold, invoices: 12" in found[0]["detail"]


def test_what_is_accepted_shows_nowhere_but_in_the_whole_list_and_the_audit(invoices, drifted):
    number = next(one["id"] for one in invoices("drift", "list", "--json").lines if one["kind"] == "word")
    assert invoices("drift", "accept", number, "--reason", "their AML check").out == "accepted 1\n"
    assert "aml_hold" not in invoices("drift", "list").out
    assert "aml_hold" in invoices("drift", "list", "--all").out
    assert "aml_hold" not in invoices("show", "A-3").out
    assert "drift.accept" in invoices("audit").out
    assert invoices("drift", "accept", "--account", "nebulox", "--reason", "all known", "--json").lines == [
        {"accepted": 1}
    ]
    assert invoices("drift", "list").err.startswith("every answer is as")


def test_accepting_what_is_not_open_or_nothing_at_all_says_so(invoices):
    gone = invoices("drift", "accept", "7", "--reason", "why not")
    assert (gone.code, gone.err) == (1, "invoices: nothing like that is open (see: invoices drift list)\n")
    for arguments in ((), ("7", "--account", "nebulox")):
        assert invoices("drift", "accept", *arguments, "--reason", "why not").code == 2
