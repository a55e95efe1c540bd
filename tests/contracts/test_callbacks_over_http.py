"""Callbacks over real HTTP: what is right is kept as it came and answered, what is not changes nothing."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.callbacks import KEY, nebulox_callback, post, sign
from tests.contracts.web_process import Web, ask
from tests.servers import wait_until
from workers.embedded.valkey import stop_valkey

OTHER_KEY = "another-gateway-key"
#: From the provider's documents, the value computed by its scheme.
VECTOR_KEY = "7f8b6d3e-1c2a-4b5d-9e8f-0a1b2c3d4e5f"
VECTOR = b'{"orderId":"dpkg-1234","txId":"cf2e","amount":"6.9","confirmations":1,"status":"COMPLETED"}'
VECTOR_HASH = "23ee1b784e35f9273b1e5bc26e2e483969a2f2bbc5512bb22f3d51a98b0afe0b"


def account(key, **fields):
    return {"provider": "nebulox", "base_url": "http://127.0.0.1:9", "api_key": key, **fields}


class Desk:
    """A web process, and what it has kept."""

    def __init__(self, home):
        self.home = home
        accounts = {
            "nebulox": account(KEY),
            "other": account(OTHER_KEY),
            "vector": account(VECTOR_KEY),
            "rotated": account("the-new-key", previous_api_key="the-old-key"),
            "zeroxhost": {"provider": "zeroxhost", "base_url": "http://127.0.0.1:9", "api_key": KEY},
        }
        self.web = Web(home, INVOICES_ACCOUNTS=json.dumps(accounts))

    def post(self, body, headers=None, account="nebulox", key=KEY):
        return post(f"{self.web.url}/callbacks/{account}", body, headers, key)[0]

    def kept(self):
        with sqlite3.connect(self.home / "invoices.db") as connection:
            return connection.execute("SELECT account, body, order_id, reference, word FROM callback").fetchall()


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    home = tmp_path_factory.mktemp("web")
    desk = Desk(home)
    yield desk
    desk.web.process.end()
    stop_valkey(home)


@pytest.fixture
def nothing_new(desk):
    """What happens in the test leaves nothing behind."""
    before = desk.kept()
    yield
    assert desk.kept() == before


def test_the_documented_vector_is_right(desk):
    assert sign(VECTOR, VECTOR_KEY) == VECTOR_HASH
    assert desk.post(VECTOR, [("X-Hash", VECTOR_HASH)], "vector") == 200
    assert ("vector", VECTOR, "dpkg-1234", None, "COMPLETED") in desk.kept()


@pytest.mark.usefixtures("nothing_new")
@pytest.mark.parametrize("account", ["nebulox", "nobody", "zeroxhost", "..%2fnebulox"])
@pytest.mark.parametrize("status", ["COMPLETED", "PENDING", "test", "payout", "deactivate"])
def test_without_a_signature_every_account_looks_the_same(desk, account, status):
    body = nebulox_callback("an-order", status)

    answers = {post(f"{desk.web.url}/callbacks/{account}", body, headers) for headers in ([], [("X-Hash", "0" * 64)])}
    statuses = {status for status, _ in answers}
    assert statuses == ({401} if "/" not in account and "%" not in account else statuses & {401, 404})
    assert len({answer for _, answer in answers}) == 1


@pytest.mark.usefixtures("nothing_new")
def test_what_another_gateway_signed_is_not_right_here(desk):
    body = nebulox_callback("an-order")

    assert desk.post(body, key=OTHER_KEY) == 401
    assert desk.post(body, [("X-Hash", sign(body, ""))]) == 401
    assert desk.post(body, account="zeroxhost") == 401


@pytest.mark.usefixtures("nothing_new")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda right: ("0" if right[0] != "0" else "1") + right[1:],
        lambda right: right[:-1] + ("0" if right[-1] != "0" else "1"),
        lambda right: right[:-1],
        lambda right: right + "0",
        lambda right: right.upper(),
        lambda right: f"sha256={right}",
        lambda right: f"{right[:-1]}é",
        lambda _: "",
        lambda right: f"{right},{right}",
    ],
)
def test_a_signature_that_is_nearly_right_is_wrong(desk, spoil):
    body = nebulox_callback("spoilt")
    right = sign(body)
    given = spoil(right)
    assert given != right

    assert desk.post(body, [("X-Hash", given)]) == 401


@pytest.mark.usefixtures("nothing_new")
def test_two_signatures_are_none(desk):
    body = nebulox_callback("two-signatures")

    assert desk.post(body, [("X-Hash", sign(body)), ("x-hash", sign(body))]) == 401


@pytest.mark.parametrize(
    "spelling",
    [
        '{"orderId":"s1","status":"COMPLETED","amount":1.0,"meta":{}}',
        '{"orderId":"s\\/2","status":"COMPLETED","amount":6.90}',
        '{"orderId":"s\\u00e93","status":"COMPLETED","amount":"6.90"}',
        '{"orderId":"s4","status":"COMPLETED"}\r\n',
        '{"orderId":"s5",\n "status":"COMPLETED"}\n',
    ],
)
def test_the_raw_bytes_are_what_is_signed_however_they_are_spelled(desk, spelling):
    body = spelling.encode()

    assert desk.post(body) == 200
    assert body in [row[1] for row in desk.kept()]
    changed = body.replace(b"COMPLETED", b"COMPLETEd")
    assert desk.post(changed, [("X-Hash", sign(body))]) == 401


@pytest.mark.parametrize("digits", ["3.0440897036220003", "0.0358619204", "1e-8", "0.000000000000000001"])
def test_amounts_are_kept_digit_for_digit(desk, digits):
    body = f'{{"orderId":"digits-{digits}","status":"COMPLETED","amount":{digits}}}'.encode()

    assert desk.post(body) == 200
    with sqlite3.connect(desk.home / "invoices.db") as connection:
        (kept,) = connection.execute("SELECT amount FROM callback WHERE body = ?", (body,)).fetchone()
    assert kept == {"1e-8": "0.00000001"}.get(digits, digits)


@pytest.mark.usefixtures("nothing_new")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"orderId":"x","status":true}',
        b'{"orderId":"x","status":0}',
        b'{"orderId":"x","status":[]}',
        b'{"orderId":["x"],"status":"COMPLETED"}',
        b'{"orderId":null,"status":"COMPLETED"}',
        b'{"orderId":1.5,"status":"COMPLETED"}',
        b'{"orderId":"x","status":"PENDING","status":"COMPLETED"}',
        b'{"orderId":"x","status":"COMPLETED","amount":NaN}',
        b'{"orderId":"x","status":"COMPLETED","amount":1e400000000000000000000}',
        b'{"orderId":"x","status":"COMPLETED","a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'\xef\xbb\xbf{"orderId":"x","status":"COMPLETED"}',
        b'{"orderId":"\xff","status":"COMPLETED"}',
        b'{"orderId":"' + b"x" * 300 + b'","status":"COMPLETED"}',
    ],
)
def test_what_is_signed_and_can_not_be_understood_is_refused_and_changes_nothing(desk, body):
    assert desk.post(body) == 400


@pytest.mark.usefixtures("nothing_new")
def test_bodies_are_bounded_and_never_unpacked(desk):
    assert desk.post(b"x" * (64 * 1024 + 1)) == 413
    body = nebulox_callback("packed")
    assert desk.post(body, [("X-Hash", sign(body)), ("Content-Encoding", "gzip")]) == 415


@pytest.mark.usefixtures("nothing_new")
@pytest.mark.parametrize("fields", [{"type": "PAYOUT"}, {"type": "TEST"}, {"isWallet": True}])
def test_what_is_about_no_invoice_is_answered_and_not_kept(desk, fields):
    assert desk.post(nebulox_callback("not-an-invoice", **fields)) == 200


def test_the_same_bytes_fifty_times_side_by_side_are_kept_once(desk):
    body = nebulox_callback("fifty-times")

    with ThreadPoolExecutor(25) as several:
        assert set(several.map(lambda _: desk.post(body), range(50))) == {200}
    assert [row[1] for row in desk.kept()].count(body) == 1


def test_a_rotated_key_s_callbacks_still_verify(desk):
    old, new = nebulox_callback("by-the-old-key"), nebulox_callback("by-the-new-key")

    assert desk.post(old, account="rotated", key="the-old-key") == 200
    assert desk.post(new, account="rotated", key="the-new-key") == 200
    assert desk.post(nebulox_callback("x"), account="rotated", key="an-older-one") == 401


@pytest.mark.usefixtures("nothing_new")
def test_a_forwarded_address_of_somebody_unknown_opens_nothing(desk):
    body = nebulox_callback("forwarded")
    headers = [("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-Host", "localhost")]

    assert desk.post(body, headers) == 401


def test_no_key_and_no_signature_stands_in_the_log(desk):
    desk.post(nebulox_callback("logged"))
    log = desk.web.log.read_text()

    assert KEY not in log
    assert sign(nebulox_callback("logged")) not in log
    assert ask(f"{desk.web.url}/health/ready")[0] == 200


def test_order_ids_may_come_as_numbers(desk):
    assert desk.post(nebulox_callback(1234567890123456789)) == 200
    assert ("nebulox", "1234567890123456789") in [(row[0], row[2]) for row in desk.kept()]


def test_of_forged_ones_at_most_a_hundred_are_kept_and_all_are_counted(desk):
    forged = [(f"forged-{n}".encode(), [("X-Hash", "0" * 64), ("Cookie", "secret-cookie")]) for n in range(150)]
    with ThreadPoolExecutor(4) as threads:
        statuses = list(threads.map(lambda one: desk.post(*one, account="rotated"), forged))
    assert set(statuses) == {401}

    def rows():
        with sqlite3.connect(desk.home / "invoices.db") as connection:
            return connection.execute("SELECT account, client, body, headers FROM forged_callback").fetchall()

    wait_until(lambda: any(row[0] == "rotated" for row in rows()), "some are kept")
    assert len(rows()) <= 100
    assert {row[1] for row in rows()} == {"127.0.0.1"}
    assert not any("secret" in row[3] for row in rows())
    with urllib.request.urlopen(f"{desk.web.url}/metrics", timeout=60) as answer:
        assert 'invoices_callbacks_total{account="rotated",outcome="forged"} 15' in answer.read().decode()
