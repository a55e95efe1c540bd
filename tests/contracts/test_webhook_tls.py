"""Webhooks over TLS: who is trusted, and what a failed handshake is called."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook

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
    """A server's TLS context for 127.0.0.1, and the file of the certificate that signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM)
    path = tmp_path_factory.mktemp("tls") / "receiver.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + pem
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.load_verify_locations(cadata=pem.decode())
    return server, trusting


def test_a_trusted_certificate_is_accepted(certificate) -> None:
    server_tls, trusting = certificate
    tried, receiver = post(answer(200), server_tls=server_tls, tls=trusting)
    assert (tried.outcome, tried.error) == ("delivered", None)
    assert Webhook(SECRET).verify(BODY, receiver.requests[0][1]) == json.loads(BODY)


def test_an_untrusted_certificate_is_named_and_nothing_leaves(certificate) -> None:
    tried, receiver = post(answer(200), server_tls=certificate[0])
    assert (tried.outcome, tried.status) == ("failed", None)
    assert tried.error is not None
    assert tried.error.startswith("tls: self-signed certificate")
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
