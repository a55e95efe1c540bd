"""What an answer that is no success says: about the order, about the account's key, or about neither."""

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

#: 4xx that never speak of the order, whoever worded them: wrong address or method, payment due, a proxy's own affairs,
#: the request's form. A catch-all of the provider's own words its "no such route" like every other refusal.
NOT_OF_THE_ORDER = frozenset({402, 404, 405, 406, 407, 410, 411, 412, 414, 415, 416, 417, 421, 425, 426, 428, 431, 451})

#: A server that gave up waiting. By the book it had not read the request; proxies say it of a slow backend as well,
#: which may have made the invoice.
DOUBTFUL_STATUSES = frozenset({408})

#: "Not here, there": the request was passed on to nobody, and we follow no redirect. (302 and 303 may come after the
#: work was done: they stay in doubt.)
MOVED_STATUSES = frozenset({301, 307, 308})

#: Words of a firewall's page that wants to see a browser. With a 503, which the provider itself may answer after the
#: work was done, only those that nobody else uses.
_CHALLENGES = {
    403: re.compile(r"just a moment|attention required|cf-chl|captcha|checking your browser|ddos", re.IGNORECASE),
    503: re.compile(r"<title>just a moment|cf-chl-|cf_chl_|checking your browser before", re.IGNORECASE),
}
_LOOKED_AT = 16 * 1024  #: characters of a page: its head says what it is
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
    """A provider's own table. ``is_own``: the decoded body has the documented shape of its refusals."""

    key_statuses: frozenset[int]  #: by these it refuses the account's key
    is_own: Callable[[dict[str, object]], bool]


def read_create(
    outcome: Answer | Failure, refusals: Refusals, read_made: Callable[[Answer], CreateAnswer]
) -> CreateAnswer:
    """What a create's outcome means; a 2xx is left to ``read_made``, its adapter's reader.

    Only a refusal that can be read, in the provider's own shape and with a message, is about the order. What was
    turned away before it (a proxy's page, somebody else's JSON) waits; what may have been received is in doubt.
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
    """Nobody behind the address can have made an invoice of what was answered so."""
    if is_challenge(answer):  # a firewall asks before it passes anything on, with 503 too
        return True
    return answer.status in MOVED_STATUSES or (400 <= answer.status < 500 and answer.status not in DOUBTFUL_STATUSES)


def read_refused_account(answer: Answer, refusals: Refusals) -> CredentialsRefused | RateLimited | None:
    """What is about the account and not about the invoice; a page that keeps everybody out is no word on a key."""
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
    """401 is HTTP's own word for it, but for a page or a log-in that a proxy asks for. 403 and the rest mean many
    things: only with a message in JSON do they mean the key."""
    if is_challenge(answer) or is_page(answer):
        return False
    if answer.status == 401:
        return (
            not answer.headers.get("www-authenticate", "").lower().startswith(("basic", "digest", "negotiate", "ntlm"))
        )
    problem = "problem+json" in answer.headers.get("content-type", "").lower()
    return isinstance(payload, dict) and not problem and bool(read_message({"message": payload.get("message")}))


def refuse_order(answer: Answer, payload: object) -> OrderRefused:
    """The provider read the order and does not want it."""
    reason = answer.reason(read_message(payload) or "the order was refused")
    told = Told("create", payload) if answer.succeeded else None  # what other statuses come with is not documented
    return OrderRefused(reason=reason, asked_at=answer.asked_at, raw=answer.raw(), told=told)


def is_page(answer: Answer) -> bool:
    """The body is made for people: HTML by its type or its beginning."""
    kind = answer.headers.get("content-type", "").lower()
    return "html" in kind or _MARKUP.match(answer.text()[:4096]) is not None


def is_challenge(answer: Answer) -> bool:
    """A firewall wants to see a browser first (Cloudflare says so in ``cf-mitigated``)."""
    if answer.succeeded:
        return False
    if answer.headers.get("cf-mitigated", "").lower() == "challenge":
        return True
    words = _CHALLENGES.get(answer.status)
    return words is not None and is_page(answer) and words.search(answer.text()[:_LOOKED_AT]) is not None


def describe(answer: Answer, payload: object) -> str:
    """What the body is, in a few words: never quoted but for a page's title and a JSON's message."""
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
