"""The runbooks' commands can be pasted: none is misspelt, and those of a procedure do what its page says."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, timedelta

import pytest

from domain.evidence import Created, InDoubt
from tests.contracts.store_cases import now
from tests.runbooks import FOLDER
from workers.cli.main import COMMANDS
from workers.store.deliveries import DeliveryAttempt

PAGES = sorted(path.stem for path in FOLDER.glob("*.md"))
#: They run for ever, or take an address that only a test of their own has.
HELP_ONLY = {"up", "web", "move"}
#: Not what is wrong with an invoice or a system (1), but with the command itself.
USAGE = 2


def commands(page):
    """The `invoices` commands of a page's code blocks, in their order."""
    blocks = re.findall(r"^```\n(.*?)\n```", (FOLDER / f"{page}.md").read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("invoices ")]


def inline(page):
    """The `invoices` commands between its words."""
    return re.findall(r"`(invoices [^`]+)`", (FOLDER / f"{page}.md").read_text())


def filled_in(command, **values):
    """Its arguments, with the given values for the words in capitals."""
    words = shlex.split(command, comments=True)[1:]
    return [values.get(word, word) for word in words]


@pytest.fixture
def endpoint(invoices, monkeypatch):
    """A receiver that is never there."""
    monkeypatch.setenv("INVOICES_WEBHOOK_ALLOW", "127.0.0.1:9")
    return invoices("endpoints", "add", "http://127.0.0.1:9/hook", "--json").lines[0]["id"]


@pytest.fixture
def names(endpoint, add_order, tmp_path):
    """What a person fills in."""
    invoice = add_order("order-1")
    orders = {"ORDER": "order-1", "INVOICE": invoice, "EXAMPLE": invoice}
    return orders | {"ACCOUNT": "nebulox", "ENDPOINT": endpoint, "TARGET": f"sqlite:///{tmp_path / 'moved.db'}"}


def test_no_command_is_misspelt(invoices, names):
    """All on one database: whether a command finds what it is for is not asked here."""
    every = {command: page for page in PAGES for command in (*commands(page), *inline(page))}
    for command, page in every.items():
        words = filled_in(command, **names)
        assert words[0] in COMMANDS, f"{page}: {command}"
        if words[0] in HELP_ONLY:
            words = [words[0], "--help"]
        ran = invoices(*words)
        assert ran.code != USAGE, f"{page}: {command}\n{ran.err}"


@pytest.mark.parametrize("page", PAGES)
def test_each_page_says_what_is_meant_what_to_look_at_and_what_to_do(page):
    text = (FOLDER / f"{page}.md").read_text()
    assert text.startswith(f"# {page if page != 'README' else 'Runbooks'}\n")
    wanted = [] if page == "README" else ["## What it means", "## How to see", "## What to do"]
    assert [line for line in text.splitlines() if line in wanted] == wanted
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (FOLDER / link).exists(), link


def test_an_account_that_is_stuck_is_seen_and_its_orders_are_asked_for_again_or_given_up(invoices, add_order, judge):
    invoice = add_order("stuck")
    judge(
        invoice, InDoubt(reason="no answer within 10 s"), Created(provider_ref="r-1", payment_url="https://p.example")
    )
    add_order("waits")
    see, count, some, why, recheck, cancel, over = (
        filled_in(command, ACCOUNT="nebulox", ORDER="stuck") for command in commands("StuckAccount")
    )
    assert invoices(*see).code in {0, 1}
    assert invoices(*count).out.startswith("1 invoice, ")
    assert "waits" in invoices(*some).out
    assert invoices(*why).code == 0
    assert invoices(*recheck).code in {0, 1}  # Nebulox can't be asked before its first callback, and says so
    assert invoices(*cancel).code == 0
    cancel[1] = "waits"
    assert invoices(*cancel).code == 0
    assert invoices(*over).out == "0 invoices\n"


def test_after_a_shop_s_outage_it_is_sent_what_it_missed_all_of_it_or_the_newest(
    invoices, store, add_order, judge, endpoint
):
    """One event was taken, one failed, one waits."""
    for number in range(3):
        judge(add_order(f"order-{number}"), Created(provider_ref=str(number), payment_url="https://p.example"))
    first, second, _ = store.claim_deliveries(endpoint, 10, 60)
    store.settle(
        [
            DeliveryAttempt(first, "delivered", status=200, latency_ms=3),
            DeliveryAttempt(second, "failed", error="status: 500", status=500, latency_ms=3, wait_seconds=60.0),
        ]
    )
    hour = timedelta(hours=1)
    moment = now(store.database).astimezone(UTC)
    span = {
        "2026-11-29T02:00:00Z": f"{moment - hour:%Y-%m-%dT%H:%M:%SZ}",
        "2026-11-29T05:00:00Z": f"{moment + hour:%Y-%m-%dT%H:%M:%SZ}",
    }
    assert all(time in " ".join(commands("ReplayAfterOutage")) for time in span)
    _, _, missed, again, everything, newest, over = (
        filled_in(command, ENDPOINT=endpoint, **span) for command in commands("ReplayAfterOutage")
    )
    assert len(invoices(*missed, "--json").lines) == 2
    for command, events in ((again, 2), (everything, 3), (newest, 3)):
        ran = invoices(*command, "--json")
        assert ran.code == 0, ran.err
        assert ran.lines[0]["events"] == events, (command, ran.lines)
    assert invoices(*over).code == 0
