"""The sandbox's Nebulox posts callbacks: in time, signed as documented, and as odd as they are asked to be."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.callbacks import sign
from tests.contracts.sandbox_client import NEBULOX_KEY, control, create_nebulox, create_zeroxhost, new_id, wait_until
from workers.embedded.sandbox.process import SandboxProcess
from workers.embedded.sandbox.quirks import QUIRKS

ROOT = Path(__file__).resolve().parents[2]


class Taker(ThreadingHTTPServer):
    """Takes callbacks, and answers each order's first ones with the statuses it was told to."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), TakerHandler)
        self.lock, self.came, self.refusals = threading.Lock(), [], {}

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/callbacks/nebulox"

    def of(self, order):
        """(body's fields, signed rightly, raw body) of what came for an order, in its order of coming."""
        return [(fields, signed, raw) for fields, signed, raw in list(self.came) if str(fields["orderId"]) == order]

    def words(self, order, *, signed=True):
        return [fields["status"] for fields, right, _ in self.of(order) if right is signed]


class TakerHandler(BaseHTTPRequestHandler):
    server: Taker

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["content-length"]))
        fields, signed = json.loads(raw), self.headers["x-hash"] == sign(raw, NEBULOX_KEY)
        with self.server.lock:
            self.server.came.append((fields, signed, raw))
            refusals = self.server.refusals.get(fields["orderId"]) or []
            status = refusals.pop(0) if refusals else (200 if signed else 401)
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args):
        """Nothing."""


@pytest.fixture(scope="module")
def taker():
    with Taker() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def sandbox(taker):
    with SandboxProcess("--callback-url", taker.url) as process:
        yield process


def callbacks_of(sandbox, order):
    return control(sandbox, f"callbacks?order_id={quote(order)}")[1]["callbacks"]


def make(sandbox, markers="", **fields):
    """An order's id, its invoice at the provider."""
    order = new_id(markers)
    status, answer = create_nebulox(sandbox, order, **fields)
    assert status == 201
    return order, answer["result"]


def wait_for_words(taker, order, *words):
    wait_until(lambda: taker.words(order) == list(words))


def wait_for_end(sandbox, order, *ends):
    wait_until(lambda: [one["ended"] for one in callbacks_of(sandbox, order)] == list(ends))


def test_a_payment_is_called_back_by_itself_as_the_later_documents_have_it(sandbox, taker):
    order, made = make(sandbox, "~pay:0.2~", coinSymbol="LTC")
    wait_for_words(taker, order, "COMPLETED")
    invoice = control(sandbox, f"invoices?order_id={quote(order)}")[1]["invoices"][0]
    fields, signed, raw = taker.of(order)[0]
    assert signed
    assert invoice["ref"] == made["id"]
    assert fields == {
        "orderId": order,
        "txId": invoice["tx_hash"],
        "amount": invoice["pay_amount"],
        "confirmations": 1,
        "status": "COMPLETED",
        "type": "INVOICE",
        "coin": "LTC",
        "network": "Litecoin",
        "trackingCode": invoice["number"],
        "isWallet": False,
        "coinName": "Litecoin",
    }
    wait_for_end(sandbox, order, "answered")
    (told,) = callbacks_of(sandbox, order)
    assert (told["word"], told["status"], told["forged"], told["body"]) == ("COMPLETED", 200, False, raw.decode())


def test_a_payment_in_part_tells_its_amount_and_a_lapse_is_called_back(sandbox, taker):
    order, _ = make(sandbox, "~underpay:0.1~lifetime:2~")
    wait_for_words(taker, order, "PARTIAL", "EXPIRED")
    partial = taker.of(order)[0][0]
    assert 0 < float(partial["paidAmount"]) < float(partial["amount"])


def test_what_the_control_address_does_is_called_back(sandbox, taker):
    order, _ = make(sandbox)
    asked = {"provider": "nebulox", "order_id": order}
    control(sandbox, "underpay", {**asked, "paid_amount": "0.00010000"})
    control(sandbox, "pay", {**asked, "confirming": True})  # for this the provider has no word
    control(sandbox, "pay", asked)
    control(sandbox, "status", {**asked, "word": "Bamboozled"})
    wait_for_words(taker, order, "PARTIAL", "COMPLETED", "Bamboozled")
    assert taker.of(order)[0][0]["paidAmount"] == "0.00010000"


def test_the_other_provider_calls_nobody_back(sandbox, taker):
    user = new_id("~pay:0~")
    create_zeroxhost(sandbox, user)
    order, _ = make(sandbox, "~pay:0.1~")
    wait_for_words(taker, order, "COMPLETED")
    assert not taker.of(user)


def test_what_is_not_answered_2xx_is_posted_again_the_same_bytes(sandbox, taker):
    order = new_id("~pay:0.1~")
    taker.refusals[order] = [500, 404]
    create_nebulox(sandbox, order)
    wait_for_end(sandbox, order, "answered")
    (told,) = callbacks_of(sandbox, order)
    assert [one["status"] for one in told["tries"]] == [500, 404, 200]
    assert len({raw for _, _, raw in taker.of(order)}) == 1


def test_late_comes_that_much_later(sandbox, taker):
    order, _ = make(sandbox, "~pay:0~callback:late=1~")
    wait_for_end(sandbox, order, "answered")
    (told,) = callbacks_of(sandbox, order)
    assert told["tries"][0]["at"] - told["at"] >= 1


def test_twice_posts_the_same_bytes_again_though_they_were_answered(sandbox, taker):
    order, _ = make(sandbox, "~pay:0~callback:twice~")
    wait_for_end(sandbox, order, "answered", "answered")
    first, second = taker.of(order)
    assert first == second


def test_reordered_tells_of_the_whole_before_the_part(sandbox, taker):
    order, _ = make(sandbox, "~underpay:0.1~pay:0.3~callback:reordered~")
    wait_for_words(taker, order, "COMPLETED", "PARTIAL")


def test_a_forged_one_goes_beside_the_right_one_and_is_not_sent_again(sandbox, taker):
    order, _ = make(sandbox, "~expire:0~callback:forged~")
    wait_for_end(sandbox, order, "refused", "answered")
    assert taker.words(order, signed=False) == ["COMPLETED"]  # what a forger would say
    assert taker.words(order) == ["EXPIRED"]
    forged, right = callbacks_of(sandbox, order)
    assert (forged["forged"], forged["status"], len(forged["tries"])) == (True, 401, 1)
    assert (right["forged"], right["status"]) == (False, 200)


def test_a_forged_one_may_come_instead(sandbox, taker):
    order, _ = make(sandbox, "~pay:0~callback:forged_only~")
    wait_for_end(sandbox, order, "refused")
    assert taker.words(order) == []


def test_lost_is_never_sent_or_only_the_one_of_that_number(sandbox, taker):
    order, _ = make(sandbox, "~underpay:0~pay:0.1~callback:lost~")
    wait_for_end(sandbox, order, "lost", "lost")
    other, _ = make(sandbox, "~underpay:0~pay:0.1~callback:lost=1~")
    wait_for_end(sandbox, other, "lost", "answered")
    assert (taker.words(order), taker.words(other)) == ([], ["COMPLETED"])


def test_a_quirk_may_be_for_the_first_ones_only(sandbox, taker):
    order, _ = make(sandbox, "~underpay:0~pay:0.1~callback:twice*1~")
    wait_for_end(sandbox, order, "answered", "answered", "answered")
    assert taker.words(order) == ["PARTIAL", "PARTIAL", "COMPLETED"]


@pytest.mark.parametrize(("steps", "word"), [("~pay:0", "COMPLETED"), ("", "PENDING")])
def test_early_has_come_before_the_creates_answer_is_sent(sandbox, taker, steps, word):
    order, _ = make(sandbox, f"{steps}~callback:early~")
    assert taker.words(order) == [word]


def test_early_comes_also_where_the_answer_is_lost(sandbox, taker):
    order = new_id("~pay:0~callback:early~fault:accept_then_status=500~")
    assert create_nebulox(sandbox, order)[0] == 500
    wait_for_words(taker, order, "COMPLETED")


def test_old_payloads_stop_after_the_status(sandbox, taker):
    order, _ = make(sandbox, "~pay:0~callback:old~")
    wait_for_words(taker, order, "COMPLETED")
    assert list(taker.of(order)[0][0]) == ["orderId", "txId", "amount", "confirmations", "status"]


def test_odd_spellings_mean_the_same(sandbox, taker):
    order, _ = make(sandbox, "/a~pay:0~callback:spelled~")
    wait_for_words(taker, order, "COMPLETED")
    fields, signed, raw = taker.of(order)[0]
    assert signed
    for spelling in (b"\\/", b"\\u00e9", b'"\\u0061mount"', b'onfirmations" :\t1.0', b"{}", b",\r\n", b"}\r\n"):
        assert spelling in raw, spelling
    assert isinstance(fields["amount"], float)


@pytest.mark.parametrize(
    ("name", "field", "value"), [("new_word", "status", "aml_hold"), ("new_field", "amlCheck", "passed")]
)
def test_what_no_document_names_is_rightly_signed(sandbox, taker, name, field, value):
    order, _ = make(sandbox, f"~pay:0~callback:{name}~")
    wait_until(lambda: taker.of(order))
    fields, signed, _ = taker.of(order)[0]
    assert (signed, fields[field]) == (True, value)


def test_an_order_id_that_is_a_number_comes_back_as_one(sandbox, taker):
    assert create_nebulox(sandbox, "4711")[0] == 201
    control(sandbox, "pay", {"provider": "nebulox", "order_id": "4711"})
    status, answer = control(sandbox, "callbacks/send", {"order_id": "4711", "quirks": "spelled"})
    assert status == 200
    assert 'rderId" :\t4711,' in answer["callbacks"][0]["body"]
    wait_until(lambda: [fields["orderId"] for fields, _, _ in taker.of("4711")] == ["4711", 4711])


@pytest.mark.parametrize(
    ("quirk", "field", "value"), [("wrong_amount", "amount", "0.01"), ("wrong_amount=7", "amount", "7"),
                                  ("wrong_coin", "coin", "LTC")]
)  # fmt: skip
def test_a_callback_may_tell_another_amount_or_coin(sandbox, taker, quirk, field, value):
    order, _ = make(sandbox, f"~pay:0~callback:{quirk}~")
    wait_for_words(taker, order, "COMPLETED")
    fields, signed, _ = taker.of(order)[0]
    assert (fields[field], signed) == (value, True)


def test_rules_of_the_control_address_give_quirks_too(sandbox, taker):
    rule = {"provider": "nebulox", "operation": "callback", "fault": "lost", "times": 1}
    order = new_id()
    assert control(sandbox, "faults", {**rule, "match": order})[0] == 200
    create_nebulox(sandbox, order + "~underpay:0~pay:0.2~")
    wait_for_end(sandbox, order + "~underpay:0~pay:0.2~", "lost", "answered")
    control(sandbox, "faults", method="DELETE")


def test_one_is_sent_on_request_with_any_word(sandbox, taker):
    order, _ = make(sandbox)
    status, answer = control(sandbox, "callbacks/send", {"order_id": order, "word": "COMPLETED"})
    assert (status, [one["word"] for one in answer["callbacks"]]) == (200, ["COMPLETED"])
    wait_for_words(taker, order, "COMPLETED")


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("callbacks", {"url": "ftp://x"}, 400, "url"),
        ("callbacks", {"url": "http://[x"}, 400, "url"),
        ("callbacks", {"address": "http://x"}, 400, "address"),
        ("callbacks/send", {"order_id": "nobody's"}, 404, "order_id"),
        ("callbacks/send", {"order_id": "x", "quirks": "nonsense"}, 400, "fault"),
        ("faults", {"provider": "nebulox", "operation": "callback", "fault": "reset"}, 400, "fault"),
        ("faults", {"provider": "zeroxhost", "operation": "callback", "fault": "lost"}, 400, "operation"),
        ("faults", {"provider": "nebulox", "operation": "callback", "fault": "late", "argument": -1}, 400, "argument"),
    ],
)
def test_bad_input_about_callbacks_is_refused_with_the_field_named(sandbox, path, body, status, field):
    got, answer = control(sandbox, path, body)
    assert got == status
    assert answer["error"].startswith(f"{field}: ")


def test_an_unknown_quirk_in_an_order_id_makes_no_invoice(sandbox):
    status, answer = create_nebulox(sandbox, new_id("~callback:nonsense~"))
    assert status == 400
    assert "known are late, twice" in answer["message"]


def test_without_an_address_nothing_is_sent_and_one_may_be_named_later(taker):
    with SandboxProcess() as sandbox:
        unheard, _ = make(sandbox, "~underpay:0~pay:0.5~")
        control(sandbox, f"invoices?order_id={quote(unheard)}")  # the first step is played
        told = control(sandbox, "callbacks")[1]
        assert (told["url"], told["callbacks"], told["sent"]) == (None, [], 0)
        assert control(sandbox, "callbacks/send", {"order_id": unheard})[0] == 409
        assert control(sandbox, "callbacks", {"url": taker.url})[1]["url"] == taker.url
        wait_for_words(taker, unheard, "COMPLETED")
        wait_until(lambda: control(sandbox, "callbacks")[1]["waiting"] == 0)
        told = control(sandbox, "callbacks", method="DELETE")[1]
        assert (told["sent"], told["answered"]) == (0, 0)
        assert control(sandbox, "callbacks", {"url": None})[1]["url"] is None
        silent, _ = make(sandbox, "~pay:0~")
        control(sandbox, f"invoices?order_id={quote(silent)}")
        assert control(sandbox, "callbacks")[1]["callbacks"] == []


def test_the_process_ends_cleanly_while_callbacks_wait_to_be_sent_again(taker):
    with SandboxProcess("--callback-url", "http://127.0.0.1:9/nobody-listens") as sandbox:
        order, _ = make(sandbox, "~pay:0~")
        wait_until(lambda: [one for one in callbacks_of(sandbox, order) if one["tries"]])
        told = callbacks_of(sandbox, order)[0]
        assert (told["ended"], told["status"], bool(told["tries"][0]["error"])) == ("waiting", None, True)
        assert sandbox.stop() == 0


def test_an_address_that_can_not_be_used_stops_the_start_with_one_line():
    command = [sys.executable, "-m", "workers.embedded.sandbox", "--port", "0", "--callback-url", "nonsense"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=180, check=False)
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr.decode().strip() == "argument --callback-url: url: must be an http:// or https:// address"


def test_every_quirk_has_a_test_and_a_line_in_the_readme():
    tests, readme = Path(__file__).read_text(), (ROOT / "workers/embedded/sandbox/README.md").read_text()
    for name in QUIRKS:
        assert f"~callback:{name}" in tests or f'("{name}", ' in tests
        assert f"| `{name}` |" in readme
