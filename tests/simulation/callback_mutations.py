"""Planted bugs about payments that callbacks tell of, and about what people say; added to the others."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from domain.decision import Decision
from domain.evidence import CalledBack, Seen
from domain.lifecycle import callbacks, case, clock, judges, look_ups, moves, people
from domain.status import Status
from tests.simulation.mutations import planted
from workers.web.callbacks import CallbackDesk


@planted("callbacks storm", "no callback lost")
def a_callback_is_answered_before_it_is_kept() -> Any:
    async def answer_first(self: Any, callback: Any) -> str:
        asyncio.get_running_loop().run_in_executor(None, self._keep, [callback])
        return "kept"

    return patch.object(CallbackDesk, "_in_database", answer_first)


@planted("callbacks storm", "no callback lost")
def with_the_database_and_the_broker_away_a_callback_is_answered_all_the_same() -> Any:
    on_shelf = CallbackDesk._on_shelf

    async def shelve(self: Any, *arguments: Any) -> str:
        return await on_shelf(self, *arguments) or "shelved"

    return patch.object(CallbackDesk, "_on_shelf", shelve)


@planted("callbacks", "without its proof")
def a_callback_is_believed_at_once() -> Any:
    def believe(case: Any, evidence: Any) -> Decision:
        if evidence.status is Status.PAID and case.status is Status.PENDING:
            return callbacks.alone(case, evidence, {})
        return callbacks.called_back(case, evidence)

    return patch.dict(judges._JUDGES, {CalledBack: believe})


@planted("callbacks", "without its proof")
def a_look_up_about_another_order_counts() -> Any:
    return patch.object(look_ups, "mismatch", lambda *_: None)


@planted("callbacks", "without its proof")
def a_look_up_that_says_not_yet_counts_as_none() -> Any:
    def seen(case: Any, evidence: Any) -> Decision:
        if evidence.status is Status.PENDING and case.invoice.called_status:
            decision = callbacks.alone(case, case.invoice, {})
            return decision if decision.agenda else look_ups.seen(case, evidence)
        return look_ups.seen(case, evidence)

    return patch.dict(judges._JUDGES, {Seen: seen})


@planted("callbacks", "payment missed")
def the_watch_ends_though_a_callback_waits_to_be_confirmed() -> Any:
    stack = ExitStack()
    for module in (case, clock, moves):
        stack.enter_context(patch.object(module, "settled_by", lambda one: one.now))
    return stack


@planted("callbacks", "payment missed|stuck")
def a_callback_rings_for_no_look_up_after_the_expiry() -> Any:
    def deaf(case: Any, evidence: Any) -> Decision:
        decision = callbacks.called_back(case, evidence)
        return replace(decision, agenda={}) if case.status is Status.EXPIRED else decision

    return patch.dict(judges._JUDGES, {CalledBack: deaf})


@planted("callbacks", "error of ours|every change")
def whatever_is_marked_is_made_so() -> Any:
    return patch.object(people, "may_mark", lambda *_: True)
