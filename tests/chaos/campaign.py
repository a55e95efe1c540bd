"""One run: orders flow in, faults happen as planned, then everything may come to rest and is audited."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.chaos.audit import Finding, Sent, as_time, audit, parked, unfinished, untaken_cancellations
from tests.chaos.callers import Callers
from tests.chaos.crew import Crew, Deaths
from tests.chaos.doubts import Causes
from tests.chaos.faults import Faults
from tests.chaos.grounds import Grounds, prepared
from tests.chaos.markers import Markers
from tests.chaos.plan import CANCEL, CREATE, CREATE_MANY, HOLD_ACCOUNT, Plan
from tests.chaos.planned import PlannedMessage
from tests.chaos.posters import Posters

TICK_SECONDS = 0.02
#: Until everything must be at rest. A fourth doubt waits 10 minutes.
DRAIN_SECONDS = 800.0
#: For what is under way when orders flow no more: a busy machine takes its time.
FINISH_SECONDS = 300.0
#: After so long of rest, orders whose next try is more than a minute away are hurried.
PATIENCE_SECONDS = 90.0
LONG_DOUBTS = (
    "SELECT invoice.id, invoice.order_id, invoice.doubts, agenda.due_at "
    "FROM invoice JOIN agenda ON agenda.subject = invoice.id "
    "WHERE invoice.status = 'in_doubt' AND invoice.account <> :hold AND agenda.stage = 'create' "
    "AND agenda.due_at IS NOT NULL AND agenda.lease_token IS NULL LIMIT 200"
)
VERDICTS = "SELECT verdict, count(*) AS n FROM evidence GROUP BY verdict ORDER BY verdict"
#: Tells how far a run is: (phase, done 0..1, a few words).
Progress = Callable[[str, float, str], None]


@dataclass(slots=True)
class Result:
    """What a run came to. ``findings`` are breaches; an empty list is what is promised."""

    seed: int
    deaths: Deaths
    faults: Counter[str]
    findings: list[Finding]
    figures: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0  #: from the first step to the last
    commit: str = ""


def run(plan: Plan, folder: Path, tell: Progress) -> Result:
    """Run a plan on engines of its own. Raises MissingEngineError and MissingHostsError."""
    with prepared(plan, folder) as grounds:
        return _Run(plan, grounds, tell).go()


class _Run:
    def __init__(self, plan: Plan, grounds: Grounds, tell: Progress) -> None:
        self._plan = plan
        self._system = grounds.system
        self._tell = tell
        self._clock = grounds.clock
        self._crew = Crew(grounds, plan)
        self._sent = Sent()
        self._faults = Faults(grounds, self._crew, self._sent)
        self._web_url = grounds.web_url
        self._callers = Callers(grounds.system, plan.payments(), grounds.web_url)
        self._markers = Markers(grounds.system, plan.marks())
        self._posters: Posters | None = None  #: while orders flow; what is sent again later goes through the broker
        self._over_http = {order.order_id for order in plan.posted()}
        self._parked = 0

    def go(self) -> Result:
        began = time.monotonic()
        self._crew.start()
        self._posters = posters = self._open_posters()
        sender = threading.Thread(target=self._send, args=(self._plan.messages(), time.monotonic()), daemon=True)
        sender.start()
        caller = threading.Thread(target=self._callers.run, args=(time.monotonic(),), daemon=True)
        caller.start()
        marker = threading.Thread(target=self._markers.run, args=(time.monotonic(),), daemon=True)
        marker.start()
        self._let_faults_happen(time.monotonic())
        self._faults.end()
        sender.join(FINISH_SECONDS)
        assert not sender.is_alive(), "the sender could not publish its last messages"
        self._posters = None
        posters.finish(FINISH_SECONDS)
        self._sent.refused += posters.refused
        self._markers.stop()
        marker.join(FINISH_SECONDS)
        flow_seconds = time.monotonic() - began
        drained = self._drain("drain")
        if self._redrive_parked():
            self._drain("redrive")
        lost, untaken = self._system_lacks(), untaken_cancellations(self._system, self._sent)
        self._publish(self._plan.orders())
        healed = self._drain("heal")
        self._publish(self._plan.cancellations())
        healed += self._drain("heal")
        self._callers.stop()
        caller.join(FINISH_SECONDS)
        people = self._markers
        findings = audit(self._system, self._sent, lost, untaken, self._causes(), self._callers.told, people)
        figures = {
            "flow_seconds": round(flow_seconds),
            "drain_seconds": round(drained),
            "heal_seconds": round(healed),
            "lost_in_emptied_broker": len(self._sent.emptied(lost)),
            "lost_in_killed_broker": len(self._sent.excused_by_broker_kill(lost)),
            **self._counts(),
        }
        return Result(self._plan.seed, self._crew.deaths, self._faults.done, findings, figures)

    def _open_posters(self) -> Posters:
        (told,) = self._system.command("tokens", "add", "shops", "--scope", "orders", "--json")
        posters = Posters(self._web_url, told["token"], self._sent.note_over_http)
        posters.start()
        return posters

    def _causes(self) -> Causes:
        """What a doubt may come of: a worker's end, or a fault that is not harmless."""
        ends = [(at, at) for at in self._crew.workers_ended]
        return Causes([*ends, *self._faults.doubtful], abs(self._faults.stepped_by))

    def _let_faults_happen(self, began: float) -> None:
        faults = self._plan.faults()
        while (now := time.monotonic() - began) < self._plan.seconds or faults:
            while faults and faults[0].at <= now:
                self._faults.play(faults.pop(0))
            self._faults.tick()
            self._crew.tend()
            words = f"{len(self._sent.at)} orders, {self._crew.deaths.kills()} kills"
            self._tell("flow", min(now / self._plan.seconds, 1.0), words)
            time.sleep(TICK_SECONDS)

    def _drain(self, phase: str) -> float:
        """Until everything is at rest; how long that took. What never rests is the auditor's to find."""
        began = time.monotonic()
        while (passed := time.monotonic() - began) < DRAIN_SECONDS:
            self._crew.tend()
            if passed > PATIENCE_SECONDS:
                self._redrive_parked()  # an invoice that nobody looks up any more would wait for its clock
                self._hurry()
            left = unfinished(self._system)
            if not left:
                break
            self._tell(phase, passed / DRAIN_SECONDS, ", ".join(f"{name} {count}" for name, count in left.items()))
            time.sleep(0.5)
        return passed

    def _hurry(self) -> None:
        """Spare the campaign the 10 and 30 minutes of the fourth and fifth doubt, by the command for that."""
        rows = self._system.rows(LONG_DOUBTS, hold=HOLD_ACCOUNT)
        waiting = [row for row in rows if as_time(row["due_at"]) > datetime.now(UTC) + timedelta(seconds=60)]
        if not waiting:
            return
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):  # one has moved on meanwhile: next turn
            self._system.command("redrive", "doubt", *(row["id"] for row in waiting), "--json")
        self._faults.done["redriven: a long wait in doubt"] += len(waiting)
        invoices = self._system.invoices()
        for row in waiting:  # a redriven order's doubts are counted from nought again: the auditor adds these
            if invoices[row["order_id"]]["doubts"] < row["doubts"]:
                self._sent.forgiven[row["order_id"]] += row["doubts"]

    def _redrive_parked(self) -> int:
        """What an operator is to do about rows that seem to kill their holders; how many there were."""
        count = parked(self._system)
        if count:
            self._system.command("redrive", "parked", "--json")
            self._parked += count
        return count

    # ------------------------------------------------------------ messages

    def _send(self, messages: list[PlannedMessage], began: float) -> None:
        while messages:
            now = time.monotonic() - began
            due = [message for message in messages if message.at <= now]
            if due:
                self._publish(due)
                del messages[: len(due)]
            time.sleep(0.1)

    def _publish(self, messages: list[PlannedMessage]) -> None:
        """Orders, then cancellations: nobody cancels an order that is not confirmed yet."""
        orders = [message for message in messages if message.task == CREATE]
        alone = [order for order in orders if not order.lot]
        if self._posters is not None:
            self._posters.send([order for order in alone if order.order_id in self._over_http])
            alone = [order for order in alone if order.order_id not in self._over_http]
        self._confirm(CREATE, alone)
        for lot in sorted({order.lot for order in orders} - {0}):
            self._confirm(CREATE_MANY, [order for order in orders if order.lot == lot])
        self._confirm(CANCEL, [message for message in messages if message.task == CANCEL])

    def _confirm(self, task: str, messages: list[PlannedMessage]) -> None:
        """Publish until the broker has confirmed it: what a producer does, and what makes repeats."""
        fields = [message.fields for message in messages]
        bodies = [{"orders": fields}] if task == CREATE_MANY else fields
        while messages:
            began = time.monotonic()
            try:
                self._system.publish_many(task, bodies)
            except Exception as error:
                self._faults.done[f"publish repeated: {type(error).__name__}"] += 1
                time.sleep(0.2)
            else:
                self._sent.note(messages[0].task, [message.order_id for message in messages], began)
                return

    def _system_lacks(self) -> set[str]:
        return set(self._sent.at) - self._system.invoices().keys()

    def _counts(self) -> dict[str, Any]:
        rows = self._system.rows("SELECT sum(doubts) AS doubts, count(*) AS invoices FROM invoice")[0]
        received = self._system.received()
        return {
            "orders": len(self._sent.at),
            "orders_in_lots": sum(order.lot > 0 for order in self._plan.orders()),
            "orders_over_http": len(self._sent.over_http),
            "cancellations": len(self._sent.cancellations),
            "callbacks_answered": len(self._callers.told.paid),
            "lies_answered": len(self._callers.told.lies),
            "marks": len(self._markers.done),
            "parked": self._parked,
            "clock": self._clock,
            "cold_starts": self._crew.deaths.cold_starts,
            "invoices": rows["invoices"],
            "doubts": int(rows["doubts"] or 0),
            "statuses": dict(self._system.statuses()),
            "evidence": {row["verdict"]: row["n"] for row in self._system.rows(VERDICTS)},
            "creates_seen": self._system.creates().total(),
            "events": self._system.rows("SELECT count(*) AS n FROM event")[0]["n"],
            "webhooks_received": received["received"],
            "webhook_repeats": received["duplicates"],
        }
