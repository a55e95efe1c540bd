"""``/health/live`` and ``/health/ready``, for orchestrators. No secrets, no token; business health decides nothing."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from workers.store.database import UNAVAILABLE
from workers.store.release import SchemaTooOld
from workers.web.threads import Overloaded, StoreThreads

#: A check that takes longer has failed. A result is used again for a second, so that probes cost next to nothing.
CHECK_SECONDS = 3.0
KEEP_SECONDS = 1.0
#: The verdict on the whole system is read rarely: it costs more, and nobody acts on it within seconds.
VERDICT_SECONDS, KEEP_VERDICT_SECONDS = 1.0, 10.0

#: Raises SchemaTooOld or one of UNAVAILABLE where the database can't be worked with.
CheckDatabase = Callable[[], object]
#: Raises anything where Redis is away.
CheckRedis = Callable[[], object]
#: OK, DEGRADED or STALLED. Raises one of UNAVAILABLE.
ReadVerdict = Callable[[], str]


class Health:
    """The two pages."""

    def __init__(
        self,
        threads: StoreThreads,
        check_database: CheckDatabase,
        check_redis: CheckRedis,
        read_verdict: ReadVerdict | None = None,
    ) -> None:
        self._threads = threads
        self._checks: Mapping[str, Callable[[], object]] = {"database": check_database, "redis": check_redis}
        self._known: tuple[float, dict[str, str]] = (float("-inf"), {})
        self._read_verdict = read_verdict
        self._verdict: tuple[float, str] = (float("-inf"), "")
        self._reading = threading.Lock()
        self._looking = asyncio.Lock()

    async def live(self, request: Request) -> Response:
        """This process answers."""
        return _answer(200, {"status": "ok", "parts": {"web": "ok"}})

    async def ready(self, request: Request) -> Response:
        """200 when the database answers and is migrated. Redis and business health are told, and decide nothing."""
        async with self._looking:
            if time.monotonic() - self._known[0] > KEEP_SECONDS:
                found = await asyncio.gather(*(self._look(name) for name in self._checks))
                self._known = (
                    time.monotonic(),
                    dict(zip(self._checks, found, strict=True)) | await self._business(found[0]),
                )
        parts = self._known[1]
        is_ready = parts["database"] == "ok"
        return _answer(200 if is_ready else 503, {"status": "ok" if is_ready else "not ready", "parts": parts})

    async def _business(self, database: str) -> dict[str, str]:
        """The verdict on the whole system, where the database can be asked."""
        if self._read_verdict is None or database != "ok":
            return {}
        if time.monotonic() - self._verdict[0] > KEEP_VERDICT_SECONDS:
            try:
                verdict = await self._threads.run(self._read_alone, self._read_verdict, seconds=VERDICT_SECONDS)
            except Exception as error:  # noqa: BLE001 - it decides nothing: whatever is wrong with it, the page answers
                kind = Overloaded if isinstance(error, Overloaded) else type(error)
                verdict = f"unknown ({kind.__name__})"
            self._verdict = time.monotonic(), verdict
        return {"business": self._verdict[1]}

    def _read_alone(self, read: ReadVerdict) -> str:
        """One read at a time: reads that nobody waits for any more must not use up the threads of requests."""
        if not self._reading.acquire(blocking=False):
            raise Overloaded("the look before this one is not over")
        try:
            return read()
        finally:
            self._reading.release()

    async def _look(self, name: str) -> str:
        try:
            await self._threads.run(self._checks[name], seconds=CHECK_SECONDS)
        except SchemaTooOld as error:
            return str(error)
        except (Overloaded, *UNAVAILABLE) as error:
            return f"away ({type(error).__name__})"
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a part, the page says so
            return f"failed ({type(error).__name__})"
        return "ok"


def _answer(status: int, content: Mapping[str, object]) -> Response:
    return Response(json.dumps(content), status, {"cache-control": "no-store"}, media_type="application/json")
