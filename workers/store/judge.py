"""The transactions that judge evidence: locked rows are met with patience, kept answers are removed in the same go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from domain.decision import Policy, Stage
from domain.evidence import CalledBack, Created
from workers.store import callbacks, judging, kept
from workers.store.agenda import PUBLISH_LANE, Claim, Lane, Room
from workers.store.bulk import Locks
from workers.store.callbacks import Match, Read
from workers.store.database import Database
from workers.store.drifts import Drifts, News
from workers.store.given_back import give_back
from workers.store.judging import Judged, Judgement, Outcome
from workers.store.outbox import PairsHeld
from workers.store.patience import Patience

#: Two transactions may bind one provider_ref at the same time. The second one, run again, sees whose it is.
CONFLICT_TRIES = 3

#: Writes something in the judging transaction, given its outcomes.
Beside = Callable[[Connection, list[Outcome]], None]


class JudgedCallbacks(NamedTuple):
    """What was judged, and what each callback was matched with."""

    judged: Judged
    matches: list[Match]


class NewsFirst(Exception):  # noqa: N818 - reads as what is to be done
    """Callbacks hold news that is to be learnt before they are judged. Nothing was written yet."""

    def __init__(self, news: Sequence[News]) -> None:
        super().__init__(f"{len(news)} new things")
        self.news = news


class Reading:
    """Reads callbacks and collects the news in them; whose news it is shows only when they are matched."""

    def __init__(self, read: Read, drifts: Drifts) -> None:
        self._read = read
        self._drifts = drifts
        self._found: list[News] = []
        self.learns = True

    def read(self, account: str, body: bytes) -> CalledBack | None:
        """The callback as evidence. Its news is noted even if it matches nothing."""
        said = self._read(account, body)
        if said is not None and said.news:
            self._found += [(new, None) for new in said.news]
        return said

    def look(self, judgements: Sequence[Judgement]) -> None:
        """Raise NewsFirst where something is to be learnt first."""
        if self.learns and self._found:
            unlearnt = self._drifts.unlearnt([*_news_of(judgements), *self._found])
            self._found.clear()
            if unlearnt:
                raise NewsFirst(unlearnt)


class Judge:
    """Judges evidence in transactions of its own."""

    def __init__(
        self, database: Database, policy_of: Callable[[str], Policy], patience: Patience, drifts: Drifts
    ) -> None:
        self._database = database
        self._policy_of = policy_of
        self._patience = patience
        self._drifts = drifts
        self._kept: set[tuple[str, str]] = set()  #: answers kept by this process: by invoice and token

    def judge(self, judgements: Sequence[Judgement], beside: Beside | None = None) -> Judged:
        """All in one transaction; locked rows are waited for."""
        return self._judged(judgements, None, "wait", beside)

    def judge_and_take(self, judgements: Sequence[Judgement], room: Room | None) -> Judged:
        """The same, and lease the webhooks it brings as far as there is room. What is locked is left."""
        self._drifts.learn(_news_of(judgements))
        return self._patience.at_once(
            lambda locks: self._judged(judgements, room, locks), lambda: self._judge_free(judgements, room)
        )

    def judge_callbacks(self, claims: Sequence[Claim], read: Read) -> JudgedCallbacks:
        """Match claimed callbacks with their invoices and judge what they say. What is locked is left."""
        reading = Reading(read, self._drifts)
        try:
            return self._judge_read(claims, reading)
        except NewsFirst as first:
            self._drifts.learn(first.news)
            reading.learns = False  # learnt or not, the callbacks count
            return self._judge_read(claims, reading)

    def _judge_read(self, claims: Sequence[Claim], reading: Reading) -> JudgedCallbacks:
        return self._patience.at_once(
            lambda locks: self._judge_callbacks(claims, reading, locks),
            lambda: self._judge_free_callbacks(claims, reading),
        )

    def keep(self, judgements: Sequence[Judgement]) -> None:
        """Keep what creates have brought while its commit is held up."""
        answers = [
            (one.claim, one.evidence) for one in judgements if one.claim is not None and one.claim.stage is Stage.CREATE
        ]
        new = [pair for pair in answers if (pair[0].subject, pair[0].token) not in self._kept]
        if new:
            keys = {(claim.subject, claim.token) for claim, _ in new}
            self._kept |= keys
            try:
                with self._database.transaction() as connection:
                    kept.keep(connection, new, self._database.now(connection))
            except BaseException:  # not kept: the next call tries again
                self._kept -= keys
                raise

    def forget(self, judgements: Sequence[Judgement]) -> None:
        """These were committed while they were being kept."""
        keys = [(one.invoice_id, one.claim.token) for one in judgements if one.claim is not None]
        with self._database.transaction() as connection:
            kept.forget(connection, keys)
        self._kept.difference_update(keys)

    def _judge_free(self, judgements: Sequence[Judgement], room: Room | None) -> Judged:
        """Judge what nobody else has locked. Some locks show only once all is decided: then start again without
        those."""
        held: frozenset[str] = frozenset()
        while True:
            free = [judgement for judgement in judgements if judgement.invoice_id not in held]
            try:
                judged = self._judged(free, room, "skip")
            except PairsHeld as pairs:
                held |= pairs.invoices
                self._patience.remember()
            else:
                return judged._replace(left=judged.left | held)

    def _judged(
        self, judgements: Sequence[Judgement], room: Room | None, locks: Locks, beside: Beside | None = None
    ) -> Judged:
        for tries_left in reversed(range(CONFLICT_TRIES)):
            try:
                with self._database.transaction() as connection:
                    judged = judging.judge(connection, self._database, self._policy_of, judgements, room, locks)
                    if beside is not None:
                        beside(connection, judged.outcomes)
                    taken = [one for one in judgements if one.invoice_id not in judged.left]
                    done = self._kept_of(taken)
                    kept.forget(connection, done)
                    give_back(connection, judged.given_back)
                    recalled = self._recall_callbacks(connection, taken, judged)
                    judged = judged._replace(lanes=judged.lanes | recalled | _stream(judged))
                break
            except IntegrityError:
                if not tries_left:
                    raise
        self._kept.difference_update(done)
        return judged

    def _kept_of(self, judgements: Sequence[Judgement]) -> list[tuple[str, str]]:
        """The keys of kept answers that are judged with these."""
        own = {(one.invoice_id, one.claim.token) for one in judgements if one.claim is not None} & self._kept
        return [*own, *((one.invoice_id, one.kept_under) for one in judgements if one.kept_under is not None)]

    def _recall_callbacks(self, connection: Connection, judgements: Sequence[Judgement], judged: Judged) -> set[Lane]:
        """Put callbacks back on the agenda that came before their invoices were made: at the account that made them."""
        orders = [
            (one.claim.lane if one.claim else outcome.account or "", outcome.order_id)
            for one, outcome in zip(judgements, judged.outcomes, strict=True)
            if isinstance(one.evidence, Created) and outcome.verdict == "applied" and outcome.order_id
        ]
        found = callbacks.recall(connection, self._database, orders)
        return {(Stage.CALLBACK, account) for account, _ in orders} if found else set()

    def _judge_free_callbacks(self, claims: Sequence[Claim], reading: Reading) -> JudgedCallbacks:
        """Judge those of which nobody else has anything locked. Which invoices they need shows only when they are
        matched: then start again without those whose invoices are locked."""
        held: frozenset[str] = frozenset()
        while True:
            try:
                return self._judge_callbacks(claims, reading, "skip", held)
            except PairsHeld as pairs:
                held |= pairs.invoices
                self._patience.remember()

    def _judge_callbacks(
        self, claims: Sequence[Claim], reading: Reading, locks: Locks, held: frozenset[str] = frozenset()
    ) -> JudgedCallbacks:
        with self._database.transaction() as connection:
            if locks == "skip":
                claims = callbacks.free_claims(connection, claims)
            found = callbacks.match(connection, self._policy_of, claims, reading.read)
            matches = [one for one in found if held.isdisjoint(said.invoice_id for said in one.judgements)]
            judgements = [judgement for one in matches for judgement in one.judgements]
            reading.look(judgements)
            judged = judging.judge(connection, self._database, self._policy_of, judgements, None, locks)
            if judged.left:
                raise PairsHeld(judged.left)
            callbacks.settle(connection, matches)
        return JudgedCallbacks(judged._replace(lanes=judged.lanes | _stream(judged)), matches)


def _news_of(judgements: Sequence[Judgement]) -> list[News]:
    return [(new, judgement.invoice_id) for judgement in judgements for new in judgement.evidence.news]


def _stream(judged: Judged) -> set[Lane]:
    """The stream's lane, if there are events to tell."""
    return {(Stage.PUBLISH, PUBLISH_LANE)} if any(one.event_type for one in judged.outcomes) else set()
