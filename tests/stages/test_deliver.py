"""DELIVER as the pump runs it: claim, try, settle."""

from __future__ import annotations

import asyncio

import fakeredis
import pytest

from domain.decision import Stage
from tests.contracts.store_cases import attempts_of, deliveries_of, open_store, pend, subscribe
from workers.outbound.address import AddressGuard
from workers.outbound.breaker import Breaker
from workers.outbound.secretbox import SecretBox, new_key
from workers.outbound.webhook import WebhookSender
from workers.stages import DeliverStage
from workers.store.database import Database
from workers.store.schema import upgrade


@pytest.fixture
def database(tmp_path):
    url = f"sqlite:///{tmp_path / 'invoices.db'}"
    upgrade(url)
    database = Database(url)
    yield database
    database.close()


def test_a_secret_that_no_key_opens_costs_a_try_and_is_told_instead_of_stopping_the_lane(database):
    endpoint = subscribe(database)
    store = open_store(database)
    (invoice_id,) = pend(store)

    async def deliver() -> None:
        breaker = Breaker(fakeredis.FakeAsyncRedis())
        stage = DeliverStage(store, WebhookSender(AddressGuard(())), breaker, lambda: SecretBox([new_key()]))
        work = stage.work()
        assert list(work.lanes()) == [endpoint]
        (parcel,) = work.claim(endpoint, 10)
        assert parcel.claim.stage is Stage.DELIVER
        assert work.perform is not None
        work.commit(await work.perform(endpoint, [parcel]))

    asyncio.run(deliver())
    (delivery,) = deliveries_of(database, invoice_id)
    assert (delivery.state, delivery.tries) == ("due", 1)
    (attempt,) = attempts_of(database, delivery.id)
    assert attempt.error == "secret: can't be opened with INVOICES_SECRET_KEY"
    assert attempt.next_try_at is not None
