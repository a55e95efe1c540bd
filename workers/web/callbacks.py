"""``POST /callbacks/{account}``: check the signature, insert once, answer. What a callback means is judged later."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from domain.account import Account
from domain.evidence import CalledBack
from domain.ports import CallbackUnreadable, Provider
from workers.store.callbacks import NewCallback
from workers.store.database import UNAVAILABLE
from workers.web.bodies import read_body
from workers.web.forged import ForgedSample
from workers.web.gathering import Gathering
from workers.web.metrics import Metrics
from workers.web.problems import problem
from workers.web.shelf import Headers, Shelf
from workers.web.threads import Overloaded, StoreThreads

log = structlog.get_logger()

BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0
#: For the insert: a provider that waits for longer would give up and call again.
STORE_SECONDS = 5.0
#: Callbacks of one insert, and callbacks that wait for the next one: more go to the shelf.
MOST_TOGETHER, MOST_WAITING = 200, 1000
SHELF_SECONDS, SHELF_THREADS = 5.0, 8
#: After a failure callbacks go straight to the shelf for this long, without trying the database.
AWAY_SECONDS = 2.0
#: Headers that are kept with a callback: none that holds a signature or credentials.
KEPT_HEADERS = ("content-type", "user-agent")
MAX_HEADER = 300
#: Headers that no provider signs with and that may hold secrets: not put on the shelf.
PRIVATE = frozenset({"authorization", "cookie", "proxy-authorization"})

#: Stores callbacks; False for one that is stored already. Raises UNAVAILABLE.
Keep = Callable[[Sequence[NewCallback]], list[bool]]


class CallbackDesk:
    """Takes callbacks for the configured accounts. Those that come during an insert share the next one."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        providers: Mapping[str, Provider],
        keep: Keep,
        shelf: Shelf,
        threads: StoreThreads,
        metrics: Metrics,
        forged: ForgedSample,
    ) -> None:
        self._accounts = accounts
        self._providers = providers
        self._keep = keep
        self._keeping: Gathering[NewCallback, bool] = Gathering(
            threads, keep, most=MOST_TOGETHER, most_waiting=MOST_WAITING, seconds=STORE_SECONDS
        )
        self._shelf = shelf
        self._shelf_threads = StoreThreads(SHELF_THREADS)
        self._metrics = metrics
        self._forged = forged
        self._away_until = 0.0  #: the database, by ``perf_counter``

    def routes(self) -> list[Route]:
        """What the application serves of it."""
        return [Route("/callbacks/{account}", self.take, methods=["POST"])]

    async def take(self, request: Request) -> Response:
        """One callback. The answer does not show which accounts there are."""
        began = perf_counter()
        body = await read_body(request, BODY_BYTES, BODY_SECONDS)
        account = self._accounts.get(request.path_params["account"])
        headers = request.headers.items()
        if account is None or not self._is_signed(account, body, headers):
            # Counted, and sampled by another thread: a flood of forged ones costs no more than this.
            self._count("unknown" if account is None else account.name, "forged")
            self._forged.note(request, account.name if account else None, body)
            return problem(401, "the signature is not right")
        try:
            said = self._providers[account.provider].read_callback(body)
        except CallbackUnreadable as error:
            log.warning("callback.unreadable", account=account.name, reason=str(error))
            self._count(account.name, "unreadable")
            return problem(400, str(error))
        if said is None:
            self._count(account.name, "ignored")
            return Response(status_code=200)
        return await self._store(account, _kept(account.name, body, headers, said), headers, began)

    async def _store(self, account: Account, callback: NewCallback, headers: Headers, began: float) -> Response:
        """Store it in the database, or while that is away on the shelf; with both away, ask for it again."""
        outcome = await self._in_database(callback) or await self._on_shelf(account, callback, headers)
        self._count(account.name, outcome or "unavailable")
        self._metrics.callback_seconds[account.name,].observe(perf_counter() - began)
        if outcome is None:
            return problem(503, "not kept: send it again", {"retry-after": "30"})
        return Response(status_code=200)

    async def _in_database(self, callback: NewCallback) -> str | None:
        if perf_counter() < self._away_until:
            return None
        try:
            async with asyncio.timeout(STORE_SECONDS):  # for the wait too: it may wait for one insert, not for two
                is_new = await self._keeping.ask(callback)
        except (Overloaded, TimeoutError, *UNAVAILABLE) as error:
            self._away_until = perf_counter() + AWAY_SECONDS
            log.warning("callback.database_away", account=callback.account, error=type(error).__name__)
            return None
        except Exception:  # a bug, or a callback that no database takes: it waits on the shelf until that is mended
            log.exception("callback.bug", account=callback.account, traceback=True)
            return None
        return "kept" if is_new else "repeated"

    async def _on_shelf(self, account: Account, callback: NewCallback, headers: Headers) -> str | None:
        try:
            kept = [(name, value) for name, value in headers if len(value) <= MAX_HEADER and name not in PRIVATE]
            put = self._shelf.put
            await self._shelf_threads.run(put, account.name, callback.body, kept, seconds=SHELF_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, the provider is to send it again
            log.warning("callback.not_kept", account=account.name, error=type(error).__name__)
            return None
        return "shelved"

    def take_from_shelf(self, account_name: str, body: bytes, headers: Headers) -> None:
        """Store what came while the database was away, unless it is forged or unreadable. Raises UNAVAILABLE."""
        account = self._accounts.get(account_name)
        if account is None or not self._is_signed(account, body, headers):
            self._count("unknown" if account is None else account_name, "forged")
            return
        try:
            said = self._providers[account.provider].read_callback(body)
        except CallbackUnreadable as error:
            log.warning("callback.unreadable", account=account_name, reason=str(error))
            self._count(account_name, "unreadable")
            return
        if said is not None:
            self._keep([_kept(account_name, body, headers, said)])

    def _is_signed(self, account: Account, body: bytes, headers: Headers) -> bool:
        return self._providers[account.provider].verify_callback(body, headers, account)

    def _count(self, account: str, outcome: str) -> None:
        self._metrics.callbacks[account, outcome].inc()


def _kept(account: str, body: bytes, headers: Headers, said: CalledBack) -> NewCallback:
    shown = {name: value[:MAX_HEADER] for name, value in headers if name.lower() in KEPT_HEADERS}
    return NewCallback(
        account=account,
        digest=hashlib.sha256(body).hexdigest(),
        body=body,
        headers=json.dumps(shown),
        order_id=said.order_id,
        reference=said.reference,
        word=said.word,
        amount=said.paid_amount,
    )
