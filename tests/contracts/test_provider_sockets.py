"""What is safe to repeat and what is in doubt, for every provider, over real sockets and the client of production."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ipaddress
import socket
import ssl
import struct
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from domain.evidence import Created, InDoubt, Unreachable
from tests.contracts.made_up import EVERY
from tests.contracts.provider_cases import CASES, PLAIN_KEY, create_for_real
from workers.providers.call import MAX_BODY_BYTES, Call, open_client

ALL = pytest.mark.parametrize("case", EVERY.values(), ids=EVERY)
#: Long enough for a loaded machine to connect to itself, short enough to wait for.
SHORT_SECONDS = 0.5


class Server:
    """A TCP server on loopback that reads each request whole and then does as it is told."""

    def __init__(self, behave, tls: ssl.SSLContext | None = None):
        self._behave = behave
        self._tls = tls
        self.requests: list[bytes] = []
        self.connections = 0
        self.arrived = asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            task.cancel()

    async def _serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            try:
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    size = next(
                        (
                            int(line.split(b":")[1])
                            for line in head.split(b"\r\n")
                            if line.lower().startswith(b"content-length")
                        ),
                        0,
                    )
                    self.requests.append(head + await reader.readexactly(size))
                    self.arrived.set()
                    await self._behave(writer)
            finally:
                writer.close()


def http(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def sends(data: bytes, then_close: bool = False):
    async def behave(writer):
        writer.write(data)
        await writer.drain()
        if then_close:
            writer.close()

    return behave


async def stay_silent(writer):
    await asyncio.sleep(60)


async def close(writer):
    writer.close()


async def reset(writer):
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def trickle(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def pour(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


def create_at(case, behave, timeout_seconds: float = 10):
    """(evidence, the server) of one create at a server that behaves so."""

    async def story():
        async with Server(behave) as server:
            evidence = await create_for_real(case, case.account(server.url, timeout_seconds=timeout_seconds))
            return evidence, server

    return asyncio.run(story())


@ALL
def test_a_good_answer_over_the_wire_makes_an_invoice(case):
    evidence, server = create_at(case, sends(http(f"{case.success} OK", case.made.encode())))
    assert isinstance(evidence, Created)
    assert b"accept-encoding: identity\r\n" in server.requests[0].lower()
    assert b"cookie" not in server.requests[0].lower()


@ALL
def test_an_answer_compressed_unasked_is_read_all_the_same(case):
    packed = http(f"{case.success} OK", gzip.compress(case.made.encode()), "Content-Encoding: gzip")
    assert isinstance(create_at(case, sends(packed))[0], Created)


@ALL
@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (lambda made: gzip.compress(made[:100]) + gzip.compress(made[100:]), "gzip"),
        (lambda made: gzip.compress(b"") + gzip.compress(made) + b"\0" * 512, "x-gzip"),
        (lambda made: b"".join(gzip.compress(made[at : at + 20]) for at in range(0, len(made), 20)), "GZIP"),
        (zlib.compress, "deflate"),
        (lambda made: zlib.compress(made, wbits=-zlib.MAX_WBITS), "deflate"),
        (lambda made: zlib.compress(made, 0, wbits=-zlib.MAX_WBITS), "Deflate"),
        (gzip.compress, "deflate"),
    ],
    ids=["two members", "padded", "many members", "zlib", "raw deflate", "stored", "gzip called deflate"],
)
def test_every_way_to_write_gzip_and_deflate_is_read(case, body, encoding):
    answer = http(f"{case.success} OK", body(case.made.encode()), f"Content-Encoding: {encoding}")
    assert isinstance(create_at(case, sends(answer))[0], Created)


@ALL
@pytest.mark.parametrize(
    ("codec", "declared"),
    [
        ("utf-8", "; charset=ISO-8859-1"),  # a server's default for everything: JSON is UTF-8 all the same
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("latin-1", "; charset=iso-8859-1"),
        ("cp1252", '; charset="windows-1252"'),
        ("utf-16", "; charset=utf-16"),
        ("utf-16-le", "; charset=UTF-16LE"),
        ("utf-16-be", ""),
        ("utf-32", ""),
    ],
)
def test_an_answer_in_another_encoding_is_read(case, codec, declared):
    made = case.made.replace('"message": "', '"message": "Größe ')
    answer = http(f"{case.success} OK", made.encode(codec), f"Content-Type: application/json{declared}")
    assert isinstance(create_at(case, sends(answer))[0], Created)


@ALL
@pytest.mark.parametrize("declared", ["", "; charset=utf-8", "; charset=unicode_escape", "; charset=nonsense"])
def test_bytes_that_nobody_says_how_to_read_are_in_doubt(case, declared):
    made = case.made.replace('"message": "', '"message": "Größe ').encode("latin-1")
    answer = http(f"{case.success} OK", made, f"Content-Type: application/json{declared}")
    assert isinstance(create_at(case, sends(answer))[0], InDoubt)


def packed(layers: int) -> bytes:
    """64 MiB of zeros in a few hundred bytes or a few ten thousand."""
    body = b"\0" * (64 * 1024 * 1024)
    for _ in range(layers):
        body = gzip.compress(body)
    return body


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (packed(1), "gzip"),
        (packed(2), "gzip, gzip"),
        (gzip.compress(b" ") + packed(1), "gzip"),
        (gzip.compress(b" " * (512 * 1024)) * 60, "gzip"),
        (gzip.compress(b"") * 20_000, "gzip"),
        (zlib.compress(b"\0" * (64 * 1024 * 1024), wbits=-zlib.MAX_WBITS), "deflate"),
        (b"\x1f\x8b\0", "gzip"),
        (b"\xff", "deflate"),
        (b"\xff", "br"),
    ],
    ids=[
        "bomb",
        "bomb in a bomb",
        "bomb in the second member",
        "many members",
        "endless empty members",
        "raw bomb",
        "cut gzip",
        "no deflate",
        "brotli",
    ],
)
def test_no_compression_unpacks_to_more_than_the_limit_or_makes_an_invoice(body, encoding):
    tracemalloc.start()
    try:
        evidence, _ = create_at(CASES["nebulox"], sends(http("201 Created", body, f"Content-Encoding: {encoding}")))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(evidence, InDoubt)
    assert most < 16 * 1024 * 1024


# ------------------------------------------------------------------------------------------------ never sent


@ALL
def test_a_refused_connection_was_never_sent(case):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        evidence = asyncio.run(create_for_real(case, case.account(f"http://127.0.0.1:{closed.getsockname()[1]}")))
    assert isinstance(evidence, Unreachable)
    assert evidence.reason == "the connection failed (ClientConnectorError)"


@ALL
def test_a_name_that_does_not_resolve_was_never_sent(case):
    evidence = asyncio.run(create_for_real(case, case.account("http://provider.invalid")))
    assert isinstance(evidence, Unreachable)
    assert evidence.reason == "the provider's name did not resolve (ClientConnectorDNSError)"


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
    assert evidence.reason == "the TLS handshake failed (ClientConnectorSSLError)"


@ALL
def test_a_certificate_nobody_vouches_for_was_never_sent(case, self_signed):
    async def story():
        async with Server(sends(http("200 OK", b"{}")), tls=self_signed) as server:
            evidence = await create_for_real(case, case.account(f"https://127.0.0.1:{server.port}"))
            return evidence, server.requests

    evidence, requests = asyncio.run(story())
    assert isinstance(evidence, Unreachable)
    assert evidence.reason.startswith("the provider's TLS certificate was not accepted")
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
def self_signed(tmp_path_factory):
    """A server context with a certificate for 127.0.0.1 that no authority has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
