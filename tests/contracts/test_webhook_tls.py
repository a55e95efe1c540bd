"""Webhooks over TLS: who is trusted, and what a failed handshake is called."""

from __future__ import annotations

import asyncio
import json
import ssl

import pytest
from standardwebhooks import Webhook

from tests.certificates import server_context, write_certificates
from tests.contracts.webhook_cases import (
    BODY,
    SECRET,
    SHORT,
    Receiver,
    answer,
    close_at_once,
    post,
    say_nothing,
    sender,
)
from workers.delivery.attempt import Outgoing


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A server's TLS context for 127.0.0.1, and a client's that trusts its authority."""
    files = write_certificates(tmp_path_factory.mktemp("tls"), "receiver")
    return server_context(files), ssl.create_default_context(cafile=files.ca)


def test_a_trusted_certificate_is_accepted(certificate) -> None:
    server_tls, trusting = certificate
    tried, receiver = post(answer(200), server_tls=server_tls, tls=trusting)
    assert (tried.outcome, tried.error) == ("delivered", None)
    assert Webhook(SECRET).verify(BODY, receiver.requests[0][1]) == json.loads(BODY)


def test_an_untrusted_certificate_is_named_and_nothing_leaves(certificate) -> None:
    tried, receiver = post(answer(200), server_tls=certificate[0])
    assert (tried.outcome, tried.status) == ("failed", None)
    assert tried.error is not None
    assert tried.error.startswith("tls: unable to get local issuer certificate")
    assert receiver.requests == []


def test_a_certificate_for_another_host_is_named_and_nothing_leaves(certificate) -> None:
    server_tls, trusting = certificate

    async def story():
        async with Receiver(answer(200), server_tls) as receiver, sender("localhost", tls=trusting) as one:
            url = receiver.url.replace("127.0.0.1", "localhost")
            return await one.send(Outgoing(url, (SECRET,), "evt_1", BODY)), receiver

    tried, receiver = asyncio.run(story())
    assert tried.outcome == "failed"
    assert tried.error is not None
    assert tried.error.startswith("tls: Hostname mismatch")
    assert receiver.requests == []


async def speak_plainly(receiver, writer):
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (speak_plainly, ("tls: ",)),
        (close_at_once, ("reset: ", "tls: ", "connect: ")),
        (say_nothing, ("connect: no connection within 0.5 s",)),
    ],
)
def test_a_handshake_that_fails_is_named(behaviour, error) -> None:
    async def story():
        async with Receiver(behaviour, reads=False) as receiver, sender(**SHORT) as one:
            url = receiver.url.replace("http:", "https:")
            return await one.send(Outgoing(url, (SECRET,), "evt_1", BODY))

    tried = asyncio.run(story())
    assert tried.outcome == "failed"
    assert tried.error is not None
    assert tried.error.startswith(error)
