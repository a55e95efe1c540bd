"""An invoice and its agenda without a database: decisions are applied as ``workers/store/judging`` applies them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, get_args

from domain.decision import Decision, Policy, Stage, Verdict
from domain.evidence import FAILED_LOOK_UP, Evidence, Seen, leaves_unheard, says_failed_look_up
from domain.lifecycle import decide, dropped, tell_owed

START = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)


def new_policy(**given: Any) -> Policy:
    """An account of a provider that can be asked, with the defaults of the contract; ``given`` replaces some."""
    fields: dict[str, Any] = {
        "lifetime_minutes": Decimal(60),
        "timeout_seconds": 10.0,
        "on_doubt": "retry",
        "poll_seconds": 30.0,
        "hold_refused_minutes": Decimal(10),
        "monitor_minutes": Decimal(1440),
        "can_be_asked": True,
    }
    return Policy(**(fields | given))


def new_invoice(**given: Any) -> SimpleNamespace:
    """A queued invoice; ``given`` replaces some of its fields."""
    fields: dict[str, Any] = {
        "order_id": "order-1",
        "provider_account": "shop",
        "provider": "zeroxhost",
        "params": "{}",
        "fallbacks": None,
        "status": "queued",
        "anomaly": None,
        "reason": None,
        "sequence": 0,
        "first_open": 1,
        "price": None,
        "currency": None,
        "pay_amount": None,
        "pay_currency": None,
        "paid_amount": None,
        "network": None,
        "address": None,
        "payment_url": None,
        "qr_code": None,
        "provider_ref": None,
        "lifetime_minutes": None,
        "updated_at": START,
        "create_before": None,
        "expires_at": None,
        "final_look_at": None,
        "monitor_until": None,
        "refused_since": None,
        "create_tries": 0,
        "doubts": 0,
        "doubted_at": None,
        "searches": None,
        "search_failures": None,
        "sought": None,
        "twins": None,
        "quiet_polls": 0,
        "asked_by": None,
        "called_status": None,
        "called_word": None,
        "called_amount": None,
        "called_currency": None,
        "called_only": None,
        "called_at": None,
        "called_answered_at": None,
        "called_looks": None,
        "evidence_digest": None,
        "contradicted": None,
    }
    unknown = set(given) - set(fields)
    assert not unknown
    return SimpleNamespace(**(fields | given))


@dataclass(slots=True)
class Row:
    """An agenda row: due once nobody holds it."""

    due_at: datetime
    leased: bool = False


@dataclass
class World:
    """One invoice, its agenda, and everything that was told about it."""

    invoice: SimpleNamespace
    policy: Policy
    now: datetime = START
    agenda: dict[Stage, Row] = field(default_factory=dict)
    told: list[tuple[datetime, str, int]] = field(default_factory=list)  #: (when, event, sequence)
    against: list[str] = field(default_factory=list)  #: the contradictions that are kept, in words
    given_back: int = 0  #: callbacks that wait for a person again

    def __post_init__(self) -> None:
        """A queued order has what intake writes: CREATE at once, and CLOCK where it must not be late."""
        if self.invoice.status == "queued":
            self.agenda[Stage.CREATE] = Row(self.now)
            if self.invoice.create_before is not None:
                self.agenda[Stage.CLOCK] = Row(self.invoice.create_before)

    def due(self, stage: Stage) -> float | None:
        """Seconds from now until the stage is due; None where it has nothing to do."""
        row = self.agenda.get(stage)
        return None if row is None else (row.due_at - self.now).total_seconds()

    def pass_time(self, seconds: float) -> None:
        """Move the database's clock."""
        self.now += timedelta(seconds=seconds)

    def take(self, evidence: Evidence, held: Stage | None = None, jitter: float = 0.0) -> Decision:
        """Judge and apply. ``held`` is the stage under whose lease the evidence came.

        Asserts what holds for every decision: its verdict exists, made again it is the same, and it touches nothing.
        """
        decision, unheard = self._judge(evidence, held, jitter)
        if unheard is not None:
            self._judge(unheard, None, jitter)
        while (owed := tell_owed(self.invoice, 0)) is not None:
            vars(self.invoice).update(owed.changes)
            self.told.append((self.now, str(owed.event), self.invoice.sequence))
        return decision

    def _judge(self, evidence: Evidence, held: Stage | None, jitter: float) -> tuple[Decision, Evidence | None]:
        before = deepcopy(vars(self.invoice))
        decision = decide(self.invoice, evidence, self.policy, self.now, jitter)
        assert vars(self.invoice) == before, "decide changed its input"
        assert decision.verdict in get_args(Verdict)
        assert decide(self.invoice, evidence, self.policy, self.now, jitter) == decision, "decide is not deterministic"
        unheard = dropped(self.invoice, decision)
        for name, value in decision.changes.items():
            assert hasattr(self.invoice, name), f"{name} is no column"
            setattr(self.invoice, name, value)
        self._note_answer(evidence, decision)
        self._plan(decision, held)
        if decision.event is not None:
            self.told.append((self.now, decision.event, self.invoice.sequence))
        self.given_back += decision.gives_back
        if decision.verdict == "contradiction":
            self.against.append(decision.note or "")
        return decision, unheard

    def _note_answer(self, evidence: Evidence, decision: Decision) -> None:
        """What the store keeps of it: whether the last look-up had no answer."""
        unheard = leaves_unheard(evidence, unheard=says_failed_look_up(self.invoice.evidence_digest))
        if decision.verdict != "ignored" or isinstance(evidence, Seen):
            self.invoice.evidence_digest = FAILED_LOOK_UP if unheard else None

    def _plan(self, decision: Decision, held: Stage | None) -> None:
        """A held row that is not named is done; a row that somebody else holds keeps its time, unless it is deleted."""
        stages = [*decision.agenda, held] if held is not None and held not in decision.agenda else decision.agenda
        for stage in stages:
            due_at, row = decision.agenda.get(stage), self.agenda.get(stage)
            if due_at is None:
                self.agenda.pop(stage, None)
            elif row is None or not row.leased or stage is held:
                self.agenda[stage] = Row(due_at)
