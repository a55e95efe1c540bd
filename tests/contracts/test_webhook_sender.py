"""The webhook sender against real sockets: every kind of receiver, each bounded and each failure named."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import json
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from workers.outbound.address import AddressGuard
from workers.outbound.attempt import KEEP_LIMIT, Outgoing, one_line, read_retry_after
from workers.outbound.signature import new_secret
from workers.outbound.webhook import WebhookSender, check_headers

SECRET = new_secret()
BODY = json.dumps({"id": "evt_1", "data": {"pay_amount": "0.0358619204", "note": "ü"}}, ensure_ascii=False).encode()
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
# Ample where a time limit is not the point: the machine may be busy. Short where waiting for it is the test.
AMPLE = {"connect_seconds": 10, "total_seconds": 20}
SHORT = {"connect_seconds": 0.5, "total_seconds": 1}


class Receiver:
    """A raw server on loopback: reads one request at a time, then does whatever ``answer`` does."""

    def __init__(self, answer, tls=None, reads=True) -> None:
        self._answer = answer
        self._reads = reads
        self._tls = tls
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.sent_bytes = 0
        self.asked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/hook?shop=1"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    def _accept(self, reader, writer):
        self.connections += 1
        self._writers.append(writer)
        self._tasks.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader, writer):
        try:
            if not self._reads:
                await self._answer(self, writer)
            while self._reads:
                start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n").split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append((start, headers, body))
                self.asked.set()
                if callable(self._answer):
                    await self._answer(self, writer)
                    break
                writer.write(self._answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return  # the sender hung up, which is what most of these tests are about
        finally:
            writer.close()

    async def flood(self, writer, chunk, chunks):
        """Writes until the sender hangs up or all is written, counting what the sockets took."""
        for _ in range(chunks):
            writer.write(chunk)
            await writer.drain()
            self.sent_bytes += len(chunk)


def sender(allow="127.0.0.1", **changes):
    settings: dict = AMPLE | {"tls": TLS} | changes
    return WebhookSender(AddressGuard(allow), **settings)


def post(answer, *, outgoing=None, server_tls=None, **changes):
    """One try at a receiver that answers so; gives the attempt and the receiver."""

    async def story():
        async with Receiver(answer, server_tls) as receiver, sender(**changes) as one:
            fields = {"url": receiver.url, "secrets": (SECRET,), "event_id": "evt_1", "body": BODY} | (outgoing or {})
            return await one.send(Outgoing(**fields)), receiver

    return asyncio.run(story())


def answer(status, *headers, body=b"ok"):
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


# --- what is sent


def test_the_very_bytes_go_out_signed_and_the_reference_package_verifies_them() -> None:
    tried, receiver = post(answer(200))
    start, headers, body = receiver.requests[0]
    assert (tried.outcome, tried.status, tried.answer, tried.error) == ("delivered", 200, b"ok", None)
    assert start == "POST /hook?shop=1 HTTP/1.1"
    assert body == BODY
    assert Webhook(SECRET).verify(body, headers) == json.loads(BODY)
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "invoices/0.1"
    assert headers["accept-encoding"] == "identity"
    assert headers["webhook-id"] == "evt_1"
    assert "transfer-encoding" not in headers


def test_a_retry_keeps_the_id_and_has_a_fresh_timestamp() -> None:
    times = iter([1_795_000_000.9, 1_795_000_005.2])

    async def story():
        async with Receiver(answer(200)) as receiver, sender(clock=lambda: next(times)) as one:
            for _ in range(2):
                await one.send(Outgoing(receiver.url, (SECRET,), "evt_1", BODY))
            return receiver

    receiver = asyncio.run(story())
    sent = [headers for _, headers, _ in receiver.requests]
    assert [headers["webhook-id"] for headers in sent] == ["evt_1", "evt_1"]
    assert [headers["webhook-timestamp"] for headers in sent] == ["1795000000", "1795000005"]
    assert sent[0]["webhook-signature"] != sent[1]["webhook-signature"]
    assert receiver.connections == 1


def test_custom_headers_go_along_and_two_secrets_sign() -> None:
    other = new_secret()
    _, receiver = post(
        answer(204, body=b""), outgoing={"headers": {"Authorization": "Bearer t"}, "secrets": (SECRET, other)}
    )
    headers = receiver.requests[0][1]
    assert headers["authorization"] == "Bearer t"
    assert Webhook(other).verify(BODY, headers) == json.loads(BODY)


def test_cookies_are_never_kept() -> None:
    async def story():
        async with Receiver(answer(200, "set-cookie: session=1; Path=/")) as receiver, sender() as one:
            for _ in range(3):
                await one.send(Outgoing(receiver.url, (SECRET,), "evt_1", BODY))
            return receiver

    receiver = asyncio.run(story())
    assert len(receiver.requests) == 3
    assert all("cookie" not in headers for _, headers, _ in receiver.requests)


def test_proxies_of_the_environment_are_ignored(monkeypatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    tried, receiver = post(answer(200))
    assert tried.outcome == "delivered"
    assert receiver.requests[0][0].startswith("POST /hook")


def test_secrets_and_tokens_do_not_show_in_the_repr() -> None:
    shown = repr(
        Outgoing("https://shop.example/?token=t0ken", (SECRET,), "evt_1", b"{}", {"Authorization": "Bearer x"})
    )
    assert shown == "Outgoing(event_id='evt_1')"


# --- what came of it

STATUSES = [  # status, outcome, error
    (200, "delivered", None),
    (201, "delivered", None),
    (204, "delivered", None),
    (299, "delivered", None),
    (301, "failed", "redirect: 301, redirects are not followed"),
    (302, "failed", "redirect: 302, redirects are not followed"),
    (304, "failed", "redirect: 304, redirects are not followed"),
    (308, "failed", "redirect: 308, redirects are not followed"),
    (400, "failed", "status: 400"),
    (401, "failed", "status: 401"),
    (404, "failed", "status: 404"),
    (410, "gone", "status: 410, the receiver wants no more"),
    (429, "failed", "status: 429"),
    (500, "failed", "status: 500"),
    (503, "failed", "status: 503"),
    (599, "failed", "status: 599"),
]


@pytest.mark.parametrize(("status", "outcome", "error"), STATUSES)
def test_only_2xx_is_success(status, outcome, error) -> None:
    tried, receiver = post(answer(status, "location: http://127.0.0.1:1/", body=b"" if status in {204, 304} else b"ok"))
    assert (tried.outcome, tried.status, tried.error) == (outcome, status, error)
    assert len(receiver.requests) == 1
    assert tried.latency_ms >= 0


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "120", 120.0),
        (503, "0", 0.0),
        (503, "999999999999999999999", 86_400.0),
        (429, "soon", None),
        (429, "-5", None),
        (500, "120", None),  # means something on 429 and 503 only
        (200, "120", None),
    ],
)
def test_retry_after_is_read_where_it_means_something(status, header, seconds) -> None:
    tried, _ = post(answer(status, f"retry-after: {header}"))
    assert tried.retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (formatdate(1_000_060, usegmt=True), 60.0),
        (formatdate(999_000, usegmt=True), 0.0),
        (formatdate(9_000_000, usegmt=True), 86_400.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 86_400.0),
        ("Mon, 99 Foo 2026 99:99:99 GMT", None),
        (" 7 ", 7.0),
        ("７", None),  # noqa: RUF001 - a full-width digit
        ("1.5", None),
        ("", None),
        (None, None),
        ("1" * 5000, 86_400.0),
    ],
)
def test_retry_after_may_be_seconds_or_a_date(value, seconds) -> None:
    assert read_retry_after(value, now=1_000_000) == seconds


@given(st.text())
def test_no_retry_after_breaks_the_reader_or_leaves_its_bounds(value) -> None:
    seconds = read_retry_after(value, now=1_000_000)
    assert seconds is None or 0 <= seconds <= 86_400


# --- bad receivers

HANG = 60


async def trickle_body(receiver, writer):
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    while True:
        await receiver.flood(writer, b".", 1)
        await asyncio.sleep(0.02)


async def trickle_head(receiver, writer):
    while True:
        await receiver.flood(writer, b"HTTP/1.1 200 OK\r\nx-a: " if receiver.sent_bytes == 0 else b"b", 1)
        await asyncio.sleep(0.02)


async def say_nothing(receiver, writer):
    await asyncio.sleep(HANG)


async def continue_for_ever(receiver, writer):
    while True:
        await receiver.flood(writer, b"HTTP/1.1 100 Continue\r\n\r\n", 1)
        await asyncio.sleep(0.001)


async def continue_in_a_hurry(receiver, writer):
    await receiver.flood(writer, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 2**40)


async def close_at_once(receiver, writer):
    writer.close()


async def reset(receiver, writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


async def reset_in_the_body(receiver, writer):
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf")
    await writer.drain()
    await asyncio.sleep(0.05)
    await reset(receiver, writer)


async def cut_the_body(receiver, writer):
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf")
    await writer.drain()


async def garbage(receiver, writer):
    writer.write(b"\x00\xff\x16\x03 this is not HTTP\r\n\r\n")
    await writer.drain()


async def http_09(receiver, writer):
    writer.write(b"<html>hello</html>\r\n\r\n")
    await writer.drain()


async def odd_status(receiver, writer):
    writer.write(b"HTTP/1.1 20000 Fine\r\n\r\n")
    await writer.drain()


async def bad_length(receiver, writer):
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n")
    await writer.drain()


async def bad_chunks(receiver, writer):
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
    await writer.drain()


async def many_headers(receiver, writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await receiver.flood(writer, b"x-flood: 0123456789\r\n" * 1000, 10_000)


async def one_long_header(receiver, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nx-flood: ")
    await receiver.flood(writer, b"0" * 65_536, 10_000)


async def one_long_status_line(receiver, writer):
    writer.write(b"HTTP/1.1 200 ")
    await receiver.flood(writer, b"O" * 65_536, 10_000)


async def many_trailers(receiver, writer):
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
    await receiver.flood(writer, b"x-flood: 0123456789\r\n" * 1000, 10_000)


async def long_chunk_extension(receiver, writer):
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;x=")
    await receiver.flood(writer, b"0" * 65_536, 10_000)


BAD_RECEIVERS = [  # what it does, status seen, start of the error
    (trickle_body, 200, "timeout: no complete answer within 1 s"),
    (trickle_head, None, "timeout: no complete answer within 1 s"),
    (say_nothing, None, "timeout: no complete answer within 1 s"),
    (continue_for_ever, None, "timeout: no complete answer within 1 s"),
    (close_at_once, None, "reset: the connection was closed without an answer"),
    (reset, None, "reset: "),
    (reset_in_the_body, 200, "reset: |protocol: the answer broke off"),
    (cut_the_body, 200, "protocol: the answer broke off"),
    (garbage, None, "protocol: "),
    (http_09, None, "protocol: "),
    (odd_status, None, "protocol: "),
    (bad_length, None, "protocol: "),
    (bad_chunks, None, "protocol: "),
    (many_headers, None, "protocol: "),
    (one_long_header, None, "protocol: "),
    (one_long_status_line, None, "protocol: "),
    (many_trailers, None, "protocol: "),
    (long_chunk_extension, 200, "protocol: "),
    (continue_in_a_hurry, None, "protocol: "),
]


@pytest.mark.parametrize(("behaviour", "status", "error"), BAD_RECEIVERS, ids=lambda v: getattr(v, "__name__", None))
def test_a_bad_receiver_is_bounded_and_named(behaviour, status, error) -> None:
    tried, receiver = post(behaviour, **(SHORT if error.startswith("timeout") else {}))
    assert tried.outcome == "failed"
    assert tried.status in {None, status}  # an error in the same packet as the status hides it
    assert tried.error is not None
    assert tried.error.startswith(tuple(error.split("|")))
    assert "\n" not in tried.error
    assert len(tried.answer) <= KEEP_LIMIT
    assert receiver.sent_bytes < 16 * 2**20  # what the sockets' buffers swallow, not what was offered
    assert receiver.connections == 1


async def endless(receiver, writer):
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await receiver.flood(writer, b"x" * 65_536, 2**40)


async def a_gibibyte(receiver, writer):
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n")
    await receiver.flood(writer, b"x" * 65_536, 16_384)


async def endless_chunks(receiver, writer):
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    await receiver.flood(writer, b"10000\r\n" + b"x" * 65_536 + b"\r\n", 2**40)


async def bomb(receiver, writer):
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n")
    await receiver.flood(writer, gzip.compress(b"\0" * 2**24), 2**40)


@pytest.mark.parametrize("behaviour", [endless, a_gibibyte, endless_chunks, bomb])
def test_of_an_endless_answer_only_the_start_is_read(behaviour) -> None:
    tried, receiver = post(behaviour)
    assert (tried.outcome, tried.status, tried.error) == ("delivered", 200, None)
    assert len(tried.answer) == KEEP_LIMIT
    assert receiver.sent_bytes < 16 * 2**20


def test_a_compressed_answer_is_kept_as_it_came() -> None:
    tried, _ = post(answer(200, "content-encoding: gzip", body=gzip.compress(b"hello")))
    assert (tried.outcome, gzip.decompress(tried.answer)) == ("delivered", b"hello")


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "nonsense"])
def test_an_encoding_that_lies_changes_nothing(encoding) -> None:
    tried, _ = post(answer(200, f"content-encoding: {encoding}", body=b"plain"))
    assert (tried.outcome, tried.answer) == ("delivered", b"plain")


def test_a_refused_connection_is_named() -> None:
    async def story():
        async with Receiver(answer(200)) as receiver:
            url = receiver.url
        async with sender() as one:
            return await one.send(Outgoing(url, (SECRET,), "evt_1", BODY))

    tried = asyncio.run(story())
    assert (tried.outcome, tried.status) == ("failed", None)
    assert tried.error == "connect: Connection refused"


def test_a_connection_that_never_comes_about_ends_at_its_own_deadline() -> None:
    async def story():
        with socket.socket() as deaf:  # a full backlog: the kernel drops further SYNs
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(deaf.getsockname())
            try:
                async with sender(**SHORT) as one:
                    return await one.send(Outgoing(url, (SECRET,), "evt_1", BODY))
            finally:
                for filler in fillers:
                    filler.close()

    tried = asyncio.run(story())
    assert tried.outcome == "failed"
    assert tried.error == "connect: no connection within 0.5 s"


def test_a_name_that_does_not_resolve_is_named() -> None:
    async def story():
        async with sender("no-such-host.invalid") as one:
            return await one.send(Outgoing("http://no-such-host.invalid/", (SECRET,), "evt_1", BODY))

    tried = asyncio.run(story())
    assert tried.outcome == "failed"
    assert tried.error is not None
    assert tried.error.startswith("dns: no-such-host.invalid does not resolve")


def test_a_redirect_to_a_bad_place_is_not_followed() -> None:
    tried, receiver = post(answer(307, "location: http://169.254.169.254/latest/meta-data"))
    assert (tried.outcome, tried.status) == ("failed", 307)
    assert receiver.connections == 1


@pytest.mark.parametrize(
    "change",
    [
        {"secrets": ()},
        {"secrets": ("broken",)},
        {"headers": {"Host": "x"}},
        {"headers": {"a": "b\r\nc: d"}},
        {"event_id": "é\n"},
    ],
)
def test_a_delivery_that_cannot_be_sent_is_a_failed_try_and_nothing_leaves(change) -> None:
    tried, receiver = post(answer(200), outgoing=change)
    assert tried.outcome == "failed"
    assert tried.error is not None
    assert tried.error.startswith("protocol: ")
    assert receiver.requests == []


def test_cancellation_escapes_and_closes_the_connection() -> None:
    async def story():
        async with Receiver(say_nothing) as receiver, sender(total_seconds=HANG) as one:
            sending = asyncio.create_task(one.send(Outgoing(receiver.url, (SECRET,), "evt_1", BODY)))
            await receiver.asked.wait()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

    asyncio.run(story())


def test_our_own_queue_costs_no_time_of_a_try() -> None:
    async def slow(receiver, writer):
        await asyncio.sleep(0.4)
        writer.write(answer(200, "connection: close"))
        await writer.drain()

    async def story():
        async with Receiver(slow) as receiver, sender(max_connections=1, total_seconds=1) as one:
            outgoing = Outgoing(receiver.url, (SECRET,), "evt_1", BODY)
            return await asyncio.gather(*(one.send(outgoing) for _ in range(4)))

    assert [tried.outcome for tried in asyncio.run(story())] == ["delivered"] * 4


def test_a_sender_that_was_not_entered_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(sender().send(Outgoing("https://shop.example/", (SECRET,), "evt_1", BODY)))


# --- TLS


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


# --- an endpoint's own headers


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer x"}, {"X-Shop": ""}, {"x-a": "tab\there"}, {"cookie": "a=b"}, {"a": "b" * 4000}],
)
def test_good_headers_pass(headers) -> None:
    check_headers(headers)


BAD_HEADERS = [
    {"webhook-id": "x"},
    {"Webhook-Signature": "x"},
    {"ce-id": "x"},
    {"CE-Type": "x"},
    {"Host": "x"},
    {"Connection": "close"},
    {"Keep-Alive": "x"},
    {"TE": "x"},
    {"Trailer": "x"},
    {"Transfer-Encoding": "chunked"},
    {"Upgrade": "h2c"},
    {"Proxy-Authorization": "x"},
    {"Content-Type": "x"},
    {"content-length": "1"},
    {"Content-Encoding": "gzip"},
    {"Expect": "100-continue"},
    {"Accept-Encoding": "gzip"},
    {"User-Agent": "x"},
    {"a": "b\rc"},
    {"a": "b\nc"},
    {"a": "b\x00c"},
    {"a": "b\x7f"},
    {"a": "ü"},
    {"a": 1},
    {"a": None},
    {"": "x"},
    {"a b": "x"},
    {"a:": "x"},
    {"a\r\nb": "x"},
    {"ä": "x"},
    {"Host ": "x"},
    {"x-a": "1", "X-A": "2"},
    {"a": "b" * 4092},
    {f"x-{n}": "y" * 100 for n in range(40)},
]


@pytest.mark.parametrize("headers", BAD_HEADERS)
def test_bad_headers_are_refused_by_name(headers) -> None:
    with pytest.raises(ValueError, match="headers: ") as caught:
        check_headers(headers)
    assert "\n" not in str(caught.value)


@given(st.text())
def test_an_error_is_one_short_printable_line(text) -> None:
    line = one_line(text)
    assert len(line) <= 200
    assert line.isprintable()
