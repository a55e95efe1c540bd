"""A refused order is told: to who sent it by the command line, and to an endpoint that asked for such events."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.acceptance.system import ROOT, START_SECONDS, System, nebulox_order, running
from tests.nursery import shared


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """One for all of them: each has orders of its own."""
    with running(System(tmp_path_factory.mktemp("home")), "intake", "worker") as system:
        yield system


def enqueue(system, *flags):
    """What the command says that waits for the intake's verdict for five seconds: a busy machine may take longer."""

    def said():
        ran = shared().run(["invoices", "enqueue", *flags], system.environment, START_SECONDS)
        is_known = b"queued" not in ran.stdout and b'"verdict": null' not in ran.stdout
        return ran if is_known or "--no-wait" in flags else None

    ran = system.wait_until(said, "the intake has said what it made of it")
    return subprocess.CompletedProcess(ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())


def listed(system):
    return system.command("rejected", "--json")


def test_the_shop_gets_one_signed_event_for_each_order_that_was_refused(system):
    system.add_receiver("", "refusals", "--events", "order.rejected")
    good, former = nebulox_order("T-1"), len(listed(system))

    system.order(good)
    system.wait_for_statuses("T-", pending=1)
    (invoice,) = system.invoices("T-").values()
    bad = [nebulox_order("T-2", price="-1"), good | {"price": "1.00"}, good | {"account": "nobody's"}, '{"not": "one"']
    for _ in range(2):
        system.order(*bad)
    url = f"{system.sandbox.receiver_url('refusals')}/events"

    def told():
        return system.ask(url)

    events = system.wait_until(lambda: len(found := told()) >= 6 and found, "two messages of each of three bad orders")
    system.wait_until(lambda: len(listed(system)) == former + 8, "all that was refused is listed")
    system.holds(lambda: len(told()) == 6, "nothing more is told", 1)
    system.wait_until_told()

    assert {event["type"] for event in events} == {"order.rejected"}
    assert sorted((event["subject"], event["data"]["kind"], event["data"]["existing_invoice"]) for event in events) == [
        *[("nebulox/T-1", "conflict", invoice["id"])] * 2,
        *[("nebulox/T-2", "invalid", None)] * 2,
        *[("nobody's/T-1", "invalid", None)] * 2,
    ]
    counts = system.ask(url.removesuffix("/events"))
    assert (counts["invalid"], counts["gaps"]) == (0, 0), counts
    assert {entry["type"] for entry in system.stream()} == {"invoice.pending", "order.rejected"}
    system.check_told()


def test_enqueue_says_what_the_intake_made_of_it(system):
    flags = ("--account", "nebulox", "--order-id", "E-1", "--currency", "EUR", "--price")

    stored = enqueue(system, *flags, "9.90")
    again = enqueue(system, *flags, "9.90", "--json")
    other = enqueue(system, *flags, "1.00")
    unseen = enqueue(system, *flags, "2.00", "--no-wait")

    (invoice,) = system.invoices("E-").values()
    assert stored.stdout == f"stored nebulox/E-1 as {invoice['id']} (invoices show E-1)\n"
    assert json.loads(again.stdout)["invoice_id"] == invoice["id"]
    assert (other.returncode, other.stdout) == (1, "")
    assert other.stderr == (
        "invoices: nebulox/E-1 was refused: idempotency_key: 'E-1' was used by invoice "
        f"{invoice['id']} with other content\n"
    )
    assert (unseen.returncode, unseen.stdout) == (0, "queued nebulox/E-1 (invoices show E-1)\n")


def test_of_standard_input_the_refused_orders_are_named(system):
    orders = [nebulox_order("F-1"), nebulox_order("F-2"), nebulox_order("F-1", price="1.00")]

    command = [sys.executable, "-m", "workers.cli", "enqueue", "--file", "-"]
    lines = "".join(f"{json.dumps(one)}\n" for one in orders)

    def said():
        ran = subprocess.run(command, cwd=ROOT, env=system.environment, input=lines, capture_output=True, text=True,
                             check=False, timeout=START_SECONDS)  # fmt: skip
        return ran if ran.returncode else None

    ran = system.wait_until(said, "the intake has said what it made of them")
    assert ran.returncode == 1
    assert ran.stdout == "queued 3 orders; stored: 1\n"
    assert [line.split(": ")[1] for line in ran.stderr.splitlines()] == ["nebulox/F-1 was refused"]
