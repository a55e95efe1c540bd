"""When to look or try again: tables and pure functions. The clock and the dice are arguments.

After a 429 the call that met it is repeated, at the earliest after the Retry-After (``bounded_wait``) and after

- a create: CREATE_RETRY_SECONDS
- a search: SEARCH_RETRY_SECONDS
- a look-up: the wait for a poll; for a refund REFUND_RETRY_SECONDS; after a callback
  ``domain.callbacks.LOOK_AGAIN_SECONDS``
- a webhook: DELIVERY_DELAYS

Where the 429 ends something, the Retry-After does not hold that up: an expiry after its last look-up, a callback whose
grace is over, ``on_doubt`` after the last search (a repeated create waits for the end of the search's grace).

``domain/lifecycle`` and the stage DELIVER apply this. All other calls to the account pause too, in each worker that met
the 429: ``workers/stages/last_answers.py`` says how long, ``workers/stages/provider.py`` waits.
"""

from __future__ import annotations

from datetime import timedelta

from domain.decision import Stage

#: The wait before each delivery attempt, from the end of the one before: 12 attempts over about 75 h 42 min.
DELIVERY_DELAYS: tuple[timedelta, ...] = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)

#: Jitter makes a wait longer by up to this share, never shorter.
JITTER_SHARE = 0.2

#: A Retry-After, a provider's or a receiver's, is honoured up to this long.
RETRY_AFTER_LIMIT = timedelta(hours=24)


def delivery_wait(tries_made: int, jitter: float, retry_after_seconds: float | None = None) -> timedelta | None:
    """How long a webhook waits after ``tries_made`` delivery attempts; None: they are used up.

    ``jitter`` (0..1) stretches the wait by 0..20 %. ``retry_after_seconds`` is what the receiver asked for (429 and 503
    only); the longer wait counts. Raises ValueError for a negative ``tries_made`` or a jitter outside 0..1.
    """
    if tries_made < 0:
        raise ValueError(f"tries_made: {tries_made} is negative")
    if not 0 <= jitter <= 1:
        raise ValueError(f"jitter: {jitter} is outside 0..1")
    if tries_made >= len(DELIVERY_DELAYS):
        return None
    wait = DELIVERY_DELAYS[tries_made] * (1 + JITTER_SHARE * jitter)
    if retry_after_seconds is not None:
        wait = max(wait, timedelta(seconds=bounded_wait(retry_after_seconds)))
    return wait


#: Waits before a create is repeated that was certainly not processed (unreachable, rate-limited); the last one repeats.
CREATE_RETRY_SECONDS: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)

#: How often an unreachable account is tried before the order's next account. The tries are a second apart: enough for a
#: restart behind a proxy, and no more, because the shop is waiting.
TRIES_BEFORE_FALLBACK = 2

#: Waits before a create whose answer was lost is repeated (``on_doubt = retry``). After the last one the order is held
#: for an operator: a provider that loses every answer must not make invoices of the same order for ever.
DOUBT_RETRY_SECONDS: tuple[float, ...] = (5.0, 30.0, 120.0, 600.0, 1800.0)

#: Waits before each search for an order in doubt, at a provider that can be searched; the last one repeats.
SEARCH_SECONDS: tuple[float, ...] = (5.0, 15.0, 40.0, 120.0, 600.0)

#: For this long after the last create a search that finds nothing proves nothing: a provider's list may lag.
SEARCH_GRACE_SECONDS = 60.0

#: Waits after a failed search. After the last one ``on_doubt`` decides as if there were no search.
SEARCH_RETRY_SECONDS: tuple[float, ...] = (5.0, 10.0, 30.0, 60.0, 120.0)

#: Waits between the probes of an account whose credentials were refused; the last one repeats.
PROBE_SECONDS: tuple[float, ...] = (5.0, 10.0, 20.0, 30.0, 60.0)

#: Each look-up that brings nothing new makes the next wait this much longer, up to SLOWEST_POLL times ``poll_seconds``.
POLL_GROWTH = 1.3
SLOWEST_POLL = 10

#: A paid invoice is looked up for a refund after as long as it has been paid, but within these bounds.
REFUND_SECONDS: tuple[float, ...] = (6 * 3600.0, 7 * 86_400.0)
#: A look-up for a refund that had no answer is repeated after this.
REFUND_RETRY_SECONDS = 3600.0

#: An expired invoice is looked up for a late payment SLOWEST_POLL times more rarely, but at least this often (and never
#: more often than ``poll_seconds``).
MONITOR_POLL_SECONDS = 300.0


def bounded_wait(retry_after_seconds: float | None) -> float:
    """The seconds of a Retry-After that count: 0 to RETRY_AFTER_LIMIT (0 for NaN)."""
    if retry_after_seconds is None or not retry_after_seconds > 0:
        return 0.0
    return min(retry_after_seconds, RETRY_AFTER_LIMIT.total_seconds())


def stretched(seconds: float, jitter: float) -> timedelta:
    """``seconds`` made longer by up to JITTER_SHARE (``jitter`` 0..1)."""
    return timedelta(seconds=seconds * (1 + JITTER_SHARE * jitter))


def step(table: tuple[float, ...], tries: int) -> float:
    """The wait after ``tries`` tries (≥ 1): the table's entry, or its last one."""
    return table[min(max(tries, 1), len(table)) - 1]


def monitor_poll_seconds(poll_seconds: float) -> float:
    """The interval of look-ups for a late payment. An account that is polled rarely is not polled more often for it."""
    return max(poll_seconds, min(poll_seconds * SLOWEST_POLL, MONITOR_POLL_SECONDS))


def refund_wait(paid_seconds: float, jitter: float) -> timedelta:
    """The wait before the next look-up for a refund of a payment so long ago: 6 h, 6 h, 12 h, 1 d, 2 d … 7 d."""
    shortest, longest = REFUND_SECONDS
    return stretched(min(max(paid_seconds, shortest), longest), jitter)


def poll_wait(poll_seconds: float, quiet_polls: int, jitter: float) -> timedelta:
    """The wait before the next look-up, the longer the more of them brought nothing (``quiet_polls``)."""
    growth = min(POLL_GROWTH ** min(quiet_polls, 50), SLOWEST_POLL)
    return stretched(poll_seconds * growth, jitter)


def slowest_poll(poll_seconds: float) -> timedelta:
    """The longest that ``poll_wait`` can be."""
    return stretched(poll_seconds * SLOWEST_POLL, 1.0)


#: The stream's row waits for a lease at most, the removal of old rows for its next run; with a margin.
STANDING_WAITS = {Stage.PUBLISH: timedelta(seconds=60), Stage.RETAIN: timedelta(seconds=660)}


def longest_wait(stage: Stage, poll_seconds: float = 0.0) -> timedelta | None:
    """How far away a stage's next time can be. One beyond that was planned by a clock that has been set back since.

    None for CLOCK, whose times are no waits: providers and policies give them. ``poll_seconds``: the account's.
    """
    if stage is Stage.CLOCK:
        return None
    if stage in STANDING_WAITS:
        return STANDING_WAITS[stage]
    longest = RETRY_AFTER_LIMIT.total_seconds()
    if stage is Stage.CHECK:
        longest = max(longest, max(poll_seconds, MONITOR_POLL_SECONDS) * SLOWEST_POLL)
    return stretched(longest, 1.0) + timedelta(minutes=1)
