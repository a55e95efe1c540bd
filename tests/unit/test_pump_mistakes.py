"""Mistakes of ours within a commit: they are told, and end neither the committer nor the stage."""

from __future__ import annotations

import dataclasses
import threading

from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from domain.decision import Stage
from tests.unit.pump_cases import LANE, PATIENCE_SECONDS, Away
from workers.engine import Pump, commits, uncommitted
from workers.store.agenda import Due


def run_with(monkeypatch, patch, name_of=lambda _: {}):
    """What the log says while "bad" is never taken, until "good" is, which comes later."""
    taken, gone = threading.Event(), threading.Event()

    def commit(results):
        if "bad" in results:
            gone.set()
            raise IntegrityError("INSERT", {}, Exception("it breaks a rule"))
        taken.set()

    given = iter([["bad"]])

    def claim_next(*_):
        found = next(given, None)
        return found if found is not None else (["good"] if gone.is_set() and not taken.is_set() else [])

    work = dataclasses.replace(Away().work(), claim=claim_next, commit=commit, name_of=name_of)

    async def open_works(_):
        return [work]

    patch(monkeypatch)
    pump = Pump(open_works, lambda _: [Due(*LANE, -1.0)], lambda _: None, lambda _: None)
    with capture_logs() as lines:
        pump.start()
        try:
            assert taken.wait(PATIENCE_SECONDS)
        finally:
            pump.stop(1)
    return lines


def test_a_result_that_can_t_be_named_is_given_up_all_the_same(monkeypatch):
    def no_name(_):
        raise KeyError("its name")

    lines = run_with(monkeypatch, lambda _: None, name_of=no_name)
    told = [line["unnamed"] for line in lines if line["event"] == "pump.result_given_up"]
    assert told == ["KeyError"]
    assert not [line for line in lines if line["event"] == "pump.committer_ended"]


def test_a_mistake_within_a_commit_leaves_its_results_to_their_leases_and_the_next_are_committed(monkeypatch):
    def give_up(self, result):
        raise KeyError(result.value)

    lines = run_with(monkeypatch, lambda patch: patch.setattr(uncommitted.Uncommitted, "give_up", give_up))
    assert [line["event"] for line in lines].count("pump.commit_failed") == 2, "the database's error, and ours"


def test_a_committer_that_ends_is_told_and_begins_anew(monkeypatch):
    begun = []
    run_batches = commits.Commits._run_batches

    async def run(self):
        begun.append(self)
        if len(begun) == 1:
            raise KeyError("a bug")
        await run_batches(self)

    lines = run_with(monkeypatch, lambda patch: patch.setattr(commits.Commits, "_run_batches", run))
    assert len(begun) == 2
    assert [line["stage"] for line in lines if line["event"] == "pump.committer_ended"] == [Stage.CREATE]
