"""Which invoices an account's provider has made: each way to them finds the same, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.contracts.store_cases import ACCOUNT, SILENT_ACCOUNT, invoice_of, now, pend, queue
from workers.store.queries import earliest_id
from workers.store.reads import made_at_provider

#: How many are walked, and how many references are looked through: all that there are, too few, and too few of both.
WAYS = [(1000, 1000), (4, 1000), (4, 2)]


@pytest.fixture(params=WAYS, ids=["walked", "by references", "from end to end"], autouse=True)
def way(request, monkeypatch):
    walked, named = request.param
    monkeypatch.setattr(made_at_provider, "WALKED", walked)
    monkeypatch.setattr(made_at_provider, "NAMED", named)


def first(database, account, since):
    return database.read(made_at_provider.first_made, account, since, earliest_id(since - timedelta(minutes=10)))


@pytest.mark.parametrize("after", [0, 6])
def test_the_first_since_a_time_is_found_before_and_after_others(database, store, after):
    began = now(database)
    pend(store, 7 - after)
    one, two, _ = pend(store, 3, account=SILENT_ACCOUNT)
    queue(store, SILENT_ACCOUNT)  # not made
    pend(store, 1 + after)

    at = [invoice_of(database, each).created_at for each in (one, two)]
    assert first(database, SILENT_ACCOUNT, began - timedelta(seconds=1)) == at[0]
    assert first(database, SILENT_ACCOUNT, now(database)) is None
    assert first(database, "nobody", began) is None


@pytest.mark.parametrize("after", [0, 6])
def test_the_newest_come_first_and_no_more_than_asked_for(database, store, after):
    ours = pend(store, 3, account=SILENT_ACCOUNT)
    queue(store, SILENT_ACCOUNT)  # not made
    pend(store, 1 + after)

    assert database.read(made_at_provider.newest_made, SILENT_ACCOUNT, 2) == sorted(ours)[:0:-1]
    assert database.read(made_at_provider.newest_made, "nobody", 2) == []
    assert len(database.read(made_at_provider.newest_made, ACCOUNT, 20)) == 1 + after
