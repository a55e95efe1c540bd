"""How endpoints are given up, warned about, enabled again, and how their secrets change."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis
from standardwebhooks import Webhook, WebhookVerificationError
from structlog.testing import capture_logs

from domain.event import new_id
from tests.contracts.store_cases import (
    OPERATOR,
    Background,
    attempts_of,
    change,
    deliveries_of,
    disable_endpoint,
    enable_endpoint,
    judge,
    now,
    pend,
    remove_endpoint,
    rows,
    seen,
    subscribe,
    wait_until_blocked,
)
from workers.coordination.breaker import Breaker
from workers.delivery.attempt import Outgoing
from workers.delivery.secretbox import SecretBox, SecretUnreadable, new_key
from workers.delivery.signature import new_secret
from workers.delivery.webhook import WebhookSender, signed_headers
from workers.http.address import AddressGuard
from workers.stages.deliver import DeliverStage
from workers.store import endpoints
from workers.store.deliveries import HOPELESS_AFTER, DeliveryAttempt
from workers.store.health import health_of
from workers.store.operate import endpoints as operated
from workers.store.operate.secrets import Rotation, reseal, rotate
from workers.store.outbox import NewEvent, add_events
from workers.store.tables import AGENDA, DELIVERY, ENDPOINT

LEASE = 60.0


def deliveries(store, endpoint_id):
    return store.claim_deliveries(endpoint_id, 1000, LEASE)


def exhaust(store, endpoint_id):
    """The oldest event that is due uses up its tries."""
    (delivery,) = deliveries(store, endpoint_id)
    store.settle([DeliveryAttempt(delivery, "failed", "status: 503", 503, 1, b"", None)])


def deliver(store, endpoint_id):
    for delivery in deliveries(store, endpoint_id):
        store.settle([DeliveryAttempt(delivery, "delivered", None, 204, 1, b"")])


def endpoint_of(database, endpoint_id):
    with database.reading() as connection:
        return endpoints.find_endpoint(connection, endpoint_id)


# ------------------------------------------------------------ given up


@pytest.mark.parametrize(
    ("added_hours_ago", "taken_hours_ago", "disabled"),
    [(121, None, True), (121, 121, True), (121, 119, False), (119, None, False), (1000, 1, False)],
)
def test_without_a_success_for_120_hours_an_exhausted_event_disables(
    database, store, added_hours_ago, taken_hours_ago, disabled
):
    endpoint_id = subscribe(database)
    (invoice_id,) = pend(store)
    if taken_hours_ago is not None:
        deliver(store, endpoint_id)
        change(database, DELIVERY, finished_at=now(database) - timedelta(hours=taken_hours_ago))
    judge(store, invoice_id, seen("confirming"))
    judge(store, invoice_id, seen("paid"))
    change(database, ENDPOINT, created_at=now(database) - timedelta(hours=added_hours_ago))

    exhaust(store, endpoint_id)

    found = endpoint_of(database, endpoint_id)
    assert (found.disabled_at is not None) is disabled
    assert ("no success for 120 h" in (found.disabled_reason or "")) is disabled
    assert timedelta(hours=120) == HOPELESS_AFTER
    assert [row.state for row in deliveries_of(database, invoice_id)][-1] == "due"  # parked, never dropped
    assert (store.live_endpoints() == []) is disabled


def test_failures_that_are_not_the_last_try_disable_nobody(database, store):
    endpoint_id = subscribe(database)
    pend(store)
    change(database, ENDPOINT, created_at=now(database) - timedelta(days=30))
    (delivery,) = deliveries(store, endpoint_id)
    store.settle([DeliveryAttempt(delivery, "failed", "status: 503", 503, 1, b"", 5.0)])
    assert endpoint_of(database, endpoint_id).disabled_at is None


def test_one_that_is_given_up_leaves_the_others_alone(database, store):
    hopeless, fine = subscribe(database), subscribe(database)
    pend(store)
    change(database, ENDPOINT, created_at=now(database) - timedelta(days=30))
    deliver(store, fine)
    exhaust(store, hopeless)
    assert [receiver.id for receiver in store.live_endpoints()] == [fine]


def test_the_fourth_failed_try_is_warned_about_and_no_other(database, store):
    endpoint_id = subscribe(database)
    change(database, ENDPOINT, url="http://127.0.0.1:1/", secrets=(box := SecretBox([new_key()])).seal(new_secret()))
    pend(store)

    warned: list[Any] = []

    async def try_all():
        async with WebhookSender(AddressGuard(["127.0.0.1"])) as sender, FakeAsyncRedis() as client:
            work = DeliverStage(store, sender, Breaker(client), lambda: box).work()
            assert work.perform is not None
            work.lanes()
            for tries in range(12):
                change(database, AGENDA, AGENDA.c.stage == "deliver", due_at=now(database), lease_token=None, claims=0)
                (delivery,) = deliveries(store, endpoint_id)
                assert delivery.tries == tries
                with capture_logs() as logs:
                    store.settle(await work.perform(endpoint_id, [delivery]))
                warned.extend(entry for entry in logs if entry["event"] == "webhook.keeps_failing")

    asyncio.run(try_all())
    (delivery,) = rows(database, DELIVERY)
    assert [(entry["log_level"], entry["tries"]) for entry in warned] == [("warning", 4)]
    assert (delivery.state, delivery.tries) == ("dead", 12)
    assert {try_.error for try_ in attempts_of(database, delivery.id)} == {"connect: Connection refused"}


# ------------------------------------------------------------ enabled again


def test_an_endpoint_enabled_again_is_sent_what_waited_at_once_in_order_and_with_all_tries(
    database, store, monkeypatch
):
    monkeypatch.setattr(operated, "ENABLING_BATCH", 2)
    endpoint_id, other = subscribe(database), subscribe(database)
    ids = pend(store, 5)
    for delivery in deliveries(store, endpoint_id):
        store.settle([DeliveryAttempt(delivery, "failed", "status: 503", 503, 1, b"", 20 * 3600.0)])
    change(database, DELIVERY, DELIVERY.c.endpoint_id == endpoint_id, tries=11)
    disable_endpoint(database, endpoint_id)
    for invoice_id in ids:
        judge(store, invoice_id, seen("paid"))

    assert enable_endpoint(database, endpoint_id) == 5

    first = deliveries(store, endpoint_id)
    assert [(json.loads(delivery.body)["sequence"], delivery.tries) for delivery in first] == [("000000000001", 0)] * 5
    store.settle([DeliveryAttempt(delivery, "delivered", None, 204, 1, b"") for delivery in first])
    assert [json.loads(delivery.body)["sequence"] for delivery in deliveries(store, endpoint_id)] == [
        "000000000002"
    ] * 5
    assert len(deliveries(store, other)) == 5


def test_enabling_one_that_is_enabled_hurries_nothing(database, store):
    endpoint_id = subscribe(database)
    pend(store)
    (delivery,) = deliveries(store, endpoint_id)
    store.settle([DeliveryAttempt(delivery, "failed", "status: 503", 503, 1, b"", 3600.0)])
    assert enable_endpoint(database, endpoint_id) == 0
    assert deliveries(store, endpoint_id) == []


def test_health_counts_what_waits_and_what_is_dead_and_knows_the_last_success(database, store):
    endpoint_id = subscribe(database)
    pend(store, 4)
    deliver(store, endpoint_id)
    pend(store, 1)
    exhaust(store, endpoint_id)
    pend(store, 2)
    with database.reading() as connection:
        health = health_of(connection, endpoint_id)
        nothing = health_of(connection, "ep_none")
    taken = [row.finished_at for row in rows(database, DELIVERY) if row.state == "delivered"]
    assert (health.waiting, health.dead, health.last_success_at) == (2, 1, max(taken))
    assert (nothing.waiting, nothing.dead, nothing.last_success_at) == (0, 0, None)


# ------------------------------------------------------------ secrets


class Sealed:
    """An endpoint whose secret we know."""

    def __init__(self, database, store, box):
        self.database, self.store, self.box = database, store, box
        self.secret = new_secret()
        self.id = subscribe(database)
        change(database, ENDPOINT, ENDPOINT.c.id == self.id, secrets=box.seal(self.secret))

    def rotate(self, **keep):
        secret = new_secret()
        assert rotate(self.store, OPERATOR, Rotation(self.id, self.box.seal(secret), timedelta(**keep)))
        return secret

    def taken_by(self, *secrets):
        """Which of the secrets the official library takes a webhook with, as it would be sent now."""
        (receiver,) = [receiver for receiver in self.store.live_endpoints() if receiver.id == self.id]
        keys = tuple(self.box.open(sealed) for sealed in receiver.secrets.split(","))
        body = b'{"amount": "0.0358619204"}'
        headers = signed_headers(
            Outgoing("https://shop.example/", keys, new_id("evt"), body), int(now(self.database).timestamp())
        )
        return [secret for secret in secrets if _takes(secret, body, headers)]


def _takes(secret, body, headers):
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


@pytest.fixture
def sealed(database, store):
    return Sealed(database, store, SecretBox([new_key()]))


def test_while_a_rotation_lasts_both_secrets_are_taken_and_then_the_new_one_alone(database, sealed):
    old, new = sealed.secret, sealed.rotate(hours=24)
    assert sealed.taken_by(old, new) == [old, new]
    until = endpoint_of(database, sealed.id).rotated_until
    assert timedelta(hours=23) < until - now(database) <= timedelta(hours=24)

    change(database, ENDPOINT, rotated_until=now(database) - timedelta(seconds=1))
    assert sealed.taken_by(old, new) == [new]


def test_a_rotation_may_end_the_old_secret_at_once(database, sealed):
    old, new = sealed.secret, sealed.rotate(hours=0)
    assert sealed.taken_by(old, new) == [new]
    assert len(endpoint_of(database, sealed.id).sealed_secrets) == 1


def test_a_second_rotation_keeps_what_signs_and_drops_what_does_not(database, sealed):
    first = sealed.secret
    second, third = sealed.rotate(hours=1), sealed.rotate(hours=1)
    assert sealed.taken_by(first, second, third) == [first, second, third]

    change(database, ENDPOINT, rotated_until=now(database) - timedelta(seconds=1))
    fourth = sealed.rotate(hours=1)
    assert sealed.taken_by(first, second, third, fourth) == [third, fourth]
    for _ in range(10):
        last = sealed.rotate(hours=1)
    assert sealed.taken_by(last) == [last]
    assert len(endpoint_of(database, sealed.id).sealed_secrets) == 5


def test_an_endpoint_that_is_not_there_is_not_rotated(store):
    assert rotate(store, OPERATOR, Rotation("ep_none", "sealed", timedelta(hours=1))) is None


def test_secrets_sealed_anew_open_with_the_new_key_alone(database, store):
    old, new = new_key(), new_key()
    first, second = Sealed(database, store, SecretBox([old])), Sealed(database, store, SecretBox([old]))
    rotated = second.rotate(hours=1)
    both = SecretBox([new, old])
    first.box = second.box = both
    assert first.taken_by(first.secret) == [first.secret]

    assert reseal(store, OPERATOR, both.renew, both.renew_headers) == 2

    first.box = second.box = SecretBox([new])
    assert first.taken_by(first.secret) == [first.secret]
    assert second.taken_by(second.secret, rotated) == [second.secret, rotated]
    with pytest.raises(SecretUnreadable):
        SecretBox([old]).open(endpoint_of(database, first.id).sealed_secrets[0])


def test_a_secret_that_opens_with_no_key_stops_the_sealing_and_changes_nothing(database, store):
    fine, foreign = (Sealed(database, store, SecretBox([new_key()])) for _ in range(2))
    before = [row.secrets for row in rows(database, ENDPOINT)]
    with pytest.raises(SecretUnreadable):
        reseal(store, OPERATOR, fine.box.renew, fine.box.renew_headers)
    assert [row.secrets for row in rows(database, ENDPOINT)] == before
    assert foreign.id != fine.id


# ------------------------------------------------------------ removed


def test_an_endpoint_that_is_removed_while_an_event_is_written_for_it_leaves_nothing_behind(database, store):
    endpoint_id = subscribe(database)
    (invoice_id,) = pend(store)
    event = NewEvent(new_id("evt"), invoice_id, 2, "invoice.paid", b"{}")
    with database.transaction() as connection:
        assert add_events(connection, [event], database.now(connection))[0] == {endpoint_id}
        removal = Background(lambda: remove_endpoint(database, endpoint_id))
        wait_until_blocked(database)

    assert removal.result() == 2
    assert rows(database, DELIVERY) == rows(database, ENDPOINT) == rows(database, AGENDA, AGENDA.c.stage == "deliver")
    with database.transaction() as connection:
        event = NewEvent(new_id("evt"), invoice_id, 3, "invoice.refunded", b"{}")
        assert add_events(connection, [event], database.now(connection)) == (set(), [])
