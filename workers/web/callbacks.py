"""``POST /callbacks/{account}``: signature first, then one insert, then the answer. What it means is judged later."""

from __future__ import annotations

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
from workers.web.metrics import Metrics
from workers.web.problems import problem
from workers.web.threads import Overloaded, StoreThreads

log = structlog.get_logger()

BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0
#: The insert's; a provider that waits for longer would give up and call again.
STORE_SECONDS = 5.0
#: Headers that are kept with a callback: what tells of its way, nothing that signs or signs in.
KEPT_HEADERS = ("content-type", "user-agent")
MAX_HEADER = 300

#: Keeps callbacks; False for one that is kept already. Raises UNAVAILABLE.
Keep = Callable[[Sequence[NewCallback]], list[bool]]


class CallbackDesk:
    """Takes providers' callbacks for the configured accounts."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        providers: Mapping[str, Provider],
        keep: Keep,
        threads: StoreThreads,
        metrics: Metrics,
    ) -> None:
        self._accounts = accounts
        self._providers = providers
        self._keep = keep
        self._threads = threads
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """What the application serves of it."""
        return [Route("/callbacks/{account}", self.take, methods=["POST"])]

    async def take(self, request: Request) -> Response:
        """One callback. Nobody learns from the answer which accounts there are."""
        began = perf_counter()
        body = await read_body(request, BODY_BYTES, BODY_SECONDS)
        account = self._accounts.get(request.path_params["account"])
        headers = request.headers.items()
        if account is None or not self._is_signed(account, body, headers):
            # Counted only: a flood of forged ones costs nothing but this.
            self._count("unknown" if account is None else account.name, "forged")
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
        return await self._store(account, _kept(account.name, body, headers, said), began)

    async def _store(self, account: Account, callback: NewCallback, began: float) -> Response:
        try:
            (is_new,) = await self._threads.run(self._keep, [callback], seconds=STORE_SECONDS)
        except (Overloaded, *UNAVAILABLE) as error:
            log.warning("callback.not_kept", account=account.name, error=type(error).__name__)
            self._count(account.name, "unavailable")
            return problem(503, "not kept: send it again", {"retry-after": "30"})
        self._count(account.name, "kept" if is_new else "repeated")
        self._metrics.callback_seconds.labels(account.name).observe(perf_counter() - began)
        return Response(status_code=200)

    def _is_signed(self, account: Account, body: bytes, headers: Sequence[tuple[str, str]]) -> bool:
        return self._providers[account.provider].verify_callback(body, headers, account)

    def _count(self, account: str, outcome: str) -> None:
        self._metrics.callbacks.labels(account, outcome).inc()


def _kept(account: str, body: bytes, headers: Sequence[tuple[str, str]], said: CalledBack) -> NewCallback:
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
