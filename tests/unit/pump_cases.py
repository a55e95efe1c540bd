"""What the tests of the engine's commits share."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from sqlalchemy.exc import OperationalError

from domain.decision import Stage
from workers.engine import EngineLog, Slots, Work, commits
from workers.store.agenda import Claim

LANE = (Stage.CREATE, "account")
PATIENCE_SECONDS = 60
TRIES = 7  #: the back-off's waits are over two seconds by then


class Away:
    """A database that takes the first result only at the last of several tries; its row can be claimed again then."""

    def __init__(self):
        self.tries, self.early, self.claims = 0, 0, 0
        self.committed, self.claimed_again = threading.Event(), threading.Event()

    def claim(self, _lane, _limit):
        self.claims += 1
        if self.claims == 1:
            return ["first"]
        self.early += self.tries > 5 and not self.committed.is_set()
        if self.committed.is_set():
            self.claimed_again.set()
        return []

    def commit(self, _results):
        self.tries += 1
        if self.tries < TRIES:
            raise OperationalError("COMMIT", {}, Exception("the connection is lost"))
        self.committed.set()

    async def perform(self, _lane, items):
        return items

    def work(self):
        slots = Slots(50)
        return Work(
            stage=Stage.CREATE,
            lanes=lambda: [LANE[1]],
            slots=lambda _: slots,
            claim=self.claim,
            claim_of=lambda item: Claim(*LANE, item, "t", False, datetime.now(UTC)),
            commit=self.commit,
            perform=self.perform,
        )


def commits_of(work, calls, written):
    """What commits a stage's results; ``written``: what was written the stage's own way, reserving slots."""

    async def write(batch):
        written.append(list(batch))
        return await calls.run(work.commit, batch)

    return commits.Commits(work, calls, write, lambda _: None, EngineLog())
