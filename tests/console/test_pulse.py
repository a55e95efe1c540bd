"""What the bar and the rail tell: to each person what concerns the accounts that they see."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from domain.evidence import CredentialsRefused
from domain.why import Cause, Verdict
from domain.why.patience import Pace
from tests.console.scene import ACCOUNTS
from tests.contracts.store_cases import disable_endpoint, judge, subscribe
from workers.store.reads.why.late import read_overview
from workers.web.console.pulse import PulseReader
from workers.web.threads import StoreThreads


@pytest.fixture
def take(scene):
    """A pulse as it is read anew for who sees these accounts."""
    threads, database = StoreThreads(), scene.database
    overview = partial(database.read, read_overview, database, Pace(ACCOUNTS, {}))

    def take(accounts=None, breakers=lambda _: {}):
        return asyncio.run(PulseReader(threads, database, overview, breakers, 60.0).take(accounts))

    yield take
    threads.close()


def test_who_sees_all_is_told_of_every_account(take):
    pulse = take()

    assert pulse.verdict is Verdict.STALLED  # no worker runs here
    assert {"doubts", "rejected", "unmatched"} <= pulse.counts.keys()


def test_who_sees_one_account_is_told_nothing_of_the_others(take):
    theirs = take({"zeroxhost"})

    assert not {"doubts", "rejected"} & theirs.counts.keys()
    assert theirs.counts["unmatched"] == 1
    assert "unmatched" not in take({"nebulox"}).counts
    assert Cause.IN_DOUBT not in [one.cause for one in theirs.late]
    assert take({"nebulox"}).counts["doubts"] == 1


def test_endpoints_that_are_held_need_a_person_who_sees_them(scene, take):
    before = take().counts.get("endpoints", 0)
    endpoint = subscribe(scene.database)
    assert take(breakers=lambda _: {endpoint: "open"}).counts["endpoints"] == before + 1

    disable_endpoint(scene.database, endpoint)
    assert take().counts["endpoints"] == before + 1
    assert take({"nobody's"}).counts.get("endpoints", 0) == 0  # it is everybody's


def test_accounts_whose_key_is_refused_need_a_person(scene, take):
    refused = CredentialsRefused(reason="HTTP 401: unknown API key")
    judge(scene.store, scene.ids["dpkg-48230"], refused)

    assert take().counts["accounts"] == 1
    assert take({"nebulox"}).counts["accounts"] == 1
    assert "accounts" not in take({"zeroxhost"}).counts


def test_the_rail_counts_nothing_of_accounts_that_are_not_seen(ground):
    assert "need a person" in ground.get("/console/invoices").text
    assert "need a person" not in ground.get("/console/invoices", accounts="nobody's").text
