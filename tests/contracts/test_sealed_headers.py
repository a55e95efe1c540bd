"""An endpoint's header values are stored encrypted, sent as they were given, and never shown."""

from __future__ import annotations

import asyncio

import fakeredis
import pytest
from sqlalchemy import text

from tests.contracts.store_cases import OPERATOR, attempts_of, change, deliveries_of, open_store, pend, rows
from tests.contracts.webhook_cases import Receiver, answer, post
from workers.coordination.breaker import Breaker
from workers.delivery.secretbox import SecretBox, SecretUnreadable, new_key
from workers.delivery.signature import new_secret
from workers.delivery.webhook import WebhookSender
from workers.http.address import AddressGuard
from workers.stages import DeliverStage
from workers.store.endpoints import NewEndpoint
from workers.store.operate import endpoints, secrets
from workers.store.tables import ENDPOINT

TOKEN = "Bearer t0ken-0f-the-sh0p"


def add(database, box, headers=None):
    sealed = {"sealed_secret": box.seal(new_secret()), "sealed_headers": box.seal_headers(headers or {})}
    return endpoints.add(open_store(database), OPERATOR, NewEndpoint("https://shop.example/hook", **sealed))


def sent_to(database, box, answers=None):
    """The headers of one webhook as they arrive, and the attempt's row."""
    store = open_store(database)
    (invoice_id,) = pend(store)

    async def story():
        async with Receiver(answers or answer(200)) as receiver, WebhookSender(AddressGuard("127.0.0.1")) as sender:
            change(database, ENDPOINT, url=receiver.url)
            work = DeliverStage(store, sender, Breaker(fakeredis.FakeAsyncRedis()), lambda: box).work()
            (endpoint,) = work.lanes()
            (delivery,) = work.claim(endpoint, 10)
            assert work.perform is not None
            work.commit(await work.perform(endpoint, [delivery]))
            return receiver.requests[0][1]

    headers = asyncio.run(story())
    (delivery,) = deliveries_of(database, invoice_id)
    return headers, attempts_of(database, delivery.id)[0]


def reseal(database, box):
    return secrets.reseal(open_store(database), OPERATOR, box.renew, box.renew_headers)


def stored(database):
    """All that the endpoint's rows hold, as text."""
    with database.reading() as connection:
        return str(connection.execute(text("SELECT * FROM endpoint")).all())


def test_header_values_are_stored_encrypted_and_sent_as_they_were_given(database):
    box = SecretBox([new_key()])
    add(database, box, {"Authorization": TOKEN, "X-Shop": "seven"})
    assert TOKEN not in stored(database)
    assert "seven" not in stored(database)
    assert "Authorization" in stored(database)  # names may be listed without the key

    headers, _ = sent_to(database, box)
    assert (headers["authorization"], headers["x-shop"]) == (TOKEN, "seven")


def test_what_the_release_before_stored_is_sent_too_and_sealed_by_a_reseal(database):
    box = SecretBox([new_key()])
    add(database, box)
    change(database, ENDPOINT, headers=f'{{"Authorization": "{TOKEN}"}}')
    headers, _ = sent_to(database, box)
    assert headers["authorization"] == TOKEN

    assert reseal(database, box) == 1
    assert TOKEN not in stored(database)
    (row,) = rows(database, ENDPOINT)
    assert row.headers == "{}"  # which the release before reads as none
    assert box.open_headers(row.sealed_headers, row.headers) == {"Authorization": TOKEN}


def test_a_new_key_takes_the_headers_along(database):
    old, new = new_key(), new_key()
    add(database, SecretBox([old]), {"Authorization": TOKEN})
    reseal(database, SecretBox([new, old]))
    (row,) = rows(database, ENDPOINT)
    assert SecretBox([new]).open_headers(row.sealed_headers, row.headers) == {"Authorization": TOKEN}
    with pytest.raises(SecretUnreadable):
        SecretBox([old]).open_headers(row.sealed_headers, row.headers)


def test_headers_that_open_with_no_key_stop_the_sealing_and_change_nothing(database):
    add(database, SecretBox([new_key()]), {"Authorization": TOKEN})
    before = stored(database)
    with pytest.raises(SecretUnreadable):
        reseal(database, SecretBox([new_key()]))
    assert stored(database) == before


def test_headers_that_open_with_no_key_cost_a_try_and_are_told(database):
    box = SecretBox([new_key()])
    add(database, box)
    change(database, ENDPOINT, sealed_headers=SecretBox([new_key()]).seal_headers({"Authorization": TOKEN}))
    store = open_store(database)
    (invoice_id,) = pend(store)
    stage = DeliverStage(store, WebhookSender(AddressGuard(())), Breaker(fakeredis.FakeAsyncRedis()), lambda: box)
    work = stage.work()
    (endpoint,) = work.lanes()

    async def deliver():
        assert work.perform is not None
        work.commit(await work.perform(endpoint, work.claim(endpoint, 10)))

    asyncio.run(deliver())
    (delivery,) = deliveries_of(database, invoice_id)
    (attempt,) = attempts_of(database, delivery.id)
    assert attempt.error == "secret: can't be opened with INVOICES_SECRET_KEY"


@pytest.mark.parametrize("status", [200, 401, 500])
@pytest.mark.parametrize(
    "echo",
    [
        f"got Authorization: {TOKEN}",
        '{"headers": {"authorization": "Bearer t0ken\\u002d0f\\u002dthe\\u002dsh0p"}}',
        "token=t0ken%2D0f%2Dthe%2Dsh0p",
        "dDBrZW4tMGYtdGhlLXNoMHA",
        "." * 2040 + TOKEN,  # where the log cuts the answer
    ],
)
def test_a_receiver_that_echoes_its_header_does_not_get_it_into_the_log(status, echo):
    attempt, _ = post(answer(status, body=echo.encode()), outgoing={"headers": {"Authorization": TOKEN}})
    kept = attempt.answer.decode()
    assert attempt.status == status
    assert "t0ken" not in kept
    assert "dDBrZW4" not in kept
    assert "sh0p" not in kept
    assert echo[:3] in kept or "***" in kept


def test_an_error_that_quotes_a_receivers_words_does_not_quote_a_secret():
    attempt, _ = post(b"HTTP/1.1 200 OK\r\nX Bad " + TOKEN.encode() + b"\r\n\r\n", outgoing={"headers": {"A": TOKEN}})
    assert attempt.error is not None
    assert "t0ken" not in attempt.error
