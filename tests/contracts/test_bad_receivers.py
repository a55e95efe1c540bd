"""Receivers that trickle, flood, hang up, lie or redirect: each is bounded, and named in the try's error."""

from __future__ import annotations

import asyncio
import gzip
import socket

import pytest

from tests.contracts.webhook_cases import (
    BODY,
    HANG,
    SECRET,
    SHORT,
    Receiver,
    answer,
    close_at_once,
    post,
    say_nothing,
    sender,
)
from workers.delivery.attempt import KEEP_LIMIT, Outgoing


async def trickle_body(receiver, writer):
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    while True:
        await receiver.flood(writer, b".", 1)
        await asyncio.sleep(0.02)


async def trickle_head(receiver, writer):
    while True:
        await receiver.flood(writer, b"HTTP/1.1 200 OK\r\nx-a: " if receiver.sent_bytes == 0 else b"b", 1)
        await asyncio.sleep(0.02)


async def continue_for_ever(receiver, writer):
    while True:
        await receiver.flood(writer, b"HTTP/1.1 100 Continue\r\n\r\n", 1)
        await asyncio.sleep(0.001)


async def continue_in_a_hurry(receiver, writer):
    await receiver.flood(writer, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 2**40)


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
    (close_at_once, None, "reset: the connection was closed before an answer came"),
    (reset, None, "reset: "),
    (reset_in_the_body, 200, "reset: |protocol: the answer broke off"),
    (cut_the_body, 200, "protocol: the answer broke off"),
    (garbage, None, "protocol: "),
    (http_09, None, "protocol: "),
    (odd_status, None, "protocol: "),
    (bad_length, None, "protocol: "),
    (bad_chunks, 200, "protocol: "),
    (many_headers, None, "protocol: "),
    (one_long_header, None, "protocol: "),
    (one_long_status_line, None, "protocol: "),
    (many_trailers, 200, "protocol: "),
    (long_chunk_extension, 200, "protocol: "),
    (continue_in_a_hurry, None, "protocol: "),
]


@pytest.mark.parametrize(("behaviour", "status", "error"), BAD_RECEIVERS, ids=lambda v: getattr(v, "__name__", None))
def test_a_bad_receiver_is_bounded_and_named(behaviour, status, error) -> None:
    limits = SHORT if error.startswith("timeout") else {}
    tried, receiver = post(behaviour, **limits)
    while (tried.error or "").startswith("connect: no connection within"):  # a busy machine, to itself
        tried, receiver = post(behaviour, **limits)
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


def test_a_sender_that_was_not_entered_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(sender().send(Outgoing("https://shop.example/", (SECRET,), "evt_1", BODY)))
