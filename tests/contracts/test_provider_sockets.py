"""What is safe to repeat and what is in doubt, for every provider, over real sockets and the client of production."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from domain.evidence import Created, InDoubt, Unreachable
from tests.certificates import server_context, write_certificates
from tests.contracts.provider_cases import CASES, PLAIN_KEY, create_for_real
from tests.contracts.provider_server import (
    ALL,
    SHORT_SECONDS,
    Server,
    close,
    create_at,
    http,
    pour,
    reset,
    sends,
    stay_silent,
    trickle,
)
from workers.providers.call import MAX_BODY_BYTES, Call, open_client


@ALL
def test_a_good_answer_over_the_wire_makes_an_invoice(case):
    evidence, server = create_at(case, sends(http(f"{case.success} OK", case.made.encode())))
    assert isinstance(evidence, Created)
    assert b"accept-encoding: identity\r\n" in server.requests[0].lower()
    assert b"cookie" not in server.requests[0].lower()


# ------------------------------------------------------------------------------------------------ never sent


@ALL
def test_a_refused_connection_was_never_sent(case):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        evidence = asyncio.run(create_for_real(case, case.account(f"http://127.0.0.1:{closed.getsockname()[1]}")))
    assert isinstance(evidence, Unreachable)
    assert evidence.reason == "the connection failed (ConnectFailed)"


@ALL
def test_a_name_that_does_not_resolve_was_never_sent(case):
    evidence = asyncio.run(create_for_real(case, case.account("http://provider.invalid")))
    assert isinstance(evidence, Unreachable)
    assert evidence.reason == "the name did not resolve (NameFailed)"


@ALL
@pytest.mark.parametrize("base_url", ["http://127.0.0.1:99999", "http://127.0.0.1/\x01", "http://127.0.0.256"])
def test_an_address_that_cant_be_called_was_never_sent(case, base_url):
    assert isinstance(asyncio.run(create_for_real(case, case.account(base_url))), Unreachable)


@ALL
def test_a_failed_tls_handshake_was_never_sent(case):
    async def story():
        async def greet(reader, writer):
            writer.write(b"220 this is no TLS\r\n")
            with contextlib.suppress(ConnectionError):
                await reader.read(1)
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await create_for_real(case, case.account(f"https://127.0.0.1:{port}"))

    evidence = asyncio.run(story())
    assert isinstance(evidence, Unreachable)
    assert evidence.reason == "the TLS handshake failed (HandshakeFailed)"


@ALL
def test_a_certificate_nobody_vouches_for_was_never_sent(case, distrusted):
    async def story():
        async with Server(sends(http("200 OK", b"{}")), tls=distrusted) as server:
            evidence = await create_for_real(case, case.account(f"https://127.0.0.1:{server.port}"))
            return evidence, server.requests

    evidence, requests = asyncio.run(story())
    assert isinstance(evidence, Unreachable)
    assert evidence.reason.startswith("the certificate was not accepted")
    assert requests == []


@ALL
def test_a_time_out_before_there_was_a_connection_was_never_sent(case):
    async def story():
        # Connections that are accepted and never answered a TLS hello: still connecting when the time is over.
        async with Server(stay_silent) as server:
            account = case.account(f"https://127.0.0.1:{server.port}", timeout_seconds=SHORT_SECONDS)
            return await create_for_real(case, account)

    evidence = asyncio.run(story())
    assert isinstance(evidence, Unreachable)
    assert evidence.reason == "no connection within the time-out"


@ALL
def test_a_time_out_in_the_queue_for_a_connection_was_never_sent(case):
    async def story():
        async with Server(stay_silent) as server:
            client = open_client(1)
            adapter = case.adapter(Call(client))
            account = case.account(server.url, timeout_seconds=SHORT_SECONDS)
            first = asyncio.create_task(adapter.create(case.request(), case.account(server.url)))
            await server.arrived.wait()
            second = await adapter.create(case.request(), account)
            first.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await first
            await client.aclose()
            return second, len(server.requests)

    evidence, requests = asyncio.run(story())
    assert isinstance(evidence, Unreachable)
    assert requests == 1


# ------------------------------------------------------------------------------------------------ in doubt


@ALL
@pytest.mark.parametrize(
    "behave",
    [
        close,
        reset,
        sends(b"ICY 200 OK\r\n\r\n", then_close=True),
        sends(b"\x00\xff\x16\x03\x01 garbage\r\n\r\n", then_close=True),
        sends(b"HTTP/1.1 200 OK\r\nContent-Le", then_close=True),
        sends(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", then_close=True),
        sends(b"HTTP/1.1 200 OK\r\nContent-Length: minus\r\n\r\n{}", then_close=True),
        sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}", then_close=True),
        sends(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", then_close=True),
        sends(http("200 OK", b"no gzip", "Content-Encoding: gzip")),
        sends(http("200 OK", b"<html>please log in</html>", "Content-Type: text/html")),
        sends(http("502 Bad Gateway", b"<html>")),
        sends(http("303 See Other", b"", "Location: /elsewhere")),
        sends(b"HTTP/1.1 204 No Content\r\n\r\n"),
        pour,
    ],
    ids=[
        "accept-then-close",
        "reset",
        "other protocol",
        "garbage",
        "truncated head",
        "truncated body",
        "bad length",
        "bad chunk",
        "huge header",
        "bad gzip",
        "html",
        "502",
        "redirect",
        "nothing",
        "endless body",
    ],
)
def test_what_was_perhaps_received_is_in_doubt(case, behave):
    evidence, server = create_at(case, behave)
    assert isinstance(evidence, InDoubt)
    assert len(server.requests) == 1  # and was not sent a second time by anybody's kindness
    assert PLAIN_KEY not in repr(evidence)
    assert "\n" not in evidence.reason


@ALL
def test_an_answer_of_just_the_limit_is_read_and_one_byte_more_is_not(case):
    fits = case.made.encode().ljust(MAX_BODY_BYTES)
    assert isinstance(create_at(case, sends(http("200 OK", fits)))[0], Created)
    evidence, _ = create_at(case, sends(http("200 OK", fits + b" ")))
    assert isinstance(evidence, InDoubt)
    assert evidence.reason == "the answer is longer than 1048576 bytes"


@ALL
@pytest.mark.parametrize("behave", [stay_silent, trickle], ids=["silence", "trickle"])
def test_the_time_out_covers_the_whole_answer(case, behave):
    evidence, server = create_at(case, behave, timeout_seconds=SHORT_SECONDS)
    while isinstance(evidence, Unreachable):  # a busy machine had not even connected to itself by then
        evidence, server = create_at(case, behave, timeout_seconds=SHORT_SECONDS)
    assert isinstance(evidence, InDoubt)
    assert evidence.reason == "no whole answer within the time-out"
    assert len(server.requests) == 1


@ALL
def test_a_cancelled_create_is_cancelled(case):
    async def story():
        async with Server(stay_silent) as server:
            task = asyncio.create_task(create_for_real(case, case.account(server.url)))
            await server.arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(story())


# ------------------------------------------------------------------------------------------------ the client


def test_connections_are_kept_and_cookies_are_not():
    case = CASES["nebulox"]

    async def story():
        answer = http("201 Created", case.made.encode(), "Set-Cookie: session=1; Path=/")
        async with Server(sends(answer)) as server:
            client = open_client(5)
            adapter = case.adapter(Call(client))
            for _ in range(3):
                assert isinstance(await adapter.create(case.request(), case.account(server.url)), Created)
            await client.aclose()
            return server

    server = asyncio.run(story())
    assert server.connections == 1
    assert not any(b"cookie" in request.lower() for request in server.requests)


def test_the_environments_proxies_are_not_used(monkeypatch):
    case = CASES["nebulox"]
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    evidence, _ = create_at(case, sends(http("201 Created", case.made.encode())))
    assert isinstance(evidence, Created)


def test_a_closed_client_sends_nothing():
    case = CASES["nebulox"]

    async def story():
        client = open_client(1)
        await client.aclose()
        return await case.adapter(Call(client)).create(case.request(), case.account("http://127.0.0.1:1"))

    assert isinstance(asyncio.run(story()), Unreachable)


@pytest.fixture(scope="module")
def distrusted(tmp_path_factory):
    """A server context whose certificate is of an authority that nobody believes."""
    return server_context(write_certificates(tmp_path_factory.mktemp("tls")))
