"""Whose certificates calls to providers and webhooks believe: an authority that the environment names too."""

from __future__ import annotations

import asyncio
import hashlib
import ssl

import pytest
from cryptography import x509

from tests.certificates import write_certificates
from tests.contracts.provider_cases import CASES, create_for_real
from tests.contracts.webhook_cases import Receiver, answer, post
from workers.http.trust import public_tls


def subject_hash(ca):
    """The name by which OpenSSL looks for an authority in a folder: a digest of its canonical subject."""
    (attribute,) = x509.load_pem_x509_certificate(ca.read_bytes()).subject
    text = str(attribute.value).lower().encode()
    pair = b"\x06\x03\x55\x04\x03\x0c" + bytes([len(text)]) + text
    canonical = bytes([0x31, len(pair) + 2, 0x30, len(pair)]) + pair
    return f"{int.from_bytes(hashlib.sha1(canonical).digest()[:4], 'little'):08x}"


@pytest.fixture
def files(tmp_path):
    return write_certificates(tmp_path)


@pytest.fixture(params=["SSL_CERT_FILE", "SSL_CERT_DIR"])
def environment(request, tmp_path, monkeypatch, files):
    """One that names the authority, by either variable."""
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / f"{subject_hash(files.ca)}.0").write_bytes(files.ca.read_bytes())
    monkeypatch.setenv(request.param, str(files.ca if request.param == "SSL_CERT_FILE" else folder))


@pytest.fixture
def server_tls(files):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


def calls_of_provider(case, server_tls):
    async def story():
        async with Receiver(answer(200, "connection: close"), server_tls) as receiver:
            address = receiver.url.replace("localhost", "127.0.0.1")
            await create_for_real(case, case.account(address.rpartition("/")[0]))
            return receiver.requests

    return asyncio.run(story())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_provider_is_called_whose_authority_the_environment_names(case, environment, server_tls):
    assert len(calls_of_provider(case, server_tls)) == 1


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_provider_of_an_authority_that_nobody_names_is_not_called(case, server_tls):
    assert calls_of_provider(case, server_tls) == []


def test_a_webhook_goes_to_a_receiver_whose_authority_the_environment_names(environment, server_tls):
    attempt, _ = post(answer(200), server_tls=server_tls, tls=None)
    assert attempt.outcome == "delivered", attempt.error


def test_the_bundle_is_believed_whatever_the_environment_says(environment):
    assert public_tls().cert_store_stats()["x509_ca"] > 50
