"""The webhook sender against real sockets: every kind of receiver, each bounded and each failure named."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from domain.visible import one_line
from tests.contracts.webhook_cases import (
    BODY,
    SECRET,
    Receiver,
    answer,
    post,
    sender,
)
from workers.delivery.attempt import Outgoing
from workers.delivery.signature import new_secret
from workers.delivery.webhook import check_headers
from workers.http.retry_after import read_retry_after

NOW = datetime.fromtimestamp(1_000_000, UTC)

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
    assert read_retry_after(value, NOW) == seconds


@given(st.text())
def test_no_retry_after_breaks_the_reader_or_leaves_its_bounds(value) -> None:
    seconds = read_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 86_400


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
    line = one_line(text, 200)
    assert len(line) <= 200
    assert line.isprintable()
