"""From this release back to the one before with nobody waiting: on the migrated database, and with messages that this
release has sorted by account, which an older one may not read (deploy/BROKERS.md, "Turns")."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import time

import pytest

from tests.acceptance.system import ALL_PATIENT, ROOT, zeroxhost_order
from tests.acceptance.test_http_orders import new_token
from tests.failover.drill import SECONDS, Figures, drain
from tests.failover.traffic import MARKER, Taken, Traffic
from tests.upgrades.test_rolling import PER_SECOND, PROCESSES, WHERE, Before, await_more, before, check_what_was_told
from workers.store import schema

__all__ = ["before"]  # a fixture

pytestmark = [pytest.mark.engines, pytest.mark.drills, pytest.mark.timeout(1200)]

#: The other way round than at an upgrade: whoever writes new things goes first.
GOING = tuple(reversed(PROCESSES))
PILE = 1500  #: messages, of which the intake sorts a thousand at its first claim
SORTED, TURNS, QUEUE = "invoices.intake.of.*", "invoices.turns:invoices.intake", "invoices.intake"


def test_processes_go_back_one_by_one_under_load_and_nothing_is_lost_or_billed_twice(
    tmp_path, new_postgres_url, before
):
    system = Before(tmp_path, before, database_url=new_postgres_url, accounts=ALL_PATIENT, lifetime_seconds=3600)
    with system:
        older = schema.upgrade(new_postgres_url)[0]
        system.move_on()
        system.add_receiver()
        system.start(*PROCESSES)
        traffic = Traffic(system, new_token(system, "orders"), PER_SECOND)
        with contextlib.ExitStack() as stack:
            stack.callback(traffic.stop)
            await_more(system, traffic)
            system.move_back()
            assert system.run("-c", WHERE).startswith(str(before))
            began = time.monotonic()
            for name in GOING:
                if name == "intake":
                    pile_up(system, traffic)
                assert system.kill(name, signal.SIGTERM) == 0
                if name == "intake":
                    unsort(system)
                system.start(name)
                await_more(system, traffic)
            seconds = time.monotonic() - began
        figures = Figures("back", longest_gap_seconds=traffic.longest_gap(), answered_503=traffic.answers[503])
        drain(system, traffic, figures)
        told = figures.as_json() | {"answers": {str(status): n for status, n in traffic.answers.items()}}
        print(json.dumps(told | {"from": schema.revisions()[-1], "to": older, "seconds": round(seconds, 1)}))
        assert figures.lost_orders == figures.rejected_messages == figures.told_of_lost == 0
        assert figures.doubts == 0  # each process ended in order: no call's answer was lost
        assert max(system.creates().values()) == 1
        check_what_was_told(system)


def pile_up(system, traffic):
    """Until messages wait in lists by account, faster than they are taken: they come while the intake stands still."""
    orders = [zeroxhost_order(f"piled-{number}", MARKER) for number in range(PILE)]
    intake = system.processes["intake"]
    intake.send_signal(signal.SIGSTOP)
    system.order(*orders)
    traffic.taken += [Taken(order["order_id"], False, time.monotonic()) for order in orders]
    intake.send_signal(signal.SIGCONT)
    system.wait_until(lambda: system.redis.keys(SORTED), "messages wait by account", SECONDS)


def unsort(system):
    """By the script of the document, as an operator runs it."""
    assert system.redis.keys(SORTED), "the intake was told to stop in the middle of them"
    waiting = system.broker.waiting(QUEUE)
    (script,) = re.findall(r"```lua\n(.*?)```", (ROOT / "deploy/BROKERS.md").read_text(), re.DOTALL)
    system.redis.eval(script, 2, TURNS, QUEUE)
    assert system.redis.keys(SORTED) == []
    assert system.redis.llen(QUEUE) >= waiting  # others come meanwhile
