"""What a history is made of, all of it drawn from its seed: orders, customers, hosts, and the faults they meet."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from domain.marks import MARKS
from domain.status import Status
from tests.simulation.caller import FALSE, LOOK_UPS, TRUTHFUL, LookUps, Story
from tests.simulation.engines import Message
from tests.simulation.outside import LIFETIME_SECONDS, Fate

#: Shares of histories by what may go wrong in them. In a quiet one nothing does: there the core must also be prompt.
PROFILES: dict[str, frozenset[str]] = {
    "quiet": frozenset(),
    "deaths": frozenset({"death"}),
    "freezes": frozenset({"freeze"}),
    "database": frozenset({"database"}),
    "network": frozenset({"network"}),
    "storm": frozenset({"death", "freeze", "database", "network", "stop", "clock", "locks"}),
    "long freezes": frozenset({"freeze", "network"}),
    "clock steps": frozenset({"steps", "death"}),
    "callbacks": frozenset({"callbacks"}),
    "callbacks storm": frozenset({"callbacks", "death", "freeze", "database", "network", "stop", "locks"}),
}
NAMES = tuple(PROFILES)

ACCOUNTS = ("zeroxhost", "held", "nebulox")
MOSTLY_NEBULOX = ("nebulox", "nebulox", "nebulox", "zeroxhost")
COMMIT_FAULTS = {"death": ("die_before", "die_after"), "database": ("fail_before", "fail_after")}
UNTIL_TAKEN_SECONDS = 40.0  #: frozen until somebody takes over one of its leases, at most for so long
FREEZE_SECONDS = (0.3, 3.0, 13.0, UNTIL_TAKEN_SECONDS, UNTIL_TAKEN_SECONDS)
FREEZE_IN_CALL_SHARE = 0.2  #: of the calls freeze whoever makes them


@dataclass(frozen=True, slots=True)
class Mark:
    """What an operator will say of an order."""

    at: float
    account: str
    order_id: str
    status: Status


@dataclass(slots=True)
class Plan:
    """A history before it happens."""

    seed: int
    profile: str
    workers: int
    intakes: int
    calm_at: float  #: from this second on nothing goes wrong any more
    letters: list[tuple[float, Message]] = field(default_factory=list)  #: (second, message)
    fates: dict[str, Fate] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    orders: dict[str, str] = field(default_factory=dict)  #: order id -> account
    cancelled: set[str] = field(default_factory=set)
    outages: list[tuple[float, float]] = field(default_factory=list)  #: the database is away: (second, seconds)
    clock_steps: list[tuple[float, float]] = field(default_factory=list)  #: the database's clock: (second, by seconds)
    stops: list[float] = field(default_factory=list)  #: a worker is told to stop
    locks: list[tuple[float, float]] = field(default_factory=list)  #: an outsider holds the one lock: (second, seconds)
    webs: int = 0
    stories: dict[str, Story] = field(default_factory=dict)  #: how payments are told, by order
    marks: dict[str, Mark] = field(default_factory=dict)  #: by the operator's name

    @property
    def faults(self) -> frozenset[str]:
        """What may go wrong."""
        return PROFILES[self.profile]


def make_plan(seed: int, profile: str | None = None) -> Plan:
    """The plan of a seed. Without a profile the seed chooses one."""
    dice = Random(f"plan {seed}")
    profile = profile or NAMES[seed % len(NAMES)]
    workers = 2 if profile == "long freezes" else dice.choice((1, 2, 2, 3))
    plan = Plan(seed, profile, workers, dice.choice((1, 1, 2)), dice.uniform(4, 45))
    for number in range(dice.choice((1, 1, 2, 2, 3))):
        _add_order(plan, dice, f"o{number + 1}")
    plan.letters.sort(key=lambda letter: letter[0])
    if "database" in plan.faults and dice.random() < 0.4:
        plan.outages.append((dice.uniform(0.1, 10), dice.choice((0.2, 1.5, 6.0))))
    if "clock" in plan.faults and dice.random() < 0.5:
        plan.clock_steps.append((dice.uniform(0.1, 10), dice.choice((0.5, 15.0, -0.2))))
    if "steps" in plan.faults:
        plan.clock_steps += _steps(dice)
    if "stop" in plan.faults and dice.random() < 0.5:
        plan.stops.append(dice.uniform(0.2, 6))
    others = Random(f"others {seed}")  # dice of their own: what was there before is as it was
    if "locks" in plan.faults and others.random() < 0.4:
        plan.locks.append((others.uniform(0.1, 15), others.choice((2.0, 8.0, 18.0))))
    if "callbacks" in plan.faults:
        plan.webs = others.choice((1, 2))
        _add_stories(plan, others)
    return plan


def _add_stories(plan: Plan, dice: Random) -> None:
    """How each of Nebulox's payments is told, and what people say of some orders."""
    for number, (order_id, account) in enumerate(plan.orders.items()):
        if account == "nebulox":
            kind = dice.choice((*TRUTHFUL, *TRUTHFUL, *FALSE))
            look_ups: LookUps = dice.choice(LOOK_UPS) if kind in TRUTHFUL else "honest"
            wait = dice.uniform(15, 50) if kind == "late" else dice.random() * 2
            plan.stories[order_id] = Story(kind, look_ups, wait, dice.uniform(0.5, 12))
            plan.fates[order_id] = _told_fate(kind, dice)
        if dice.random() < 0.15:
            status = dice.choice((*MARKS, Status.PAID))
            plan.marks[f"operator{number + 1}"] = Mark(dice.uniform(0.5, 40), account, order_id, status)


def _told_fate(kind: str, dice: Random) -> Fate:
    if kind == "early":
        return Fate(paid_after=0.0)
    if kind in FALSE and kind != "lost":
        return Fate()
    late = dice.random() < 0.2
    return Fate(paid_after=LIFETIME_SECONDS + dice.uniform(2, 15) if late else dice.uniform(0.5, 20))


def _steps(dice: Random) -> list[tuple[float, float]]:
    """The database's clock is set ahead and right again, or back, or both, by minutes or an hour."""
    far = dice.choice((20.0, 600.0, 3600.0))
    at, wait = dice.uniform(0.1, 10), dice.choice((0.5, 3.0, 12.0, 30.0))
    return dice.choice(([(at, far), (at + wait, -far)], [(at, far)], [(at, -far)], [(at, -far), (at + wait, far)]))


def _add_order(plan: Plan, dice: Random, order_id: str) -> None:
    accounts = MOSTLY_NEBULOX if "callbacks" in plan.faults else ACCOUNTS
    account = dice.choice((*accounts, *plan.orders.values(), *plan.orders.values()))
    at = dice.choice((0.0, dice.random() * 0.2, dice.random() * 0.4, dice.random() * 3))
    plan.orders[order_id] = account
    plan.fates[order_id] = _fate(dice)
    if dice.random() < 0.06:
        plan.refused.add(order_id)
    fields = _fields(account, order_id)
    plan.letters.append((at, _message("invoices.create", order_id, fields)))
    if dice.random() < 0.2:  # the shop's own repeat
        plan.letters.append((at + dice.random() * 2, _message("invoices.create", f"{order_id}-again", fields)))
    if dice.random() < 0.15:  # another order under the same number, while the first may be open
        other = fields | {"idempotency_key": f"{order_id}-other"}
        plan.letters.append((at + dice.random() * 2, _message("invoices.create", f"{order_id}-other", other)))
    if dice.random() < 0.3:
        plan.cancelled.add(order_id)
        cancel = {"account": account, "order_id": order_id}
        wait = dice.choice((dice.random() * 1.5, dice.random() * 20))
        plan.letters.append((at + wait, _message("invoices.cancel", f"{order_id}-cancel", cancel)))


def _fate(dice: Random) -> Fate:
    kind = dice.choice(("pays", "pays", "confirms", "never", "late", "underpaid"))
    if kind == "pays":
        return Fate(paid_after=dice.uniform(1, 20))
    if kind == "confirms":
        seen = dice.uniform(1, 15)
        return Fate(confirming_after=seen, paid_after=seen + dice.uniform(1, 12))
    if kind == "late":
        return Fate(paid_after=LIFETIME_SECONDS + dice.uniform(2, 15))
    return Fate(underpaid=kind == "underpaid")


def _fields(account: str, order_id: str) -> dict[str, Any]:
    order = {"account": account, "order_id": order_id, "price": "12.50", "currency": "EUR"}
    if account == "nebulox":
        return order
    return order | {"pay_currency": "USDT", "network": "Tron", "params": {"user_id": "7"}}


def _message(task: str, message_id: str, fields: dict[str, Any]) -> Message:
    return Message(message_id, task, json.dumps([[], fields, {}]).encode())


@dataclass(slots=True)
class Luck:
    """What befalls one incarnation of a host: by the number of its steps, and of its commits."""

    steps: dict[int, tuple[str, float]] = field(default_factory=dict)
    commits: dict[int, str] = field(default_factory=dict)


def draw_luck(plan: Plan, dice: Random, *, busy: bool) -> Luck:
    """The faults of a host that starts now. A step is a callback, a statement, or the beginning of a transaction.

    ``busy``: a worker; an intake takes few steps in its life.
    """
    luck, steps, commits = Luck(), (120 if busy else 15), (12 if busy else 3)
    if "death" in plan.faults and dice.random() < 0.7:
        if dice.random() < 0.5:
            luck.commits[1 + int(dice.random() * commits)] = dice.choice(COMMIT_FAULTS["death"])
        else:
            luck.steps[1 + int(dice.expovariate(1 / steps))] = ("die", 0.0)
    if "database" in plan.faults:
        for _ in range(dice.choice((0, 1, 2, 3))):
            luck.commits[1 + int(dice.random() * commits * 2)] = dice.choice(COMMIT_FAULTS["database"])
    if "freeze" in plan.faults:
        for _ in range(dice.choice((0, 1, 1, 2))):
            luck.steps[1 + int(dice.expovariate(1 / steps))] = ("freeze", dice.choice(FREEZE_SECONDS))
    return luck
