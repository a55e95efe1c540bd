"""What is late, told to those who see some accounts only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.why import Cause, Late
from domain.why.whose import Due, Part, of_all, oldest_due
from domain.why.whose import within as parts_within

NOW = datetime(2026, 11, 28, 20, 36, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)


def part(cause: Cause, count: int, example: str | None = "inv_1", **whose: Any) -> Part:
    return Part(late=Late(cause, count, EARLIER, example), **whose)


def within(parts, now, accounts, endpoints):
    return of_all(parts_within(parts, accounts, endpoints), now)


def test_of_everything_shares_are_not_counted_twice():
    whole = part(Cause.WEBHOOK_WAITS, 5)
    shares = [part(Cause.WEBHOOK_WAITS, 3, account="a", endpoint="ep_1", is_share=True)] * 2

    assert of_all([whole, *shares], NOW) == [Late(Cause.WEBHOOK_WAITS, 5, EARLIER, "inv_1")]


def test_another_accounts_invoices_are_neither_counted_nor_named():
    parts = [part(Cause.IN_DOUBT, 3, "inv_a", account="a"), part(Cause.IN_DOUBT, 4, "inv_b", account="b")]

    assert within(parts, NOW, {"a"}, ()) == [Late(Cause.IN_DOUBT, 3, EARLIER, "inv_a")]
    assert within(parts, NOW, (), ()) == []


def test_an_example_that_fell_back_from_another_account_is_not_named():
    parts = [part(Cause.WAITS_FOR_ACCOUNT, 2, "inv_b", account="a", at="a", owner="b")]

    assert within(parts, NOW, {"a"}, ()) == [Late(Cause.WAITS_FOR_ACCOUNT, 2, EARLIER, None)]


def test_webhooks_for_an_endpoint_of_everybodys_are_told_to_those_who_see_it():
    parts = [part(Cause.WEBHOOK_WAITS, 2, account="a", owner="a", endpoint="ep_1", is_share=True)]

    assert within(parts, NOW, {"a"}, {"ep_1"}) == [Late(Cause.WEBHOOK_WAITS, 2, EARLIER, "inv_1")]
    assert within(parts, NOW, {"a"}, ()) == []


def test_what_concerns_everybody_is_told_without_a_number():
    parts = [part(Cause.STREAM_BEHIND, 900, "inv_b"), part(Cause.REJECTED_MESSAGE, 4, "order of somebody")]

    assert within(parts, NOW, {"a"}, ()) == [Late(Cause.STREAM_BEHIND, 0, EARLIER, None)]


def test_work_is_due_of_an_account_and_of_none():
    due = [Due("b", EARLIER), Due("a", NOW), Due(None, NOW - timedelta(minutes=1))]

    assert oldest_due(due) == EARLIER
    assert oldest_due(due, {"a"}) == NOW - timedelta(minutes=1)
    assert oldest_due([], {"a"}) is None
