"""The provider calls back: once, twice, in another order, late, early, never, or with what is not true."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.callbacks import nebulox_callback, sign

#: What a provider does about a payment. The last four tell of none, or of somebody else's.
Kind = Literal["once", "twice", "reordered", "early", "late", "lost", "lying", "swapped", "forged"]
#: What its look-up says: the truth; the truth some seconds later; nothing that can be read.
LookUps = Literal["honest", "lagging", "broken"]
LOOK_UPS: tuple[LookUps, ...] = ("honest", "honest", "lagging", "broken")

TRUTHFUL: tuple[Kind, ...] = ("once", "twice", "reordered", "early", "late")
FALSE: tuple[Kind, ...] = ("lost", "lying", "swapped", "forged")
#: An invoice of somebody else's, which is paid.
FOREIGN = "foreign"
GIVE_UP_SECONDS = 10.0  #: an answer that does not come
AGAIN_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
MOST_TRIES = 12
CALL_FAULTS = (("refused", 0.06), ("cut_after", 0.08))
KEY = "key"  #: the account's


@dataclass(frozen=True, slots=True)
class Story:
    """How an order's payment is told."""

    kind: Kind = "lost"
    look_ups: LookUps = "honest"
    wait: float = 0.0  #: seconds from the payment to the first callback
    lag: float = 0.0  #: seconds from the payment until a lagging look-up knows


@dataclass(slots=True)
class Answered:
    """A callback that a web process answered 200."""

    at: float
    order_id: str
    ref: str | None  #: the provider's invoice that it is about
    status: str
    kind: Kind


@dataclass(slots=True)
class Caller:
    """Sends each callback until it is answered 200, as providers do."""

    world: Any
    answered: dict[str, Answered] = field(default_factory=dict)  #: by the body's digest
    told: dict[tuple[str, str], float] = field(default_factory=dict)  #: true payments: (order, ref) -> first sent at
    taken_forged: int = 0

    def invoice_made(self, made: Any) -> None:
        """The provider has an invoice: what it will tell of it is planned now."""
        story = self.world.plan.stories.get(made.order_id)
        if story is None:
            return
        paid_after = made.fate.paid_after
        if story.kind in TRUTHFUL and paid_after is not None:
            self._tell_payment(made, story, paid_after)
        elif story.kind in {"lying", "swapped", "forged"}:
            code = FOREIGN if story.kind == "swapped" else made.ref
            body = nebulox_callback(made.order_id, "COMPLETED", trackingCode=code)
            self._at(1.0 + story.wait, body, Answered(0.0, made.order_id, None, "COMPLETED", story.kind))

    def _tell_payment(self, made: Any, story: Story, paid_after: float) -> None:
        at = paid_after if story.kind == "early" else paid_after + story.wait
        paid = nebulox_callback(made.order_id, "COMPLETED", trackingCode=made.ref)
        told = Answered(0.0, made.order_id, made.ref, "COMPLETED", story.kind)
        self._at(at, paid, told)
        if story.kind == "twice":
            self._at(at, paid, told)
        if story.kind == "reordered":
            older = nebulox_callback(made.order_id, "PENDING", trackingCode=made.ref)
            self._at(at + 0.5, older, Answered(0.0, made.order_id, made.ref, "PENDING", story.kind))

    def _at(self, wait: float, body: bytes, told: Answered, tries: int = 0) -> None:
        self.world.planned.append(self.world.loop.now + wait)
        self.world.loop.at_world(wait, self._send, body, told, tries)

    def _send(self, body: bytes, told: Answered, tries: int) -> None:
        world, alive = self.world, [web for web in self.world.webs if not web.dead]
        fault = world.draw(CALL_FAULTS)
        if not alive or fault == "refused":
            self._again(body, told, tries)
            return
        web = world.dice.choice(alive)
        world.note("call back", told.order_id, told.status, fault)
        ended: list[bool] = []

        def end(status: int | None) -> None:
            if ended:
                return
            ended.append(True)
            world.in_flight -= 1
            if status != 200 and told.kind != "forged":
                self._again(body, told, tries)

        def answer(status: int) -> None:
            self._note_answer(body, told, status)
            if fault != "cut_after":
                world.loop.at_world(world.latency(), end, status)

        if told.ref is not None and told.status == "COMPLETED":
            self.told.setdefault((told.order_id, told.ref), world.loop.now)
        world.in_flight += 1
        world.loop.at_world(GIVE_UP_SECONDS, end, None)
        signature = sign(body, "another key" if told.kind == "forged" else KEY)
        arguments = "nebulox", body, signature, answer
        world.loop.call_later(world.latency(), web.receive, *arguments, context=web.context.copy())

    def _note_answer(self, body: bytes, told: Answered, status: int) -> None:
        self.world.note("answered", told.order_id, told.status, status)
        if status != 200:
            return
        self.taken_forged += told.kind == "forged"
        digest = hashlib.sha256(body).hexdigest()
        self.answered.setdefault(digest, Answered(self.world.loop.now, told.order_id, told.ref, told.status, told.kind))

    def _again(self, body: bytes, told: Answered, tries: int) -> None:
        if tries < MOST_TRIES:
            self._at(AGAIN_SECONDS[min(tries, len(AGAIN_SECONDS) - 1)], body, told, tries + 1)
