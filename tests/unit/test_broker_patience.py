"""A refusal of the broker's is a lost connection, and a connection that is lost again and again is not hurried."""

from __future__ import annotations

import pytest
from redis import exceptions

from workers.queue.consumer import CALM_SECONDS, MAX_STEPS, Patience
from workers.transport import refusals
from workers.transport.refusals import note_that_it_works, refusals_as_lost_connections

REFUSALS = [
    exceptions.ReadOnlyError("You can't write against a read only replica."),
    exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
    exceptions.ExecAbortError("Transaction discarded because of previous errors."),
    exceptions.ClusterDownError("CLUSTERDOWN The cluster is down"),
    exceptions.MasterDownError("MASTERDOWN Link with MASTER is down"),
    exceptions.TryAgainError("TRYAGAIN Multiple keys request during rehashing of slot"),
    exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
    exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"),
    exceptions.ResponseError("BUSY Redis is busy running a script."),
    exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_a_refusal_is_a_lost_connection(refusal):
    with pytest.raises(exceptions.ConnectionError, match="the broker refused"), refusals_as_lost_connections():
        raise refusal


def test_a_missing_right_ends_a_worker_that_never_had_it_and_is_waited_for_later(monkeypatch):
    monkeypatch.setattr(refusals._Experience, "works", False)
    missing = exceptions.NoPermissionError("this user has no permissions to run the 'evalsha' command")
    with pytest.raises(exceptions.NoPermissionError), refusals_as_lost_connections():
        raise missing
    note_that_it_works()
    with pytest.raises(exceptions.ConnectionError), refusals_as_lost_connections():
        raise missing


def test_waits_grow_while_connections_do_not_last_and_begin_anew_after_a_good_one():
    now = 0.0
    patience = Patience(lambda: now)
    steps = []
    for _ in range(8):
        steps.append(patience.next_steps())
        now += 1
    assert steps == [0, 2, 4, 8, 16, 32, MAX_STEPS, MAX_STEPS]
    now += CALM_SECONDS
    assert patience.next_steps() == 0
