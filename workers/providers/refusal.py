"""What an answer other than success is about: the order, the account's key, or neither."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from domain.drift import Told
from domain.evidence import (
    CreateAnswer,
    CredentialsRefused,
    InDoubt,
    OrderRefused,
    ProviderRefused,
    RateLimited,
    Unreachable,
)
from workers.http.retry_after import read_retry_after
from workers.providers.answer import Answer, Failure, doubt, read_message

#: 4xx that are never about the order, even in the provider's own shape: wrong address or method, payment due, a proxy's
#: own affairs, the form of the request. A provider's catch-all words "no such route" like any other refusal.
NOT_OF_THE_ORDER = frozenset({402, 404, 405, 406, 407, 410, 411, 412, 414, 415, 416, 417, 421, 425, 426, 428, 431, 451})

#: A server that gave up waiting. By the standard it has not read the request, but proxies also answer so for a slow
#: backend, which may have made the invoice.
DOUBTFUL_STATUSES = frozenset({408})

#: Redirects of a request that nobody handled; we don't follow them. (302 and 303 may come after the work was done: they
#: leave the create in doubt.)
MOVED_STATUSES = frozenset({301, 307, 308})

#: Words on a firewall's page that wants to see a browser. With a 503, which the provider itself may answer after the
#: work was done, only words that nobody else uses.
_CHALLENGES = {
    403: re.compile(r"just a moment|attention required|cf-chl|captcha|checking your browser|ddos", re.IGNORECASE),
    503: re.compile(r"<title>just a moment|cf-chl-|cf_chl_|checking your browser before", re.IGNORECASE),
}
_LOOKED_AT = 16 * 1024  #: how many characters of a page are searched: its head tells what it is
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,200})", re.IGNORECASE)
_MARKUP = re.compile(
    r"\A\s*(?:<!--.{0,2000}?-->\s*)*<(?:!doctype|html|head|body|title|h1|center|\?xml|p\b|div)",
    re.IGNORECASE | re.DOTALL,
)

_ADVICE = {
    **dict.fromkeys((301, 307, 308, 404, 405, 410, 421), "is base_url right?"),
    **dict.fromkeys((402, 451), "ask the provider about the account"),
    403: "does something in front of the provider keep this host out?",
    407: "a proxy is in the way",
}


@dataclass(frozen=True, slots=True)
class Refusals:
    """How a provider refuses. ``is_own``: whether a decoded body has the documented shape of its refusals."""

    key_statuses: frozenset[int]  #: the statuses by which it refuses the account's key
    is_own: Callable[[dict[str, object]], bool]


def read_create(
    outcome: Answer | Failure, refusals: Refusals, read_made: Callable[[Answer], CreateAnswer]
) -> CreateAnswer:
    """What a create's outcome means. A 2xx is read by ``read_made``, the adapter's own reader.

    A refusal is about the order only if it has the provider's own shape, with a message. If the call was turned away
    before it reached the provider (a proxy's page, somebody else's JSON), the order waits. If the provider may have
    received it, the order is in doubt.
    """
    if isinstance(outcome, Failure):
        kind = Unreachable if outcome.never_sent else InDoubt
        return kind(reason=outcome.reason, asked_at=outcome.asked_at)
    if outcome.succeeded:
        return read_made(outcome)
    about_account = read_refused_account(outcome, refusals)
    if about_account is not None:
        return about_account
    if not _turned_away(outcome):
        return doubt(outcome, read_message(outcome.json()))
    payload = outcome.json()
    own = isinstance(payload, dict) and refusals.is_own(payload) and read_message(payload)
    if own and outcome.status not in NOT_OF_THE_ORDER and 400 <= outcome.status < 500:
        return refuse_order(outcome, payload)
    reason = outcome.reason(describe(outcome, payload), _ADVICE.get(outcome.status, ""))
    return ProviderRefused(reason=reason, asked_at=outcome.asked_at, raw=outcome.raw())


def _turned_away(answer: Answer) -> bool:
    """Whether nobody behind the address can have made an invoice after such an answer."""
    if is_challenge(answer):  # a firewall asks before it passes anything on, even with a 503
        return True
    return answer.status in MOVED_STATUSES or (400 <= answer.status < 500 and answer.status not in DOUBTFUL_STATUSES)


def read_refused_account(answer: Answer, refusals: Refusals) -> CredentialsRefused | RateLimited | None:
    """A refusal of the account, not of the invoice; None for any other answer. A page that keeps everybody out says
    nothing about the key."""
    if answer.status != 429 and answer.status not in refusals.key_statuses:
        return None
    payload = answer.json()
    reason = answer.reason(read_message(payload))
    if answer.status == 429:
        wait = read_retry_after(answer.headers.get("retry-after"), answer.asked_at)
        return RateLimited(reason=reason, retry_after_seconds=wait, asked_at=answer.asked_at, raw=answer.raw())
    if not _speaks_of_the_key(answer, payload):
        return None
    return CredentialsRefused(reason=reason, asked_at=answer.asked_at, raw=answer.raw())


def _speaks_of_the_key(answer: Answer, payload: object) -> bool:
    """A 401 is about the key, unless it is a page, or a proxy that wants a log-in. 403 and the rest mean many things:
    they are about the key only with a message in JSON."""
    if is_challenge(answer) or is_page(answer):
        return False
    if answer.status == 401:
        return (
            not answer.headers.get("www-authenticate", "").lower().startswith(("basic", "digest", "negotiate", "ntlm"))
        )
    problem = "problem+json" in answer.headers.get("content-type", "").lower()
    return isinstance(payload, dict) and not problem and bool(read_message({"message": payload.get("message")}))


def refuse_order(answer: Answer, payload: object) -> OrderRefused:
    """The provider has read the order and does not want it."""
    reason = answer.reason(read_message(payload) or "the order was refused")
    told = Told("create", payload) if answer.succeeded else None  # the bodies of other statuses are not documented
    return OrderRefused(reason=reason, asked_at=answer.asked_at, raw=answer.raw(), told=told)


def is_page(answer: Answer) -> bool:
    """Whether the body is a page for people: HTML by its type or its beginning."""
    kind = answer.headers.get("content-type", "").lower()
    return "html" in kind or _MARKUP.match(answer.text()[:4096]) is not None


def is_challenge(answer: Answer) -> bool:
    """Whether a firewall wants to see a browser first (Cloudflare says so in ``cf-mitigated``)."""
    if answer.succeeded:
        return False
    if answer.headers.get("cf-mitigated", "").lower() == "challenge":
        return True
    words = _CHALLENGES.get(answer.status)
    return words is not None and is_page(answer) and words.search(answer.text()[:_LOOKED_AT]) is not None


def describe(answer: Answer, payload: object) -> str:
    """What the body is, in a few words. Only a page's title and a JSON's message are quoted."""
    title = _TITLE.search(answer.text()[:_LOOKED_AT])
    shown = f' "{title[1].strip()}"' if title else ""
    if is_challenge(answer):
        return f"a challenge page{shown}, made for a browser"
    if is_page(answer):
        return f"a web page{shown}, not the provider's API"
    if answer.status in MOVED_STATUSES:
        return "the address redirects elsewhere"
    if not answer.body.strip():
        return "an empty answer"
    message = read_message(payload)
    if message:
        return message
    return "not the provider's JSON" if payload is None else "JSON without the provider's message"
