"""The causes why nothing happens to an order, and what is told of the one that holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from domain.event import format_time
from domain.why.sentence import Sentence


class Cause(StrEnum):
    """Why nothing happens to an order. In the order of precedence: the first cause that holds is told."""

    REJECTED_MESSAGE = "rejected_message"
    UNKNOWN_ORDER = "unknown_order"
    CONTRADICTION = "contradiction"
    PARKED = "parked"
    KEY_REFUSED = "key_refused"
    PROVIDER_REFUSES = "provider_refuses"
    NO_WORKER = "no_worker"
    PROVIDER_UNREACHABLE = "provider_unreachable"
    IN_DOUBT = "in_doubt"
    WEBHOOK_WAITS = "webhook_waits"
    STREAM_BEHIND = "stream_behind"
    IN_CALL = "in_call"
    WAITS_FOR_ACCOUNT = "waits_for_account"
    CANNOT_BE_ASKED = "cannot_be_asked"
    CONFIRMING = "confirming"
    WAITS_FOR_PAYER = "waits_for_payer"
    FINAL = "final"


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """A cause as a person reads it. ``text``: one sentence; ``next``: what will happen by itself (None: nothing);
    ``command``: the command that helps."""

    cause: Cause
    text: Sentence
    since: datetime | None = None
    next_at: datetime | None = None
    next: Sentence | None = None
    command: str | None = None
    drift: Sequence[str] = ()  #: the drifts in the provider's answers about the order


def why_fields(why: Why) -> dict[str, object]:
    """As JSON: exactly the contract's six fields. ``drift`` is for people; programs read the list of drifts."""
    times = {name: format_time(time) for name in ("since", "next_at") if (time := getattr(why, name)) is not None}
    fields = asdict(why) | times
    del fields["drift"]
    return fields
