"""What `receiver_check` sends to a shop's receiver: good events in every form we send, and forgeries of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from domain.event import new_id
from workers.delivery.attempt import Outgoing
from workers.delivery.receiver_scene import Scene
from workers.delivery.signature import new_secret, sign
from workers.delivery.trial import trial_of
from workers.delivery.webhook import signed_headers

Expected = Literal["taken", "refused"]

#: Libraries of Standard Webhooks allow five minutes either way. This is well beyond, even if clocks differ a little.
TOO_OLD_SECONDS = 360
TOO_NEW_SECONDS = 3600
#: Envelopes stay under 20 kB.
LARGE_BYTES = 19_900

PRICE, FORGED_PRICE = b'"price":"100.10"', b'"price":"900.10"'
#: JSON that no library would write this way: a signature over parsed and rewritten JSON does not fit it.
ODD_METADATA = '{ "note" : "Gr\\u00fc\u00dfe, \u20ac 5 \u2603 </script>",  "amount":1.10 }'


@dataclass(frozen=True, slots=True)
class Message:
    """One POST. ``headers``: what stands in for the three of Standard Webhooks; None: they are signed as usual."""

    outgoing: Outgoing
    headers: Mapping[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Play:
    """One check: what is sent, how a correct receiver answers, what to do if this one does not.

    ``look``: what can't be seen from here, and how to look for it, with ``{a1}`` for event 1 of invoice a, ``{a}`` for
    the invoice, and ``{restored}`` for the event without an invoice.
    """

    name: str
    title: str
    expected: Expected
    build: Callable[[Scene], Sequence[Message]]
    advice: str
    look: str | None = None


def _sent(scene: Scene, *events: tuple[str, int]) -> list[Message]:
    return [Message(scene.event(letter, sequence)) for letter, sequence in events]


def _good(scene: Scene) -> list[Message]:
    event = scene.event("a")
    return [Message(event, signed_headers(event, scene.started))]


def _replay(scene: Scene) -> list[Message]:
    event = scene.event("a")
    return [Message(event, signed_headers(event, max(int(scene.clock()), scene.started + 1)))]


def _rotation(scene: Scene) -> list[Message]:
    event = scene.event("e")
    return [Message(scene.outgoing(event.event_id, event.body, (new_secret(), scene.secret)))]


def _large(scene: Scene) -> list[Message]:
    plain = scene.event("f", metadata='{"text":""}')
    body = plain.body.replace(b'"text":""', b'"text":"%s"' % (b"x" * (LARGE_BYTES - len(plain.body))))
    return [Message(scene.outgoing(plain.event_id, body))]


def _test_event(scene: Scene) -> list[Message]:
    """What `invoices endpoints test` sends."""
    now = datetime.fromtimestamp(scene.started, UTC)
    return [Message(trial_of(new_id("ep"), scene.url, (scene.secret,), {}, now))]


def _restored(scene: Scene) -> list[Message]:
    """What `invoices restored` tells every endpoint, twice."""
    return [Message(scene.restored), Message(scene.restored)]


def _wrong_key(scene: Scene) -> list[Message]:
    event = scene.event("k")
    return [Message(scene.outgoing(event.event_id, event.body, (new_secret(),)))]


def _no_signature(scene: Scene) -> list[Message]:
    event = scene.event("l")
    headers = scene.headers(event)
    del headers["webhook-signature"]
    return [Message(event, headers)]


def _garbled_signature(scene: Scene) -> list[Message]:
    event = scene.event("m")
    return [Message(event, scene.headers(event) | {"webhook-signature": "v1"})]


def _too_old(scene: Scene) -> list[Message]:
    event = scene.event("n")
    return [Message(event, scene.headers(event, -TOO_OLD_SECONDS))]


def _too_new(scene: Scene) -> list[Message]:
    event = scene.event("o")
    return [Message(event, scene.headers(event, TOO_NEW_SECONDS))]


def _tampered(scene: Scene) -> list[Message]:
    event = scene.event("p")
    return [Message(scene.outgoing(event.event_id, event.body.replace(PRICE, FORGED_PRICE)), scene.headers(event))]


def _borrowed_signature(scene: Scene) -> list[Message]:
    event, headers = scene.event("q"), scene.headers(scene.event("a"))
    return [Message(event, headers | {"webhook-id": event.event_id})]


def _changed_id(scene: Scene) -> list[Message]:
    event = scene.event("r")
    return [Message(event, scene.headers(event) | {"webhook-id": new_id("evt")})]


def _changed_time(scene: Scene) -> list[Message]:
    event, now = scene.event("s"), int(scene.clock())
    signature = sign(event.secrets, event.event_id, now - TOO_OLD_SECONDS, event.body)
    return [Message(event, scene.headers(event) | {"webhook-signature": signature})]


ID_OF = "webhook-id.webhook-timestamp.body"

#: In the order in which they are sent. The first must be taken, otherwise the rest proves nothing.
PLAYS: tuple[Play, ...] = (
    Play(
        "good-event",
        "a good event",
        "taken",
        _good,
        "verify the raw body with this endpoint's secret and a right clock; take orders you don't know too (2xx)",
    ),
    Play(
        "duplicate",
        "the same once more, byte for byte",
        "taken",
        _good,
        "answer 2xx to an event that you have already: an error makes us send it again for three days",
        "event {a1} was sent twice, then once more: your log or database must show that it was handled once",
    ),
    Play(
        "interleaved",
        "several invoices in turn, their times mixed",
        "taken",
        lambda scene: _sent(scene, ("c", 1), ("b", 1), ("c", 2), ("a", 2), ("b", 2)),
        "order holds within an invoice (subject) only: keep a last sequence for each, not one for all",
        "invoices {a}, {b} and {c} must each stand at sequence 2",
    ),
    Play(
        "gap",
        "a gap in an invoice's sequence",
        "taken",
        lambda scene: _sent(scene, ("d", 1), ("d", 5)),
        "take any sequence above the last: an endpoint's filter and dead letters leave gaps",
        "invoice {d} must stand at sequence 5 (expired)",
    ),
    Play(
        "replay",
        "an older event of an invoice again, signed anew",
        "taken",
        _replay,
        "answer 2xx to a sequence at or below the last one and do nothing: replays are no error",
        "invoice {a} must still stand at sequence 2: event {a1} came again after it and must have changed nothing",
    ),
    Play(
        "rotation",
        "signed with two keys, the second is yours",
        "taken",
        _rotation,
        "webhook-signature holds several signatures with spaces between while keys change: one that fits is enough",
    ),
    Play("large-event", "an event of nearly 20 kB", "taken", _large, "allow bodies of at least 20 kB"),
    Play(
        "raw-body",
        "odd spacing, escapes and letters beyond ASCII",
        "taken",
        lambda scene: [Message(scene.event("g", metadata=ODD_METADATA))],
        "verify the bytes as they came, before any JSON parsing or decoding",
    ),
    Play(
        "unknown-type",
        "an event type that is new to you",
        "taken",
        lambda scene: [Message(scene.event("h", kind="invoice.receiver_check"))],
        "answer 2xx to types you don't know and ignore them: new ones will come",
    ),
    Play(
        "test-event",
        "what `invoices endpoints test` sends",
        "taken",
        _test_event,
        "answer 2xx to invoices.test: it has no sequence and no invoice",
    ),
    Play(
        "no-sequence",
        "an event of no invoice, twice (system.restored)",
        "taken",
        _restored,
        "answer 2xx to an event without subject and sequence, and handle it once by its id",
        "event {restored} was sent twice: it must have been handled once",
    ),
    Play("wrong-key", "signed with another key", "refused", _wrong_key, "verify webhook-signature, answer 400 or 401"),
    Play(
        "no-signature",
        "no webhook-signature header",
        "refused",
        _no_signature,
        "an event without webhook-signature is a stranger's: answer 400 or 401",
    ),
    Play(
        "garbled-signature",
        "a webhook-signature that is none",
        "refused",
        _garbled_signature,
        "catch every error of the verification, not its own class only, and answer 400 or 401",
    ),
    Play(
        "old-timestamp",
        "signed rightly, but 6 minutes ago",
        "refused",
        _too_old,
        "compare webhook-timestamp with your clock and refuse what is older than 5 minutes",
    ),
    Play(
        "future-timestamp",
        "signed rightly, but for in an hour",
        "refused",
        _too_new,
        "compare webhook-timestamp with your clock and refuse what is more than 5 minutes ahead",
    ),
    Play(
        "tampered-body",
        "the price changed after signing",
        "refused",
        _tampered,
        "the signature must cover the whole body as it came",
    ),
    Play(
        "borrowed-signature",
        "another event's signature",
        "refused",
        _borrowed_signature,
        f"compute the signature of {ID_OF} anew for each event",
    ),
    Play("changed-id", "another webhook-id than was signed", "refused", _changed_id, f"the signature is over {ID_OF}"),
    Play(
        "changed-time", "another timestamp than was signed", "refused", _changed_time, f"the signature is over {ID_OF}"
    ),
    Play(
        "still-there",
        "a good event after all these",
        "taken",
        lambda scene: _sent(scene, ("z", 1)),
        "bad events must neither break the receiver nor make it block the sender",
    ),
)
