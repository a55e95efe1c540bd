"""Where webhooks may go: every bad target is refused when it is saved and again when it would be connected to."""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.address_cases import BAD_ADDRESSES, BAD_NAMES, BAD_URLS, GOOD_URLS, PUBLIC_V4, PUBLIC_V6
from workers.delivery.attempt import Outgoing
from workers.delivery.signature import new_secret
from workers.delivery.webhook import WebhookSender
from workers.http.address import AddressGuard, AddressRefused, parse_allow, why_refused
from workers.http.dialling import Dialler, Origin
from workers.http.name_lookup import LookupFailed, SystemLookup

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
SECRET = new_secret()


def answering(*answers):
    """A DNS that gives these answers one after the other, and the last one for ever."""
    remaining = list(answers)

    async def lookup(host, port):
        return remaining.pop(0) if len(remaining) > 1 else remaining[0]

    return lookup


def refusal_at_save(url, answers=(PUBLIC_V4,), allow=()):
    guard = AddressGuard(allow, answering(list(answers)))
    with pytest.raises(AddressRefused) as caught:
        asyncio.run(guard.resolve_and_check(url))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def attempt(url, guard):
    async def story():
        async with WebhookSender(guard, connect_seconds=1, total_seconds=2, tls=TLS) as sender:
            return await sender.send(Outgoing(url, (SECRET,), "evt_1", b"{}"))

    return asyncio.run(story())


def connect(origin, guard):
    """Connects the way the sender does, but without its check of the URL: only the dialler's own guard is left."""
    asyncio.run(Dialler(guard.lookup, TLS, vet=guard.vet_origin, connect_seconds=2).connect(origin, asyncio.Protocol()))


def bracketed(address):
    return f"[{address}]" if ":" in address else address


def test_the_tables_are_long_enough_to_mean_something() -> None:
    assert len(set(BAD_ADDRESSES)) + len(set(BAD_URLS)) + len(BAD_NAMES) >= 120


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_a_bad_address_is_refused_at_save_as_literal_and_as_answer(address) -> None:
    refusal_at_save(f"https://{bracketed(address)}/")
    assert "shop.example" in refusal_at_save("https://shop.example/", [address])
    assert "shop.example" in refusal_at_save("https://shop.example/", [PUBLIC_V4, address])
    assert "shop.example" in refusal_at_save("https://shop.example/", [address, PUBLIC_V6])


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_a_bad_address_is_refused_at_connect_as_answer(address) -> None:
    for answers in ([address], [PUBLIC_V4, address]):
        with pytest.raises(AddressRefused):
            connect(Origin("https", "shop.example", 443), AddressGuard((), answering(answers)))


@pytest.mark.parametrize("address", [a for a in BAD_ADDRESSES if "%" not in a])
def test_a_bad_address_is_refused_at_connect_as_literal(address) -> None:
    with pytest.raises(AddressRefused):
        connect(Origin("https", address, 443), AddressGuard())


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_url_is_refused_at_save_and_at_send(url) -> None:
    refusal_at_save(url)
    assert attempt(url, AddressGuard((), answering([PUBLIC_V4]))).outcome == "refused_address"


@pytest.mark.parametrize(("name", "answers"), BAD_NAMES.items())
def test_a_name_that_leads_to_a_bad_place_is_refused_at_save_and_at_send(name, answers) -> None:
    refusal_at_save(f"https://{name}/", answers)
    tried = attempt(f"https://{name}/", AddressGuard((), answering(answers)))
    assert tried.outcome == "refused_address"
    assert tried.status is None
    assert tried.error is not None
    assert tried.error.startswith("address: ")


@pytest.mark.parametrize(("url", "sent_to"), GOOD_URLS)
def test_a_good_url_passes_and_is_normalised(url, sent_to) -> None:
    guard = AddressGuard((), answering([PUBLIC_V4, PUBLIC_V6]))
    assert asyncio.run(guard.resolve_and_check(url)).url == sent_to


def test_an_answer_that_changes_between_check_and_connect_is_refused_and_nothing_is_connected() -> None:
    connections = []

    async def story():
        server = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        guard = AddressGuard("10.0.0.0/8", answering(["10.0.0.1"], ["127.0.0.1"]))
        url = f"http://shop.example:{port}/"
        await guard.resolve_and_check(url)
        async with server, WebhookSender(guard, tls=TLS) as sender:
            return await sender.send(Outgoing(url, (SECRET,), "evt_1", b"{}"))

    tried = asyncio.run(story())
    assert tried.outcome == "refused_address"
    assert tried.error == "address: shop.example leads to 127.0.0.1, which is not a public address (loopback)"
    assert connections == []


def test_what_is_allowed_for_one_port_or_host_is_refused_for_another() -> None:
    guard = AddressGuard("shop.example:9", answering(["127.0.0.1"]))
    for origin in (Origin("http", "shop.example", 10), Origin("http", "other.example", 9), Origin("http", "::1", 9)):
        with pytest.raises(AddressRefused):
            connect(origin, guard)


ALLOWED = [  # allow list, URL, DNS answers, passes
    ("shop.internal:8080", "http://shop.internal:8080/", ["10.0.0.5"], True),
    ("shop.internal:8080", "https://shop.internal:8080/", ["10.0.0.5"], True),
    ("shop.internal:8080", "http://SHOP.internal:8080/", ["10.0.0.5"], True),
    ("shop.internal:8080", "http://shop.internal:8081/", ["10.0.0.5"], False),
    ("shop.internal:8080", "http://shop.internal/", ["10.0.0.5"], False),
    ("shop.internal:8080", "https://shop.internal/", ["10.0.0.5"], False),
    ("shop.internal:8080", "http://a.shop.internal:8080/", ["10.0.0.5"], False),
    ("shop.internal:8080", "http://user@shop.internal:8080/", ["10.0.0.5"], False),
    ("shop.internal", "http://shop.internal/", ["10.0.0.5"], True),
    ("shop.internal", "http://shop.internal:9999/", ["10.0.0.5"], True),
    ("127.0.0.1:9100", "http://127.0.0.1:9100/", [], True),
    ("127.0.0.1:9100", "http://127.1:9100/", [], False),
    ("127.0.0.1:9100", "http://localhost:9100/", ["127.0.0.1"], False),
    ("127.0.0.1:9100", "http://127.0.0.2:9100/", [], False),
    ("[fd00::1]:9100", "http://[fd00::0001]:9100/", [], True),
    ("fd00::1", "http://[fd00::1]:9100/", [], True),
    ("10.0.0.0/8", "http://10.1.2.3:8080/", [], True),
    ("10.0.0.0/8", "http://shop.internal:8080/", ["10.0.0.5", "10.0.0.6"], True),
    ("10.0.0.0/8", "https://shop.internal/", ["10.0.0.5", PUBLIC_V4], True),
    ("10.0.0.0/8", "http://shop.internal/", ["10.0.0.5", PUBLIC_V4], False),
    ("10.0.0.0/8", "https://shop.internal:8443/", ["10.0.0.5", PUBLIC_V4], False),
    ("10.0.0.0/8", "https://shop.internal/", ["10.0.0.5", "192.168.0.1"], False),
    ("10.0.0.0/8", "http://shop.example/", [PUBLIC_V4], False),
    ("10.0.0.0/8", "http://93.184.215.14/", [], False),
    ("10.0.0.0/8", "https://[::ffff:10.0.0.1]/", [], False),
    ("fd00::/8", "http://[fd12::1]/", [], True),
    (" 10.0.0.0/8 , ,shop.internal:80,", "http://shop.internal/", ["192.168.0.1"], True),
]


@pytest.mark.parametrize(("allow", "url", "answers", "passes"), ALLOWED)
def test_the_allow_list_opens_exactly_what_it_names(allow, url, answers, passes) -> None:
    if not passes:
        refusal_at_save(url, answers, allow)
        return
    guard = AddressGuard(allow, answering(answers))
    target = asyncio.run(guard.resolve_and_check(url))
    guard.vet(target, answers or [target.host])


@pytest.mark.parametrize(
    "item",
    [
        "10.0.0.0/33",
        "10.0.0.1/8",
        "shop:0",
        "shop:65536",
        "shop:http",
        "shop:",
        ":80",
        "*.shop.internal",
        "http://shop/",
        "127.1",
        "[::1",
        "[::1]80",
        "::g",
        "shop internal",
        "user@shop",
        "fe80::1%eth0",
        "shop:1:2",
        "-shop",
    ],
)
def test_a_bad_item_of_the_allow_list_is_named(item) -> None:
    with pytest.raises(ValueError, match="INVOICES_WEBHOOK_ALLOW") as caught:
        parse_allow(f"10.0.0.0/8,{item}")
    assert repr(item) in str(caught.value)


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_passes_that_python_calls_private(address: IPv4Address) -> None:
    if why_refused(address) is None:
        assert address.is_global
        kinds = (address.is_multicast, address.is_reserved, address.is_loopback, address.is_link_local)
        assert not any(kinds)


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_passes_outside_the_global_block(address: IPv6Address) -> None:
    if why_refused(address) is None:
        assert int(address) >> 125 == 1
        assert address.ipv4_mapped is None
        assert address.sixtofour is None
        assert address.teredo is None


@given(st.integers(min_value=0, max_value=2**32 - 1), st.sampled_from(["{}", "{:#x}", "0{:o}"]))
def test_no_number_is_taken_for_a_host(number, spelling) -> None:
    with pytest.raises(AddressRefused):
        AddressGuard().check_url(f"https://{spelling.format(number)}/")


@given(st.text(max_size=60), st.sampled_from(["", "https://", "https://shop.example", "https://[", "http://127.0.0.1"]))
def test_any_text_is_either_a_public_target_or_refused(text, start) -> None:
    with suppress(AddressRefused):
        target = AddressGuard().check_url(start + text)
        assert (target.scheme, target.port) == ("https", 443)
        assert target.url.startswith("https://")


def test_the_systems_names_are_asked_and_localhost_is_found_out() -> None:
    lookup = SystemLookup()
    try:
        with pytest.raises(AddressRefused, match="localhost leads to"):
            asyncio.run(AddressGuard((), lookup).resolve_and_check("https://localhost/"))
        with pytest.raises(AddressRefused, match="does not resolve"):
            asyncio.run(AddressGuard((), lookup).resolve_and_check("https://no-such-host.invalid/"))
    finally:
        lookup.close()


def test_a_dns_that_hangs_ends_at_its_deadline_and_holds_one_thread(monkeypatch) -> None:
    answer, asked = threading.Event(), []

    def hang(host, *_, **__):
        asked.append(host)
        answer.wait(10)
        raise OSError("too late")

    monkeypatch.setattr("socket.getaddrinfo", hang)
    lookup = SystemLookup(timeout_seconds=0.05)

    async def story():
        return await asyncio.gather(*(lookup("slow.example", 443) for _ in range(20)), return_exceptions=True)

    try:
        results = asyncio.run(story())
    finally:
        answer.set()
        lookup.close()
    assert all(isinstance(result, LookupFailed) for result in results)
    assert str(results[0]) == "no DNS answer for slow.example within 0.05 s"
    assert asked == ["slow.example"]
