"""Messages that came in together, as one message of Celery's: one task handles them, side by side.

What Celery does for a task costs more than what we do for an order, and they share transactions: so bundles should be
large. Left alone they fall apart: of two under way, whichever ends first makes room for as many messages as it held.
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

#: What may come in one bundle, in this order.
TOGETHER = (CREATE, REJECT)

#: What comes in while much is under way waits for the end of it, at most so long: that may be waiting for a lock.
LONGEST_SECONDS = 0.05
#: After that end what waits is joined by the messages that there is room for now: so long takes a claim, about.
CLAIM_SECONDS = 0.002


#: A message of kombu's, and what it asks for.
Part = tuple[Message, Accepted]
#: Keeps messages that Celery could not take, or whose task failed, elsewhere, acknowledges them, then calls the last.
SetAside = Callable[[Sequence[Part], Callable[[], None]], None]


class Bundle(Message):
    """Acknowledged, or given back, as a whole. Its task takes a list of ``[*arguments, id]`` for each kind of call."""

    def __init__(
        self,
        parts: Sequence[Part],
        on_end: Callable[[int], None] = lambda _: None,
        on_failure: SetAside | None = None,
    ) -> None:
        """``parts``: kombu's messages, from one channel, with what they ask for. ``on_end``: called with their
        number when they are handled.

        The task is the first one's; what asks for another comes in lists of their own after its own list. One that
        never comes with others gets its arguments as they are.
        """
        first, judged = parts[0]
        lists: dict[str, list[list[object]]] = {}
        for _, accepted in parts:
            lists.setdefault(accepted.task, []).append([*accepted.arguments, accepted.id])
        super().__init__(
            body=b"",
            delivery_tag=first.delivery_tag,
            delivery_info=first.delivery_info,
            headers=task_headers(judged.task, judged.id),
            properties={"correlation_id": judged.id},
            channel=first.channel,
        )
        replace_body(self, list(lists.values()) if judged.task in TOGETHER else judged.arguments)
        self._parts = list(parts)
        self._messages = [message for message, _ in parts]
        self._on_end = on_end
        self._on_failure = on_failure

    @property
    def size(self) -> int:
        """Messages in it."""
        return len(self._messages)

    def ack(self, multiple: bool = False) -> None:
        """Acknowledge all; in one step where the channel knows how (``workers.transport``)."""
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
        """Give all back: also those after one that can't be. Raises what the last such one raised.

        Nothing is ever dropped: without ``requeue`` Celery says that the task failed, which is a bug of ours.
        """
        if not requeue and self._on_failure is not None:
            self._on_failure(self._parts, self._end)
            return
        with ExitStack() as steps:  # taken from its end
            steps.callback(self._end)
            for message in reversed(self._messages):
                steps.callback(message.reject, requeue=True)

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, lambda _: None  # once, whatever Celery does
        on_end(self.size)


class Planned(Protocol):
    """An entry in a timer."""

    def cancel(self) -> None: ...


class Timer(Protocol):
    """What is needed of a consumer's timer: ``function`` is called on its loop; the answer can be cancelled."""

    def call_after(self, seconds: float, function: Callable[[], None]) -> Planned: ...


class Gathering:
    """Messages of one connection on their way into bundles. Used on the consumer's loop only."""

    def __init__(self, timer: Timer, hand_over: Callable[[Bundle], object], in_hand: int, set_aside: SetAside) -> None:
        """``in_hand``: how many messages there may be at a time. Up to half of them nothing waits for anything."""
        self._timer = timer
        self._hand_over = hand_over
        self._set_aside = set_aside
        self._few = max(1, in_hand // 2)
        self._parts: list[Part] = []
        self._under_way = 0  #: messages handed over and not handled yet
        self._planned: tuple[float, Planned] | None = None  #: the wait until the next one, and its entry in the timer

    def add(self, message: Message, call: Accepted) -> None:
        """Take a message in: it is handed over with all that comes in at this moment, or meanwhile."""
        self._parts.append((message, call))
        if self._under_way < self._few:
            self._plan(0.0)
        elif len(self._parts) == 1:
            self._plan(LONGEST_SECONDS)

    def close(self) -> None:
        """The connection is closed: the broker has again what was not handed over."""
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
        """A message that is not to be gathered with others."""
        self._hand([(message, call)], lambda _: None)

    def _hand(self, parts: Sequence[Part], ended: Callable[[int], None]) -> None:
        try:
            self._hand_over(Bundle(parts, ended, self._set_aside))
        except Exception:
            log.exception("message.not_handed_over", messages=len(parts), traceback=True)
            if len(parts) > 1:
                for part in parts:  # one of them does it, or all would: none goes with another
                    self._hand([part], ended)
            else:
                self._set_aside(parts, lambda: ended(1))

    def _ended(self, messages: int) -> None:
        self._under_way -= messages
        if self._parts:
            self._plan(CLAIM_SECONDS)
