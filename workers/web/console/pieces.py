"""What a line of text is put together from: words of ours, which are translated, and what others wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from domain.exact_json import read_json
from domain.money import format_amount
from workers.store.rows import StoredRow

Kind = Literal["words", "foreign", "amount", "status", "time", "link", "comma"]


class Piece(NamedTuple):
    """``more``: an amount's unit, a link's address, how a text is toned."""

    kind: Kind
    text: str
    more: str = ""


Pieces = Sequence[Piece]
SHORT = 40  #: characters of a reference that are shown on one line
#: Between two parts of a sentence.
COMMA = Piece("comma", ",")


def words(text: str, tone: str = "") -> Piece:
    """A sentence, or a part of one, of our own."""
    return Piece("words", text, tone)


def foreign(text: object) -> Piece:
    """What somebody else wrote."""
    return Piece("foreign", str(text))


def short(text: object) -> Piece:
    """The ends of what is long and shown whole elsewhere: a transaction."""
    whole = str(text)
    return foreign(whole if len(whole) <= SHORT else f"{whole[:10]}…{whole[-8:]}")


def amount(value: object, unit: object = None) -> Piece:
    """Digit by digit, whatever form evidence was kept in."""
    text = format_amount(value) if isinstance(value, Decimal) else str(value)
    return Piece("amount", text, str(unit or ""))


def time(value: datetime | str) -> Piece:
    """A moment."""
    return Piece("time", value if isinstance(value, str) else value.isoformat())


def link(text: str, url: str) -> Piece:
    """To a page of ours."""
    return Piece("link", text, url)


def pieces_of(row: StoredRow) -> list[Piece]:
    """What a kept piece of evidence says. A kind of another release is shown as it is."""
    told = read_json(row.detail)
    told = told if isinstance(told, dict) else {"detail": told}
    account = [foreign(f"{told['account']}:")] if "account" in told else []
    if row.kind in _MADE:
        return [*account, *_made(told, _MADE[row.kind])]
    if row.kind in {"Seen", "CalledBack"}:
        return [*account, *_seen(told)]
    said = _SAID.get(row.kind)
    wait = told.pop("retry_after_seconds", None)
    rest = _rest(told, {"account", "reason"} if said else {"account"})
    rest += [] if wait is None else [COMMA, words("for"), foreign(f"{wait:g} s")]
    reason = [foreign(told["reason"])] if said and told.get("reason") else []
    return [*account, words(said) if said else foreign(row.kind), *reason, *rest]


def _made(told: Mapping[str, object], how: str) -> list[Piece]:
    pieces = [words(how)]
    if told.get("pay_amount"):
        pieces += [COMMA, words("asks for"), amount(told["pay_amount"], told.get("pay_currency"))]
    if told.get("provider_ref"):
        pieces += [COMMA, words("reference"), foreign(told["provider_ref"])]
    if told.get("twins"):
        pieces += [COMMA, words("also"), foreign(told["twins"])]
    return pieces


def _seen(told: Mapping[str, object]) -> list[Piece]:
    pieces = [foreign(told.get("word") or told.get("status") or "?")]
    if told.get("paid_amount"):
        pieces += [COMMA, words("received"), amount(told["paid_amount"], told.get("pay_currency"))]
    for name, key in (("transaction", "tx_hash"), ("reference", "reference"), ("anomaly", "anomaly")):
        if told.get(key):
            pieces += [COMMA, words(name), short(told[key])]
    return pieces


def _rest(told: Mapping[str, object], shown: set[str]) -> list[Piece]:
    return [
        piece
        for name, value in told.items()
        if name not in shown and value not in (None, [], {}, False)
        for piece in (COMMA, words(_NAMED.get(name, name)), foreign(value))
    ]


_MADE = {"Created": "made it", "Found": "found it"}
_NAMED = {"status": "status", "paid_amount": "received"}
_SAID = {
    "OrderRefused": "refuses the order",
    "CredentialsRefused": "refuses the account's key",
    "ProviderRefused": "something before the provider turns us away",
    "Unreachable": "can't be reached",
    "NotSent": "not called",
    "InDoubt": "the answer is lost",
    "RateLimited": "asks us to wait",
    "Unreadable": "answers what can't be understood",
    "CancelRequested": "cancel it",
    "RetryRequested": "create it again",
    "Marked": "marked",
    "RecheckRequested": "look it up",
    "NotFound": "nothing was found",
    "SearchFailed": "the search proves nothing",
    "ClockRanOut": "a due time has passed",
}
#: Of these a line is in red: a call that brought no use.
FAILED = frozenset({
    "OrderRefused", "CredentialsRefused", "ProviderRefused", "Unreachable", "InDoubt", "Unreadable", "SearchFailed",
})  # fmt: skip
