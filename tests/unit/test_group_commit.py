"""Orders of several threads share transactions, and nobody pays for somebody else's order."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
from psycopg.errors import QueryCanceled
from sqlalchemy.exc import OperationalError

from workers.store.group import GroupCommit
from workers.store.intake import Added

THREADS = 8
PATIENCE_SECONDS = 60


class Writer:
    """Writes like the store; the first transaction waits until everybody else has queued up."""

    def __init__(self, fails_on=None, error=ValueError):
        self.written = []
        self.let_go = threading.Event()
        self._fails_on = fails_on
        self._error = error

    def __call__(self, orders):
        if not self.written:
            self.written.append([])  # whoever comes from now on waits for this one
            self.let_go.wait(PATIENCE_SECONDS)
            self.written.pop()
        if self._fails_on in [order for order, _ in orders]:
            raise self._error("bad")
        self.written.append([order for order, _ in orders])
        return [Added(order, "accepted", f"inv_{order}") for order, _ in orders]


def add_all(writer):
    """THREADS callers at once, one order each; what each got."""
    group = GroupCommit(writer)

    def add(number):
        try:
            return [added.invoice_id for added in group.add([(str(number), "nebulox")])]
        except BaseException as error:
            return error

    with ThreadPoolExecutor(THREADS) as threads:
        calls = [threads.submit(add, number) for number in range(THREADS)]
        until = time.monotonic() + PATIENCE_SECONDS
        while len(group._gathered) < THREADS - 1:
            assert time.monotonic() < until
            time.sleep(0.001)
        writer.let_go.set()
        return [call.result(PATIENCE_SECONDS) for call in calls]


def test_what_gathers_during_one_transaction_is_written_in_the_next():
    writer = Writer()
    assert add_all(writer) == [[f"inv_{number}"] for number in range(THREADS)]
    assert [len(orders) for orders in writer.written] == [1, THREADS - 1]


def test_a_failing_order_fails_alone():
    writer = Writer(fails_on="3")
    got = add_all(writer)
    assert isinstance(got[3], ValueError)
    assert [one for number, one in enumerate(got) if number != 3] == [[f"inv_{n}"] for n in range(THREADS) if n != 3]


def test_a_database_that_is_away_is_away_for_all():
    got = add_all(Writer(fails_on="3", error=lambda text: OperationalError(text, None, Exception(text))))
    assert sum(isinstance(one, OperationalError) for one in got) in {1, THREADS - 1}


def test_an_order_that_takes_too_long_holds_up_no_other():
    got = add_all(Writer(fails_on="3", error=lambda text: OperationalError(text, None, QueryCanceled(text))))
    assert isinstance(got[3], OperationalError)
    assert [one for number, one in enumerate(got) if number != 3] == [[f"inv_{n}"] for n in range(THREADS) if n != 3]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_thread_that_is_ended_while_it_writes_for_others_leaves_them_their_orders(error):
    """Nobody is told that nothing was asked for: an empty answer would acknowledge what is not written."""

    class Ended(Writer):
        ends: ClassVar = [error]

        def __call__(self, orders):
            if len(orders) > 1 and self.ends:
                raise self.ends.pop()
            return super().__call__(orders)

    got = add_all(Ended())
    ended = [number for number, one in enumerate(got) if isinstance(one, error)]
    assert len(ended) == 1
    others = [number for number in range(THREADS) if number not in ended]
    assert [got[number] for number in others] == [[f"inv_{number}"] for number in others]


def test_an_error_of_the_writer_reaches_a_single_caller():
    def fail(orders):
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        GroupCommit(fail).add([("1", "nebulox")])
