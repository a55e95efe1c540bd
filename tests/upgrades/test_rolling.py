"""From the release before to this one with nobody waiting: real processes of both, one after the other replaced while
orders come by message and over HTTP, on one database and one broker."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time

import pytest

from tests.acceptance.system import ALL_PATIENT, System, running, spawn
from tests.acceptance.test_http_orders import new_token
from tests.failover.drill import SECONDS, Figures, drain
from tests.failover.traffic import Traffic
from tests.upgrades.previous import NoPreviousError, commit, settings, spawn_from, tree
from workers.store import schema

pytestmark = [pytest.mark.engines, pytest.mark.drills, pytest.mark.timeout(1200)]

#: In the order of the runbook: whoever writes new things comes last.
PROCESSES = ("worker", "worker2", "beat", "intake", "web")
PER_SECOND = 6.0
WHERE = "import workers.app; print(workers.app.__file__)"
BETWEEN = 12  #: orders taken between two steps


class Before(System):
    """A system whose database and first processes are those of an older tree."""

    def __init__(self, home, folder, **options):
        super().__init__(home, cold=True, **options)
        self.folder = folder
        self.spawn = spawn_from(folder)

    def _environment(self):
        return super()._environment() | settings(self.folder)

    def migrate(self):
        """As the older release's operator did."""
        self.run("-m", "workers.cli", "migrate")

    def run(self, *arguments):
        """Python, with the same modules as a command; its output."""
        command = [sys.executable, *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def move_on(self):
        """Processes and commands that start from now on are this release's."""
        self.spawn = spawn
        for name in settings(self.folder):
            del self.environment[name]

    def move_back(self):
        """And those that start from now on the older one's."""
        self.spawn = spawn_from(self.folder)
        self.environment |= settings(self.folder)


@pytest.fixture
def before():
    try:
        with tree(commit()) as folder:
            yield folder
    except NoPreviousError as error:
        pytest.skip(str(error))


def replace(system, name):
    """Told to stop, as by systemd, and this release's in its place. Whether it ended in order."""
    code = system.kill(name, signal.SIGTERM)
    system.start(name)
    return code


def test_processes_are_replaced_one_by_one_under_load_and_nothing_is_lost_or_billed_twice(
    tmp_path, new_postgres_url, before
):
    system = Before(tmp_path, before, database_url=new_postgres_url, accounts=ALL_PATIENT, lifetime_seconds=3600)
    with running(system, *PROCESSES):
        assert system.run("-c", WHERE).startswith(str(before))
        older = [row["version_num"] for row in system.rows("SELECT version_num FROM alembic_version")]
        traffic = Traffic(system, new_token(system, "orders"), PER_SECOND)
        with contextlib.ExitStack() as stack:
            stack.callback(traffic.stop)
            await_more(system, traffic)
            assert schema.upgrade(new_postgres_url)[1] == schema.revisions()[-1]
            await_more(system, traffic)
            system.move_on()
            assert not system.run("-c", WHERE).startswith(str(before))
            began = time.monotonic()
            for name in PROCESSES:
                assert replace(system, name) == 0
                await_more(system, traffic)
            seconds = time.monotonic() - began
        figures = Figures("rolling", longest_gap_seconds=traffic.longest_gap(), answered_503=traffic.answers[503])
        drain(system, traffic, figures)
        told = figures.as_json() | {"answers": {str(status): n for status, n in traffic.answers.items()}}
        print(json.dumps(told | {"from": older, "to": schema.revisions()[-1], "seconds": round(seconds, 1)}))
        assert figures.lost_orders == figures.rejected_messages == figures.told_of_lost == 0
        assert figures.doubts == 0  # each process ended in order: no call's answer was lost
        assert max(system.creates().values()) == 1
        check_what_was_told(system)


def check_what_was_told(system):
    """All of it, in order, and nobody complained."""
    system.wait_until_told(SECONDS)
    system.check_history()
    system.check_told()
    assert system.errors() == []


def await_more(system, traffic):
    """Until orders taken from now on are paid."""
    enough, paid = traffic.count() + BETWEEN, system.statuses()["paid"] + BETWEEN
    system.wait_until(lambda: traffic.count() >= enough, "orders are taken", SECONDS)
    system.wait_until(lambda: system.statuses()["paid"] >= paid, "orders are paid", SECONDS)
