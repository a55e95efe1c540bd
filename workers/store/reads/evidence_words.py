"""What a kept piece of evidence says, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Fields = Mapping[str, object]


def in_words(kind: str, told: Fields) -> str:
    """One line; ``told``: the fields that were kept. A kind that only another release knows is shown as it is."""
    say = _WORDS.get(kind)
    if say is not None:
        return say(told)
    rest = ", ".join(f"{name} {value}" for name, value in told.items() if value not in (None, [], {}))
    return f"{kind}: {rest}" if rest else kind


def _because(words: str) -> Callable[[Fields], str]:
    return lambda told: f"{words}: {told['reason']}" if told.get("reason") else words


def _paid(told: Fields) -> str:
    """A status word, and what comes with it."""
    amount = " ".join(str(told[name]) for name in ("paid_amount", "pay_currency") if told.get(name))
    parts = [f"says {told.get('word') or told.get('status') or 'nothing that is known'}"]
    parts += [f"{amount} paid"] if told.get("paid_amount") else []
    parts += [f"{name} {told[key]}" for name, key in _BESIDE if told.get(key)]
    return ", ".join(parts)


_BESIDE = (("transaction", "tx_hash"), ("reference", "reference"), ("anomaly", "anomaly"))


def _made(words: str) -> Callable[[Fields], str]:
    def say(told: Fields) -> str:
        price = " ".join(str(told[name]) for name in ("pay_amount", "pay_currency") if told.get(name))
        parts = [f"{words} {told.get('provider_ref')}"]
        parts += [f"{price} to pay"] if told.get("pay_amount") else []
        parts += [f"to {told['address']}"] if told.get("address") else []
        parts += [f"also {told['twins']}"] if told.get("twins") else []
        return ", ".join(parts)

    return say


def _put_off(told: Fields) -> str:
    seconds = told.get("retry_after_seconds")
    return _because("asks us to wait" if seconds is None else f"asks us to wait {seconds:g} s")(told)


def _marked(told: Fields) -> str:
    amount = f", {told['paid_amount']} paid" if told.get("paid_amount") else ""
    return f"{told.get('by')} marks it as {told.get('status')}{amount}: {told.get('reason')}"


_WORDS: Mapping[str, Callable[[Fields], str]] = {
    "Created": _made("made as"),
    "Found": _made("found as"),
    "OrderRefused": _because("refuses the order"),
    "CredentialsRefused": _because("refuses the account's key"),
    "ProviderRefused": _because("something before the provider turns us away"),
    "Unreachable": _because("can't be reached"),
    "NotSent": _because("not called"),
    "InDoubt": _because("the answer is lost"),
    "RateLimited": _put_off,
    "Unreadable": _because("answers what can't be understood"),
    "Seen": _paid,
    "CalledBack": _paid,
    "CancelRequested": _because("cancel it"),
    "RetryRequested": _because("create it again"),
    "Marked": _marked,
    "RecheckRequested": lambda told: f"{told.get('by')} wants it looked up: {told.get('reason')}",
    "NotFound": lambda _: "nothing was found",
    "SearchFailed": _because("the search proves nothing"),
    "ClockRanOut": lambda _: "a due time has passed",
}
