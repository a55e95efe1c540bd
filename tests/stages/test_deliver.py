"""DELIVER as the pump runs it: claim, try, settle."""

from __future__ import annotations

import asyncio
import errno
import json
import socket

import fakeredis
import pytest

from domain.decision import Stage
from tests.contracts.store_cases import (
    agenda_of,
    attempts_of,
    change,
    deliveries_of,
    judge,
    now,
    open_store,
    pend,
    seen,
    subscribe,
)
from tests.contracts.webhook_cases import TLS, Receiver
from tests.migrated import new_sqlite_url, open_hasty
from workers.coordination.breaker import TELL_SECONDS, Breaker, BreakerLimits, read_breakers
from workers.delivery.secretbox import SecretBox, new_key
from workers.delivery.signature import new_secret
from workers.delivery.webhook import WebhookSender
from workers.engine import Attempted, Observer
from workers.engine.lane import LaneState
from workers.http.address import AddressGuard
from workers.http.name_lookup import LookupPutOff
from workers.stages import DeliverStage
from workers.stages.deliver import COMMIT_MARGIN_SECONDS, DELIVER_LEASE_SECONDS, REST_SECONDS, WEBHOOK_SECONDS
from workers.store.agenda import lease_clock
from workers.store.tables import ENDPOINT


@pytest.fixture
def database(tmp_path):
    database = open_hasty(new_sqlite_url(tmp_path))
    yield database
    database.close()


def test_a_secret_that_no_key_opens_costs_a_try_and_is_told_instead_of_stopping_the_lane(database):
    endpoint = subscribe(database)
    store = open_store(database)
    (invoice_id,) = pend(store)
    attempts: list[Attempted] = []

    class Told(Observer):
        def attempted(self, attempt: Attempted) -> None:
            attempts.append(attempt)

    async def deliver() -> None:
        breaker = Breaker(fakeredis.FakeAsyncRedis())
        box, sender = SecretBox([new_key()]), WebhookSender(AddressGuard(()))
        stage = DeliverStage(store, sender, breaker, lambda: box, observer=Told())
        work = stage.work()
        assert list(work.lanes()) == [endpoint]
        (delivery,) = work.claim(endpoint, 10)
        assert delivery.claim.stage is Stage.DELIVER
        assert work.perform is not None
        work.commit(await work.perform(endpoint, [delivery]))

    asyncio.run(deliver())
    (delivery,) = deliveries_of(database, invoice_id)
    assert (delivery.state, delivery.tries) == ("due", 1)
    (attempt,) = attempts_of(database, delivery.id)
    assert attempt.error == "secret: can't be opened with INVOICES_SECRET_KEY"
    assert attempt.next_try_at is not None
    assert attempts == [Attempted(endpoint, "secret_unreadable")]


def test_a_lane_that_was_woken_while_its_endpoint_was_disabled_asks_again_when_it_is_enabled(database):
    endpoint = subscribe(database)
    breaker, box = Breaker(fakeredis.FakeAsyncRedis()), SecretBox([new_key()])
    work = DeliverStage(open_store(database), WebhookSender(AddressGuard(())), breaker, lambda: box).work()
    lane = LaneState(work, endpoint)

    def look(disabled_at):
        change(database, ENDPOINT, disabled_at=disabled_at)
        work.lanes()
        return work.slots(endpoint)

    async def enable() -> None:
        slots = look(now(database))
        assert lane.free(slots) <= 0
        slots.waiting.add(lane)
        slots.offer()
        assert not slots.offered
        assert lane.free(look(None)) > 0
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
            assert work.admission is not None
            assert work.admission.passes is not None
            assert (await work.admission.admit(endpoint, 5))[0] == 5
            claimed = work.claim(endpoint, count)
            over_at = lease_clock() + DELIVER_LEASE_SECONDS - waited_seconds
            deliveries = [one._replace(claim=one.claim._replace(over_at=over_at)) for one in claimed]
            sending = [asyncio.ensure_future(work.perform(endpoint, [delivery])) for delivery in deliveries]
            await receiver.asked.wait()
            assert (await work.admission.admit(endpoint, 5))[0] == 0
            assert not work.admission.passes(endpoint)
            for tried in await asyncio.gather(*sending):
                work.commit(tried)
            assert (await work.admission.admit(endpoint, 5))[0] == 5

    asyncio.run(story())
    return [deliveries_of(database, invoice_id)[0] for invoice_id in ids], slow


def test_an_endpoint_that_wants_no_more_is_sent_nothing_more_from_that_answer_on(database):
    endpoint, store, box = subscribe(database), open_store(database), SecretBox([new_key()])
    pend(store, 2)

    async def want_no_more(_receiver, writer):
        writer.write(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()

    async def story():
        async with Receiver(want_no_more) as receiver, WebhookSender(AddressGuard("127.0.0.1")) as sender:
            change(database, ENDPOINT, url=receiver.url, secrets=box.seal(new_secret()))
            work = DeliverStage(store, sender, Breaker(fakeredis.FakeAsyncRedis()), lambda: box).work()
            work.lanes()
            assert work.perform is not None
            first, second = work.claim(endpoint, 10)
            tried = await work.perform(endpoint, [first])
            assert work.claim(endpoint, 10) == []
            tried = [*tried, *await work.perform(endpoint, [second])]
            work.commit(tried)
            assert (list(work.lanes()), work.claim(endpoint, 10)) == ([], [])
            return len(receiver.requests)

    assert asyncio.run(story()) == 1


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
        (delivery,) = work.claim(endpoint, 10)
        for _ in range(20):
            breaker.note(endpoint, succeeded=False)
        while not breaker.stops(endpoint):  # noqa: ASYNC110 - it tells nobody when it has learnt
            await asyncio.sleep(0.01)
        assert work.perform is not None
        work.commit(await work.perform(endpoint, [delivery]))

    asyncio.run(asyncio.wait_for(deliver(), 20))
    (delivery,) = deliveries_of(database, invoice_id)
    assert (delivery.state, delivery.tries, attempts_of(database, delivery.id)) == ("due", 0, [])
    assert agenda_of(database, f"{endpoint}/{invoice_id}")["deliver"].lease_token is None


class Crowded:
    """A look-up that has no thread for the first questions, then finds the receiver."""

    def __init__(self, times):
        self.times = times

    async def __call__(self, host, _port):
        self.times -= 1
        if self.times >= 0:
            raise LookupPutOff(f"{host} was not looked up")
        return ["127.0.0.1"]


def refuse_files(times, monkeypatch):
    """The process has no more files for sockets, for so many of them."""
    real, left = socket.socket, [times]

    def open_socket(*arguments, **options):
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(*arguments, **options)

    monkeypatch.setattr("socket.socket", open_socket)


async def until_admitted(admission, endpoint):
    """Ask as the engine does, again after the wait it was told: a sleep may end a moment early."""
    while True:
        allowed, wait_seconds = await admission.admit(endpoint, 1)
        if allowed:
            return allowed
        await asyncio.sleep(wait_seconds)


@pytest.mark.parametrize("lack", ["a thread", "a file"])
def test_what_could_not_be_begun_is_no_try_and_comes_again_in_its_order(database, monkeypatch, lack):
    """Its endpoint rests, and one at a time finds out; its breaker hears of no failure."""
    endpoint, store, box = subscribe(database), open_store(database), SecretBox([new_key()])
    (invoice_id,) = pend(store)
    judge(store, invoice_id, seen("paid"))
    lookup = Crowded(2 if lack == "a thread" else 0)
    server = fakeredis.FakeServer()

    async def story():
        guard = AddressGuard("127.0.0.0/8", lookup)
        async with Receiver(OK) as receiver, WebhookSender(guard, tls=TLS) as sender:
            if lack == "a file":
                refuse_files(2, monkeypatch)
            url = f"http://shop.example:{receiver.port}/"
            change(database, ENDPOINT, url=url, secrets=box.seal(new_secret()), max_in_flight=5)
            breaker = Breaker(fakeredis.FakeAsyncRedis(server=server), BreakerLimits(least_tries=1))
            work = DeliverStage(store, sender, breaker, lambda: box).work()
            work.lanes()
            assert work.perform is not None
            assert work.admission is not None
            assert work.admission.passes is not None
            limits = [work.slots(endpoint).limit]
            for _ in range(2):
                (delivery,) = work.claim(endpoint, 10)
                assert (delivery.tries, json.loads(delivery.body)["sequence"]) == (0, "000000000001")
                work.commit(await work.perform(endpoint, [delivery]))
                allowed, wait_seconds = await work.admission.admit(endpoint, 5)
                assert (allowed, 0 < wait_seconds <= REST_SECONDS, work.admission.passes(endpoint)) == (0, True, False)
                limits.append(work.slots(endpoint).limit)
            for _ in range(2):
                assert await until_admitted(work.admission, endpoint) == 1
                (delivery,) = work.claim(endpoint, 10)
                work.commit(await work.perform(endpoint, [delivery]))
                limits.append(work.slots(endpoint).limit)
            await asyncio.sleep(2 * TELL_SECONDS)
            return limits, [json.loads(body)["sequence"] for _, _, body in receiver.requests]

    limits, sequences = asyncio.run(story())
    assert (limits, sequences) == ([5, 1, 1, 5, 5], ["000000000001", "000000000002"])
    for delivery in deliveries_of(database, invoice_id):
        assert (delivery.state, delivery.tries) == ("delivered", 1)
        assert [attempt.outcome for attempt in attempts_of(database, delivery.id)] == ["delivered"]
    assert read_breakers(fakeredis.FakeRedis(server=server), [endpoint]) == {endpoint: "closed"}


def test_an_endpoint_has_fewer_at_a_time_while_it_is_slow_and_others_have_many_under_way(database):
    quick, slow = subscribe(database), subscribe(database)
    store, box = open_store(database), SecretBox([new_key()])
    change(database, ENDPOINT, max_in_flight=100, secrets=box.seal(new_secret()))

    async def story():
        async with WebhookSender(AddressGuard("127.0.0.0/8"), tls=TLS) as sender:
            stage = DeliverStage(store, sender, Breaker(fakeredis.FakeAsyncRedis()), lambda: box, connections=200)
            work = stage.work()
            work.lanes()
            unknown = work.slots(quick).limit
            stage._connections.note(quick, 0.02)
            stage._connections.note(slow, 14.0)
            alone = work.slots(quick).limit, work.slots(slow).limit
            for _ in range(60):
                assert await stage._connections.take(slow, 1)
            return unknown, alone, (work.slots(quick).limit, work.slots(slow).limit)

    unknown, (quick_alone, slow_alone), (quick_now, slow_now) = asyncio.run(story())
    assert (unknown, quick_alone) == (1, 100)
    assert 60 <= slow_now <= slow_alone < 100
    assert slow_now < quick_now
