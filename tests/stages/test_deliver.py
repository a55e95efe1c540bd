"""DELIVER as the pump runs it: claim, try, settle."""

from __future__ import annotations

import asyncio

import fakeredis
import pytest

from domain.decision import Stage
from tests.contracts.store_cases import agenda_of, attempts_of, change, deliveries_of, now, open_store, pend, subscribe
from tests.contracts.webhook_cases import Receiver
from workers.outbound.address import AddressGuard
from workers.outbound.breaker import Breaker
from workers.outbound.secretbox import SecretBox, new_key
from workers.outbound.signature import new_secret
from workers.outbound.webhook import WebhookSender
from workers.pump.work import Runner
from workers.stages import DeliverStage
from workers.stages.deliver import COMMIT_MARGIN_SECONDS, DELIVER_LEASE_SECONDS, WEBHOOK_SECONDS
from workers.store.agenda import lease_clock
from workers.store.database import Database
from workers.store.outbox import ENDPOINT
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


def test_a_lane_that_was_woken_while_its_endpoint_was_disabled_asks_again_when_it_is_enabled(database):
    endpoint = subscribe(database)
    breaker, box = Breaker(fakeredis.FakeAsyncRedis()), SecretBox([new_key()])
    work = DeliverStage(open_store(database), WebhookSender(AddressGuard(())), breaker, lambda: box).work()
    lane = Runner(work, endpoint)

    def look(disabled_at):
        change(database, ENDPOINT, disabled_at=disabled_at)
        work.lanes()
        return work.slots(endpoint)

    async def enable() -> None:
        slots = look(now(database))
        assert slots.free_for(work) <= 0
        slots.waiting.append(lane)
        slots.offer()
        assert not slots.offered
        assert look(None).free_for(work) > 0
        await asyncio.wait_for(lane.wake.wait(), 20)

    asyncio.run(enable())


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Slow:
    """Answers after a while, and knows how many it answered side by side."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.open = self.most = 0

    async def __call__(self, _receiver, writer):
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(self.seconds)
        self.open -= 1
        writer.write(OK)
        await writer.drain()


def deliver(database, count, waited_seconds=0.0, answer_seconds=0.4, total_seconds=1.5):
    """What became of webhooks that have one connection between them, each claimed so many seconds ago, and their
    receiver. While the connection is in use the lane may claim nothing more."""
    endpoint, store, box, slow = subscribe(database), open_store(database), SecretBox([new_key()]), Slow(answer_seconds)
    ids = pend(store, count)
    guard = AddressGuard("127.0.0.1")

    async def story():
        async with Receiver(slow) as receiver, WebhookSender(guard, total_seconds=total_seconds) as sender:
            change(database, ENDPOINT, url=receiver.url, secrets=box.seal(new_secret()))
            stage = DeliverStage(store, sender, Breaker(fakeredis.FakeAsyncRedis()), lambda: box, connections=1)
            work = stage.work()
            work.lanes()
            assert work.perform is not None
            assert work.admit is not None
            assert work.passes is not None
            assert (await work.admit(endpoint, 5))[0] == 5
            claimed = work.claim(endpoint, count)
            over_at = lease_clock() + DELIVER_LEASE_SECONDS - waited_seconds
            parcels = [one._replace(claim=one.claim._replace(over_at=over_at)) for one in claimed]
            sending = [asyncio.ensure_future(work.perform(endpoint, [parcel])) for parcel in parcels]
            await receiver.asked.wait()
            assert (await work.admit(endpoint, 5))[0] == 0
            assert not work.passes(endpoint)
            for tried in await asyncio.gather(*sending):
                work.commit(tried)
            assert (await work.admit(endpoint, 5))[0] == 5

    asyncio.run(story())
    return [deliveries_of(database, invoice_id)[0] for invoice_id in ids], slow


def test_waiting_for_a_connection_costs_no_time_of_a_try(database):
    deliveries, slow = deliver(database, count=4)
    assert [(delivery.state, delivery.tries) for delivery in deliveries] == [("delivered", 1)] * 4
    assert slow.most == 1


def test_a_webhook_that_waited_until_its_lease_was_nearly_over_is_given_back_unsent(database):
    """By the time it is answered another worker might have sent it too."""
    patience = DELIVER_LEASE_SECONDS - WEBHOOK_SECONDS - COMMIT_MARGIN_SECONDS
    deliveries, _ = deliver(database, 2, waited_seconds=patience - 2, answer_seconds=2.5, total_seconds=10)
    assert sorted((delivery.state, delivery.tries) for delivery in deliveries) == [("delivered", 1), ("due", 0)]
    (delivery,) = (delivery for delivery in deliveries if delivery.state == "due")
    assert attempts_of(database, delivery.id) == []
    (row,) = agenda_of(database, f"{delivery.endpoint_id}/{delivery.invoice_id}").values()
    assert (row.lease_token, row.claims) == (None, 0)
    assert row.due_at <= now(database)


def test_what_was_claimed_before_the_breaker_opened_is_not_sent_and_keeps_its_tries(database):
    endpoint = subscribe(database)
    store = open_store(database)
    (invoice_id,) = pend(store)

    async def deliver() -> None:
        breaker, box = Breaker(fakeredis.FakeAsyncRedis()), SecretBox([new_key()])
        work = DeliverStage(store, WebhookSender(AddressGuard(())), breaker, lambda: box).work()
        work.lanes()
        (parcel,) = work.claim(endpoint, 10)
        for _ in range(20):
            breaker.note(endpoint, succeeded=False)
        while not breaker.stops(endpoint):  # noqa: ASYNC110 - it tells nobody when it has learnt
            await asyncio.sleep(0.01)
        assert work.perform is not None
        work.commit(await work.perform(endpoint, [parcel]))

    asyncio.run(asyncio.wait_for(deliver(), 20))
    (delivery,) = deliveries_of(database, invoice_id)
    assert (delivery.state, delivery.tries, attempts_of(database, delivery.id)) == ("due", 0, [])
    assert agenda_of(database, f"{endpoint}/{invoice_id}")["deliver"].lease_token is None
