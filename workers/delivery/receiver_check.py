"""Sends good and forged events to a shop's receiver, and says from its answers what it does wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from workers.delivery.attempt import KEEP_LIMIT, Attempt, Outgoing
from workers.delivery.receiver_plays import PLAYS, Expected, Play
from workers.delivery.receiver_scene import Scene

Verdict = Literal["ok", "warning", "wrong", "skipped"]

EXPECTED: dict[Expected, str] = {"taken": "2xx", "refused": "4xx"}

#: A slower answer is still within the limit of 15 s, but may not be on a bad day.
SLOW_MS = 5_000
#: After this many checks that ran into the time limit the rest is left out: each may take 15 s.
MAX_TIMEOUTS = 2

#: What to do about an exchange without a usable answer, by the kind in ``Attempt.error``.
BROKEN = {
    "address": "this address may not be sent to: an https URL on port 443, or --allow HOST",
    "dns": "the host name does not resolve",
    "connect": "nothing listens there, or a firewall drops it",
    "tls": "give the certificate's whole chain, for this host name, not expired",
    "timeout": "store the event, answer 2xx at once, do the work afterwards",
    "reset": "answer each event before the connection is closed",
    "protocol": "the answer is no proper HTTP",
    "redirect": "redirects are not followed: register the URL that they lead to",
}

#: What to do about the status that answered a good event, where that is better than the check's own advice.
BY_STATUS = {
    404: "either the path is wrong, or the order was looked for: take events of orders you don't know too (2xx)",
    405: "the URL must take POST",
    408: BROKEN["timeout"],
    410: "410 means `never again`: the endpoint would be disabled at once",
    413: "allow bodies of at least 20 kB",
    429: "take bursts, or ask for a lower rate at the endpoint; then run this check again",
    503: "it says it is overloaded: run this check again when it is not",
}

#: Statuses that refuse a forged event, but mean something else to the sender.
ODDLY_REFUSED = {
    410: "refused, but 410 means `never again` and disables the endpoint: answer 400 or 401",
    429: "this speaks of the rate, not of the signature: run the check again",
}


class Sender(Protocol):
    """What the check needs of ``WebhookSender``."""

    async def send(self, delivery: Outgoing, *, webhook_headers: Mapping[str, str] | None = None) -> Attempt: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. ``status`` and ``latency_ms`` are those of the answer that decided.

    ``advice``: what to do, if anything. ``look``: what can't be seen from here, and how to look for it.
    """

    check: str
    title: str
    expected: str
    verdict: Verdict
    came: str
    status: int | None = None
    latency_ms: int | None = None
    advice: str | None = None
    look: str | None = None


async def check_receiver(sender: Sender, scene: Scene, *, slow_ms: int = SLOW_MS) -> AsyncIterator[Finding]:
    """Sends everything, one message after another, and yields each finding as soon as it is known.

    If the first good event is not taken the rest is skipped: a refusal would prove nothing then.
    Raises ValueError when the secret is not one. Never raises for anything a receiver does.
    """
    attempts: list[Attempt] = []
    timeouts = 0
    skip: str | None = None
    for play in PLAYS:
        if skip is not None:
            yield _skipped(play.name, play.title, EXPECTED[play.expected], skip)
            continue
        attempt = await _play(sender, scene, play, attempts)
        finding = _finding_of(play, scene, attempt)
        yield finding
        timeouts += finding.verdict == "wrong" and _kind(attempt) == "timeout"
        if play is PLAYS[0] and finding.verdict == "wrong":
            skip = "not played: the good event must be taken first"
        elif timeouts >= MAX_TIMEOUTS:
            skip = f"not played: {timeouts} checks have run into the time limit"
    for finding in (_check_time(attempts, slow_ms), _check_size(attempts)):
        yield finding


async def _play(sender: Sender, scene: Scene, play: Play, attempts: list[Attempt]) -> Attempt:
    """Sends a check's messages, up to the first that is answered wrongly. The last answer decides."""
    for message in play.build(scene):
        attempt = await sender.send(message.outgoing, webhook_headers=message.headers)
        attempts.append(attempt)
        if (attempt.outcome == "delivered") != (play.expected == "taken"):
            break
    return attempts[-1]


def _finding_of(play: Play, scene: Scene, attempt: Attempt) -> Finding:
    verdict, advice = (_read_taken if play.expected == "taken" else _read_refused)(attempt, play.advice)
    return Finding(
        check=play.name,
        title=play.title,
        expected=EXPECTED[play.expected],
        verdict=verdict,
        came=f"{attempt.status}" if attempt.error is None else _without_kind(attempt),
        status=attempt.status,
        latency_ms=attempt.latency_ms,
        advice=advice,
        look=_fill(play.look, scene) if play.look is not None and verdict == "ok" else None,
    )


def _read_taken(attempt: Attempt, advice: str) -> tuple[Verdict, str | None]:
    if attempt.outcome == "delivered":
        return "ok", None
    return "wrong", BROKEN.get(_kind(attempt)) or BY_STATUS.get(attempt.status or 0, advice)


def _read_refused(attempt: Attempt, advice: str) -> tuple[Verdict, str | None]:
    status, kind = attempt.status or 0, _kind(attempt)
    if 200 <= status < 300:
        return "wrong", advice
    if kind not in {"status", "redirect", "reset"}:
        return "wrong", BROKEN.get(kind, advice)
    if status in ODDLY_REFUSED:
        return "warning", ODDLY_REFUSED[status]
    if not 400 <= status < 500:
        return "warning", "refused, but it should look like a refusal: answer 400 or 401"
    return "ok", None


def _kind(attempt: Attempt) -> str:
    return (attempt.error or "").partition(":")[0]


def _without_kind(attempt: Attempt) -> str:
    kind, _, what = (attempt.error or "").partition(": ")
    return what if kind in {"status", "redirect"} else f"{kind}: {what}"


def _fill(look: str, scene: Scene) -> str:
    invoices = {letter: scene.invoice_id(letter) for letter in "abcd"}
    return look.format(a1=scene.event("a").event_id, restored=scene.restored.event_id, **invoices)


def _check_time(attempts: list[Attempt], slow_ms: int) -> Finding:
    answered = [attempt.latency_ms for attempt in attempts if attempt.status is not None]
    name, title, expected = "answer-time", "how long the slowest answer took", f"under {slow_ms / 1000:g} s"
    if not answered:
        return _skipped(name, title, expected, "nothing was answered")
    slowest = max(answered)
    slow = slowest > slow_ms
    return Finding(
        check=name,
        title=title,
        expected=expected,
        verdict="warning" if slow else "ok",
        came=f"{slowest} ms",
        latency_ms=slowest,
        advice=f"{BROKEN['timeout']} (after 15 s it counts as failed)" if slow else None,
    )


def _check_size(attempts: list[Attempt]) -> Finding:
    name, title, expected = "answer-size", "how large the largest answer was", f"under {KEEP_LIMIT} bytes"
    answered = [len(attempt.answer) for attempt in attempts if attempt.status is not None]
    if not answered:
        return _skipped(name, title, expected, "nothing was answered")
    largest = max(answered)
    large = largest >= KEEP_LIMIT
    return Finding(
        check=name,
        title=title,
        expected=expected,
        verdict="warning" if large else "ok",
        came=f"{largest} bytes" + (" or more" if large else ""),
        advice="answer with an empty body: more than this is not kept, 16 KiB close the connection" if large else None,
    )


def _skipped(name: str, title: str, expected: str, why: str) -> Finding:
    return Finding(check=name, title=title, expected=expected, verdict="skipped", came=why)
