"""When a cause needs a person. Pure: what marks it (the amber box, the diamond) asks here and nowhere else."""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.why.cause import Cause, Why

#: What the system tries again by itself needs nobody at first. After so long somebody should know of it.
PATIENCE = timedelta(minutes=15)

#: Nothing but a person settles these, however often they are tried again by themselves.
_ALWAYS = frozenset({
    Cause.REJECTED_MESSAGE, Cause.CONTRADICTION, Cause.PARKED, Cause.KEY_REFUSED, Cause.PROVIDER_REFUSES,
    Cause.NO_WORKER,
})  # fmt: skip
#: Waits to be tried again by itself, for a while or a number of times.
_AT_LAST = frozenset({Cause.PROVIDER_UNREACHABLE, Cause.WEBHOOK_WAITS, Cause.STREAM_BEHIND})


def needs_person(why: Why, now: datetime) -> bool:
    """Whether a person has to do something.

    For an invoice in doubt: once nothing happens by itself any more, so not while it is searched for or created again.
    For a webhook: at once if it is tried no more (given up, or its endpoint is disabled), otherwise after PATIENCE,
    like a provider or a stream that does not answer. Never for what waits for a payer, for confirmations or for its
    turn.
    """
    if why.cause in _ALWAYS:
        return True
    is_left = why.next_at is None and why.next is None
    if why.cause is Cause.IN_DOUBT:
        return is_left
    if why.cause in _AT_LAST:
        return is_left or (why.since is not None and now - why.since >= PATIENCE)
    return False
