"""The sandbox's markers and control address, and how its process starts and ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.contracts.sandbox_client import (
    calls_of,
    control,
    create_nebulox,
    create_zeroxhost,
    look_up,
    look_up_when,
    made_for,
    new_id,
    raw_create,
    wait_until,
)
from workers.embedded.sandbox.process import SandboxProcess

ROOT = Path(__file__).resolve().parents[2]


def test_markers_confirm_then_pay_by_themselves(sandbox):
    made = create_zeroxhost(sandbox, new_id("~confirm:0~pay:0.3~"))[1]["data"]
    row = look_up(sandbox, made["track_id"])[1]["data"]
    assert row["tx_hash"]
    paid = wait_until(lambda: look_up_when(sandbox, made["track_id"], "paid"))
    assert paid["tx_hash"] == row["tx_hash"]


def test_an_expired_invoice_may_still_be_paid_late(sandbox):
    made = create_zeroxhost(sandbox, new_id("~expire:0~pay:0.3~"))[1]["data"]
    assert wait_until(lambda: look_up_when(sandbox, made["track_id"], "paid"))


def test_a_payment_in_part_is_underpaid_only_when_it_lapses(sandbox):
    user = new_id()
    made = create_zeroxhost(sandbox, user)[1]["data"]
    for path, word in (("underpay", "Paying"), ("expire", "Underpaid")):
        assert control(sandbox, path, {"provider": "zeroxhost", "order_id": user})[0] == 200
        assert look_up(sandbox, made["track_id"])[1]["data"]["status"] == word


@pytest.mark.parametrize(
    ("path", "extra", "word", "has_hash"),
    [
        ("pay", {}, "Paid", True),
        ("pay", {"confirming": True}, "Paying", True),
        ("underpay", {}, "Paying", True),
        ("status", {"word": "Bamboozled", "tx_hash": None}, "Bamboozled", False),
    ],
)
def test_the_control_address_moves_an_invoice(sandbox, path, extra, word, has_hash):
    user = new_id()
    made = create_zeroxhost(sandbox, user)[1]["data"]
    assert control(sandbox, path, {"provider": "zeroxhost", "order_id": user, **extra})[0] == 200
    row = look_up(sandbox, made["track_id"])[1]["data"]
    assert (row["status"], row["tx_hash"] is not None) == (word, has_hash)


def test_the_control_address_expires_an_invoice_and_changes_lifetimes(sandbox):
    user = new_id()
    try:
        assert control(sandbox, "lifetime", {"seconds": 5400})[1] == {"nebulox": 5400, "zeroxhost": 5400}
        made = create_zeroxhost(sandbox, user)[1]["data"]
        assert (made["lifetime"], made["expired_at"] - made["date"]) == (90, 5400)
    finally:
        control(sandbox, "lifetime", {"seconds": 900})
    control(sandbox, "expire", {"provider": "zeroxhost", "ref": made["track_id"]})
    assert look_up(sandbox, made["track_id"])[1]["data"]["status"] in ("expired", "Expired")


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("pay", b"{", 400, "body"),
        ("pay", {"provider": "other", "ref": "1"}, 400, "provider"),
        ("pay", {"provider": "nebulox"}, 400, "order_id"),
        ("pay", {"provider": "nebulox", "ref": "1"}, 404, "ref"),
        ("pay", {"provider": "nebulox", "ref": "1", "confirming": "yes"}, 400, "confirming"),
        ("pay", {"provider": "nebulox", "ref": "1", "amount": 1}, 400, "amount"),
        ("underpay", {"provider": "nebulox", "ref": "1", "paid_amount": -1.5}, 400, "paid_amount"),
        ("status", {"provider": "nebulox", "ref": "1"}, 400, "word"),
        ("lifetime", {"seconds": 0}, 400, "seconds"),
        ("lifetime", {"seconds": 10**400}, 400, "seconds"),
        ("lifetime", {"seconds": True}, 400, "seconds"),
        ("faults", {"provider": "nebulox", "operation": "list", "fault": "delay"}, 400, "operation"),
        ("faults", {"provider": "nebulox", "fault": "nonsense"}, 400, "fault"),
        ("faults", {"provider": "nebulox", "fault": "status", "argument": 200}, 400, "argument"),
        ("faults", {"provider": "nebulox", "fault": "reset", "times": 0}, 400, "times"),
        ("faults", {"provider": "nebulox", "fault": "reset", "probability": 2}, 400, "probability"),
    ],
)
def test_bad_control_input_is_refused_with_one_line_that_names_the_field(sandbox, path, body, status, field):
    got, answer = control(sandbox, path, body)
    assert got == status
    assert answer["error"].startswith(f"{field}: ")
    assert "\n" not in answer["error"]


@pytest.mark.parametrize(("query", "field"), [("limit=x", "limit"), ("provider=x", "provider"), ("order=x", "order")])
@pytest.mark.parametrize("path", ["invoices", "calls"])
def test_a_bad_question_is_refused_with_the_field_named(sandbox, path, query, field):
    status, answer = control(sandbox, f"{path}?{query}")
    assert status == 400
    assert answer["error"].startswith(f"{field}: ")


def test_calls_tell_what_was_asked_and_answered(sandbox):
    order = new_id("~fault:status=502~")
    create_nebulox(sandbox, order)
    create_nebulox(sandbox, order)
    first, second = calls_of(sandbox, order)
    assert (first["status"], first["fault"], first["ended"], first["ref"]) == (502, "status", "answered", None)
    assert (second["status"], second["fault"], second["ended"]) == (201, None, "answered")
    invoice = control(sandbox, f"invoices?order_id={quote(order)}")[1]["invoices"][0]
    assert invoice["ref"] == second["ref"]
    assert invoice["request"] == {"price": "100", "orderId": order}
    assert control(sandbox, "calls", method="DELETE") == (200, {"total": 0})
    assert control(sandbox, "calls?operation=create")[1] == {"total": 0, "count": 0, "calls": []}


def test_the_process_ends_cleanly_on_sigterm_even_while_answers_are_withheld():
    order = "a~fault:accept_then_timeout~"
    with SandboxProcess("--seed", "1") as sandbox, raw_create(sandbox, "nebulox", order):
        wait_until(lambda: made_for(sandbox, order, "nebulox") == 1)
        assert sandbox.stop() == 0
    assert sandbox.stop() is None


def test_a_seed_repeats_ids_and_amounts():
    seen = []
    for _ in range(2):
        with SandboxProcess("--seed", "7") as sandbox:
            data = create_zeroxhost(sandbox, "u")[1]["data"]
            seen.append([data[name] for name in ("track_id", "amount", "pay_amount", "address", "order_id")])
    assert seen[0] == seen[1]


def test_the_sandbox_ends_when_its_parent_dies():
    script = (
        "import os, signal\n"
        "from workers.embedded.sandbox.process import SandboxProcess\n"
        "sandbox = SandboxProcess().start()\n"
        "print(sandbox.url, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, timeout=180, check=False)
    assert parent.returncode == -signal.SIGKILL
    host, port = parent.stdout.decode().strip().removeprefix("http://").split(":")

    def is_gone():
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_until(is_gone)


def test_a_taken_port_and_a_bad_secret_stop_the_start_with_one_line(sandbox):
    command = [sys.executable, "-m", "workers.embedded.sandbox"]
    port = sandbox.url.rsplit(":", 1)[1]
    for options, code, message in (
        (["--port", port], 1, f"can't listen on 127.0.0.1:{port}"),
        (["--port", "0", "--receiver-secret", "hush"], 2, "argument --receiver-secret: secret: must be whsec_"),
        (["--lifetime-seconds", "0"], 2, "--lifetime-seconds"),
    ):
        ended = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, timeout=180, check=False)
        assert ended.returncode == code
        last = ended.stderr.decode().strip().splitlines()[-1]
        assert message in last
        assert "hush" not in last
        assert ended.stdout == b""
