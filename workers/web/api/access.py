"""Who asks, and whether they may: ``Authorization: Bearer <token>``."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from starlette.requests import Request

from domain.permissions import Action, may, sees
from workers.store.acts import Actor
from workers.store.database import UNAVAILABLE
from workers.store.tokens import Token
from workers.web.api.limits import Limits
from workers.web.gathering import Gathering
from workers.web.problems import Problem
from workers.web.threads import Overloaded, StoreThreads

log = structlog.get_logger()

#: Tokens read in one statement, and requests that may wait for one.
MOST_TOKENS, MOST_WAITING = 200, 2000
READ_SECONDS = 5.0
#: How often, at most, this process notes that a token was used.
NOTE_SECONDS = 60.0
CHALLENGE = 'Bearer realm="invoices"'
_TOKEN = re.compile(r"(tok_[0-9a-f]{32})\.([A-Za-z0-9_-]{16,100})")

#: The database's time, and the tokens with these ids.
Find = Callable[[Sequence[str]], tuple[datetime, dict[str, Token]]]


@dataclass(frozen=True, slots=True)
class Caller:
    """A service with a valid token."""

    token: Token
    address: str

    @property
    def accounts(self) -> frozenset[str] | None:
        """What it sees; None: every account."""
        return self.token.accounts

    def may(self, action: Action) -> bool:
        """Whether its scopes allow this."""
        return may(self.token.scopes, action)

    def sees(self, account: str) -> bool:
        """Whether it may see this account."""
        return sees(self.accounts, account)

    def require_account(self, account: str) -> None:
        """Raise Problem 403 for an account that is not its own."""
        if not self.sees(account):
            raise Problem(403, f"this token is not for the account {account!r}")

    def acting(self, reason: str | None) -> Actor:
        """The caller as the actor in the audit log."""
        return Actor(self.token.name, f"api {self.token.id} {self.address}", reason)


class Access:
    """Finds the caller of a request. Used on one event loop."""

    def __init__(
        self,
        threads: StoreThreads,
        find: Find,
        note_use: Callable[[Sequence[str]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._threads = threads
        self._note_use = note_use
        self._clock = clock
        self._reading: Gathering[str, tuple[datetime, Token | None]] = Gathering(
            threads, self._read, most=MOST_TOKENS, most_waiting=MOST_WAITING, seconds=READ_SECONDS
        )
        self._limits = Limits(clock)
        self._known: dict[str, Token] = {}  #: tokens that were valid when they were last read
        self._noted: dict[str, float] = {}  #: when its use was last noted, by token
        self._notes: set[asyncio.Task[None]] = set()

    async def require(self, request: Request, action: Action) -> Caller:
        """The caller, who may do this. Raises Problem: 401, 403, 429, 503."""
        return self._admit(request, await self._authenticate(*_given(request)), action)

    async def recognise(self, request: Request, action: Action) -> Caller:
        """Like ``require``, but a token that was valid before is not read again. It must be checked later: with
        ``gone``, together with what is stored for it, or with ``require_still`` before the request is refused."""
        token_id, secret = _given(request)
        known = self._known.get(token_id)
        is_known = known is not None and known.per_second is None and known.has_secret(secret)
        if known is None or not is_known or not may(known.scopes, action):  # only the token as it is now may refuse
            return await self.require(request, action)
        self._note(known.id)
        return self._admit(request, known, action)

    def gone(self, ids: Sequence[str]) -> set[str]:
        """Those of these tokens that are no longer valid. Reads them: not to be called on the event loop."""
        now, tokens = self._find(ids)
        return {one for one in ids if one not in tokens or not tokens[one].is_live(now)}

    def _admit(self, request: Request, token: Token, action: Action) -> Caller:
        if not may(token.scopes, action):
            scopes = ", ".join(token.scopes)
            refused = f'{CHALLENGE}, error="insufficient_scope"'
            detail = f"this token ({scopes}) is not for this: {action.value}"
            raise Problem(403, detail, headers={"www-authenticate": refused})
        self._limit(token)
        return Caller(token, request.client.host if request.client else "")

    async def require_still(self, caller: Caller, action: Action) -> None:
        """For the further steps of a long request. Raises Problem: 401 once the token is no longer valid, 503."""
        now, token = await self._find_token(caller.token.id)
        if token is None or not token.is_live(now) or not may(token.scopes, action):
            self._known.pop(caller.token.id, None)
            raise revoked()

    def spend(self, caller: Caller, more: int) -> None:
        """Count ``more`` requests against the token's limit, for a list of orders."""
        if caller.token.per_second is not None:
            self._limits.spend(caller.token.id, caller.token.per_second, more)

    def _limit(self, token: Token) -> None:
        wait = 0.0 if token.per_second is None else self._limits.take(token.id, token.per_second)
        if wait > 0:
            detail = f"this token may ask {token.per_second} times a second"
            raise Problem(429, detail, headers={"retry-after": str(math.ceil(wait))})

    async def _authenticate(self, token_id: str, secret: str) -> Token:
        now, token = await self._find_token(token_id)
        if token is None or not token.has_secret(secret) or not token.is_live(now):
            self._known.pop(token_id, None)
            raise _refused("the token is not right, revoked or expired", "invalid_token")
        self._known[token_id] = token
        self._note(token.id)
        return token

    async def _find_token(self, token_id: str) -> tuple[datetime, Token | None]:
        try:
            return await self._reading.ask(token_id)
        except (Overloaded, *UNAVAILABLE) as error:
            log.warning("api.store_away", error=type(error).__name__)
            raise Problem(503, "the database is away or busy", headers={"retry-after": "2"}) from None

    def _read(self, ids: Sequence[str]) -> list[tuple[datetime, Token | None]]:
        now, tokens = self._find(ids)
        return [(now, tokens.get(one)) for one in ids]

    def _note(self, token_id: str) -> None:
        """Note that the token was used. No request waits for that, and nothing depends on it."""
        now = self._clock()
        if now - self._noted.get(token_id, float("-inf")) < NOTE_SECONDS:
            return
        self._noted[token_id] = now
        noting = asyncio.create_task(self._write_note(token_id))
        self._notes.add(noting)
        noting.add_done_callback(self._notes.discard)

    async def _write_note(self, token_id: str) -> None:
        try:
            await self._threads.run(self._note_use, [token_id], seconds=READ_SECONDS)
        except (Overloaded, *UNAVAILABLE) as error:
            self._noted.pop(token_id, None)  # the next request tries again
            log.info("api.use_not_noted", token=token_id, error=type(error).__name__)


def _given(request: Request) -> tuple[str, str]:
    """The token's id and its secret. Raises Problem 401."""
    given = request.headers.getlist("authorization")
    if not given:
        raise _refused("a token is needed: Authorization: Bearer TOKEN", "")
    scheme, _, value = given[0].partition(" ")
    found = _TOKEN.fullmatch(value.strip())
    if len(given) > 1 or scheme.lower() != "bearer" or found is None:
        raise _refused("the token is not right", "invalid_token")
    return found[1], found[2]


def revoked() -> Problem:
    """For a token that was valid and is no more."""
    return _refused("the token is revoked or expired", "invalid_token")


def _refused(detail: str, error: str) -> Problem:
    challenge = f'{CHALLENGE}, error="{error}"' if error else CHALLENGE
    return Problem(401, detail, headers={"www-authenticate": challenge})
