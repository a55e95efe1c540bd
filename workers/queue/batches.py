"""Bundles: messages that came in together, handed to Celery as one, so that one task handles them.

Celery's own work for a task costs more than ours for an order, and the orders of a bundle share transactions, so
bundles should be large. Without ``Gathering`` they would become ever smaller: a bundle that ends makes room for only as
many messages as it held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Protocol

import structlog
from kombu.message import Message

from workers.intake.message import CREATE, REJECT, Accepted, task_headers
from workers.transport.private import replace_body

log = structlog.get_logger()

#: The tasks whose messages may share a bundle, in the order in which a bundle holds them.
TOGETHER = (CREATE, REJECT)

#: While much is under way new messages wait for a bundle to end, but for at most this long: it may be waiting for a
#: lock.
LONGEST_SECONDS = 0.05
#: When one has ended, the next is handed over after this long, about as long as a claim takes: the messages that there
#: is room for now join it.
CLAIM_SECONDS = 0.002


#: A message of kombu's, and what it asks for.
Part = tuple[Message, Accepted]
#: Keeps messages elsewhere that Celery could not take or whose task failed, acknowledges them, then calls its second
#: argument.
SetAside = Callable[[Sequence[Part], Callable[[], None]], None]


class Bundle(Message):
    """Acknowledged or given back as a whole. Its task takes one list of calls for each kind."""

    def __init__(
        self,
        parts: Sequence[Part],
        on_end: Callable[[int], None] = lambda _: None,
        on_failure: SetAside | None = None,
    ) -> None:
        """``parts``: kombu's messages, all from one channel, with what they ask for. ``on_end`` is called with their
        number when they are handled.

        The task is that of the first part. The calls of other tasks follow its list, in a list for each task. A task
        that is not in TOGETHER gets its arguments as they are.
        """
        first, call = parts[0]
        lists: dict[str, list[Accepted]] = {}
        for _, accepted in parts:
            lists.setdefault(accepted.task, []).append(accepted)
        super().__init__(
            body=b"",
            delivery_tag=first.delivery_tag,
            delivery_info=first.delivery_info,
            headers=task_headers(call.task, call.id),
            properties={"correlation_id": call.id},
            channel=first.channel,
        )
        replace_body(self, list(lists.values()) if call.task in TOGETHER else call.arguments)
        self._parts = list(parts)
        self._messages = [message for message, _ in parts]
        self._on_end = on_end
        self._on_failure = on_failure

    @property
    def size(self) -> int:
        """How many messages are in it."""
        return len(self._messages)

    def ack(self, multiple: bool = False) -> None:
        """Acknowledge all, in one step where the channel can (``workers.transport``)."""
        in_one_step = getattr(self.channel, "acknowledge", None)
        try:
            if in_one_step is not None:
                in_one_step([message.delivery_tag for message in self._messages])
            else:
                for message in self._messages:
                    message.ack()
        finally:
            self._end()

    def reject(self, requeue: bool = False) -> None:
        """Give all back. One that can't be given back does not stop the rest; the error of the last such one is raised.

        Nothing is ever dropped. Without ``requeue`` Celery means that the task failed, which is a bug of ours: the
        messages are set aside.
        """
        if not requeue and self._on_failure is not None:
            self._on_failure(self._parts, self._end)
            return
        with ExitStack() as steps:  # runs its last entry first
            steps.callback(self._end)
            for message in reversed(self._messages):
                steps.callback(message.reject, requeue=True)

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, lambda _: None  # only once, whatever Celery calls
        on_end(self.size)


class Planned(Protocol):
    """A timer's entry."""

    def cancel(self) -> None: ...


class Timer(Protocol):
    """The part of a consumer's timer that is used here: it calls ``function`` on the consumer's loop."""

    def call_after(self, seconds: float, function: Callable[[], None]) -> Planned: ...


class Gathering:
    """Gathers the messages of one connection into bundles. Used on the consumer's loop only."""

    def __init__(self, timer: Timer, hand_over: Callable[[Bundle], object], in_hand: int, set_aside: SetAside) -> None:
        """``in_hand``: how many messages there may be at a time. Up to half of that, none waits to be joined."""
        self._timer = timer
        self._hand_over = hand_over
        self._set_aside = set_aside
        self._few = max(1, in_hand // 2)
        self._parts: list[Part] = []
        self._under_way = 0  #: messages that are handed over and not handled yet
        self._planned: tuple[float, Planned] | None = None  #: the wait until the next bundle, and its timer's entry

    def add(self, message: Message, call: Accepted) -> None:
        """Take a message in. It is handed over with all that came in by then."""
        self._parts.append((message, call))
        if self._under_way < self._few:
            self._plan(0.0)
        elif len(self._parts) == 1:
            self._plan(LONGEST_SECONDS)

    def close(self) -> None:
        """The connection is closed, so the broker has what was not handed over again."""
        self._parts = []
        self._cancel()

    def _plan(self, seconds: float) -> None:
        if self._planned is None or self._planned[0] != seconds:
            self._cancel()
            self._planned = seconds, self._timer.call_after(seconds, self._next)

    def _cancel(self) -> None:
        if self._planned is not None:
            self._planned[1].cancel()
            self._planned = None

    def _next(self) -> None:
        self._planned = None
        parts, self._parts = self._parts, []
        if parts:
            parts.sort(key=lambda part: TOGETHER.index(part[1].task))
            self._under_way += len(parts)
            self._hand(parts, self._ended)

    def hand_over_alone(self, message: Message, call: Accepted) -> None:
        """Hand over a message that shares no bundle. Where the channel can count it for several, fewer are claimed
        beside it: they would wait for a thread."""
        count_alone = getattr(message.channel, "count_alone", None)
        if count_alone is not None:
            count_alone(message.delivery_tag)
        self._hand([(message, call)], lambda _: None)

    def _hand(self, parts: Sequence[Part], ended: Callable[[int], None]) -> None:
        try:
            self._hand_over(Bundle(parts, ended, self._set_aside))
        except Exception:
            log.exception("message.not_handed_over", messages=len(parts), traceback=True)
            if len(parts) > 1:
                for part in parts:  # one of them may be the reason: each goes alone
                    self._hand([part], ended)
            else:
                self._set_aside(parts, lambda: ended(1))

    def _ended(self, messages: int) -> None:
        self._under_way -= messages
        if self._parts:
            self._plan(CLAIM_SECONDS)
