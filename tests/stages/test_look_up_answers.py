"""An answer about an invoice that is asked about by several references."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from domain.decision import Stage
from domain.evidence import Seen, Unreadable
from domain.status import Status
from workers.stages.answers import answer_about
from workers.store.agenda import Claim

AT = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
CLAIM = Claim(Stage.CHECK, "nebulox", "inv_1", "token", False, AT)
INVOICE: Any = SimpleNamespace(provider_ref="9a1c")


def seen(status):
    return Seen(status=status, word=status.value, asked_at=AT)


def test_the_answer_that_says_most_counts_and_the_others_payments_come_with_it():
    found = {"100": seen(Status.PENDING), "101": seen(Status.PAID), "102": Unreadable(reason="404")}
    answer = answer_about(found, CLAIM, INVOICE, ["100", "101", "102"])
    assert isinstance(answer, Seen)
    assert (answer.status, answer.reference) == (Status.PAID, "101")
    assert [(one.status, one.reference) for one in answer.others] == [(Status.PENDING, "100")]


def test_what_is_asked_by_the_providers_own_id_names_no_reference():
    answer = answer_about({"9a1c": seen(Status.PAID)}, CLAIM, INVOICE, ["9a1c"])
    assert isinstance(answer, Seen)
    assert (answer.reference, answer.others) == (None, ())
