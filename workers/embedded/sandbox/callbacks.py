"""Posts callbacks when an invoice changes: in time, late, again, forged or never, as the script says; counts them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import heapq
import itertools
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from workers.embedded.sandbox.invoices import OPEN, Invoice, Invoices
from workers.embedded.sandbox.markers import read_markers
from workers.embedded.sandbox.quirks import Quirks, read_quirks
from workers.embedded.sandbox.script import Script

#: Waits before a callback that was not answered 2xx is posted again. No document says: the sandbox's choice.
REPEAT_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
CALL_SECONDS = 10.0
#: How long a create's answer waits for an `early` callback to be answered.
EARLY_SECONDS = 5.0

MAX_POSTS, MAX_WAITING, MAX_KEPT = 16, 10_000, 100_000


@dataclass(frozen=True, slots=True)
class Style:
    """How a provider calls back. ``seal`` gives the posted body (some providers sign inside it) and its headers."""

    word_of: Callable[[Invoice], str]  #: its word for the invoice's status
    quiet_words: frozenset[str]  #: about which it sends no callback
    final_words: frozenset[str]  #: after which no other comes, so that `reordered` can't hold them back
    write: Callable[[Invoice, str, Quirks], bytes]
    paid_word: str
    forge: Callable[[Invoice], bytes]  #: the body of a forged callback that says ``paid_word``
    seal: Callable[[bytes, str], tuple[bytes, Mapping[str, str]]]


@dataclass(slots=True)
class Callback:
    """One callback. `ended`: waiting, answered (2xx), refused (a forged one, not 2xx), given_up, lost."""

    provider: str
    order_id: str
    ref: str
    word: str
    at: float
    body: bytes
    headers: Mapping[str, str]
    forged: bool = False
    ended: str = "waiting"
    tries: list[dict[str, object]] = field(default_factory=list)
    tried: asyncio.Event = field(default_factory=asyncio.Event)

    def view(self) -> dict[str, object]:
        """The callback as the control address shows it."""
        return {
            "provider": self.provider,
            "order_id": self.order_id,
            "ref": self.ref,
            "word": self.word,
            "at": self.at,
            "forged": self.forged,
            "ended": self.ended,
            "status": self.tries[-1]["status"] if self.tries else None,
            "tries": self.tries,
            "digest": hashlib.sha256(self.body).hexdigest(),
            "signature": ", ".join(self.headers.values()),
            "body": self.body.decode("utf-8", "replace"),
        }


class Courier:
    """Posts one provider's callbacks. Without a URL it does nothing."""

    def __init__(self, key: str, style: Style, invoices: Invoices, script: Script) -> None:
        self._key = key
        self._style = style
        self._words = style.word_of
        self._invoices = invoices
        self._script = script
        self.url: str | None = None
        self.kept: deque[Callback] = deque(maxlen=MAX_KEPT)
        self.counts: Counter[str] = Counter()
        self._due: list[tuple[float, int, Invoice]] = []
        self._numbers = itertools.count()
        self._sooner = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._posts: dict[asyncio.Task[None], Callback] = {}
        self._last: dict[str, Callback] = {}  #: by invoice; the next one is posted after it
        self._held: dict[str, Callback] = {}
        self._places = asyncio.Semaphore(MAX_POSTS)
        self._session: aiohttp.ClientSession | None = None

    async def run(self, application: web.Application) -> AsyncIterator[None]:
        """For as long as the application runs."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS), trust_env=False)
        self.point_at(self.url)
        yield
        tasks = [*self._posts, *([self._watching] if self._watching else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._session.close()

    def point_at(self, url: str | None) -> None:
        """Post there from now on; None: nowhere."""
        self.url = url
        if url is None:
            self._due.clear()
            if self._watching is not None:
                self._watching.cancel()
                self._watching = None
        elif self._watching is None:
            for invoice in self._invoices.newest(0, len(self._invoices), time.time()):
                self._await(invoice)
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    def waiting(self) -> int:
        """How many callbacks are neither answered nor given up."""
        return len(self._posts) + len(self._held)

    def made(self, invoice: Invoice) -> None:
        """A new invoice: post its `early` callback, and wait for its first step."""
        if self.url is None:
            return
        if "early" in self._quirks(invoice, 1):
            self._invoices.advance(invoice, invoice.created_at)
            if invoice.status == OPEN:
                self._tell(invoice)
        self._await(invoice)

    def changed(self, invoice: Invoice) -> None:
        """An invoice has changed: post that, unless its word is a quiet one."""
        if self.url is not None and self._words(invoice) not in self._style.quiet_words:
            self._tell(invoice)

    async def settle(self, ref: str | None) -> None:
        """Wait until the invoice's `early` callback was posted, for at most EARLY_SECONDS."""
        invoice = None if ref is None or self.url is None else self._invoices.find(ref, time.time())
        last = None if invoice is None else self._last.get(invoice.ref)
        if invoice is not None and last is not None and "early" in read_quirks(read_markers(invoice.subject), 1):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(last.tried.wait(), EARLY_SECONDS)

    def send(self, invoice: Invoice, word: str | None, quirks: Quirks) -> list[Callback]:
        """Post one now, without a change; the callbacks that are posted."""
        return self._post(invoice, word or self._words(invoice), quirks)

    def _tell(self, invoice: Invoice) -> None:
        invoice.callbacks += 1
        self._post(invoice, self._words(invoice), self._quirks(invoice, invoice.callbacks))

    def _quirks(self, invoice: Invoice, number: int) -> dict[str, float]:
        quirks = read_quirks(read_markers(invoice.subject), number)
        if number > invoice.callbacks:  # only asked about: no rule may fire yet
            return quirks
        rule = self._script.take_rule(invoice.provider, "callback", invoice.subject)
        return quirks if rule is None else {rule.name: rule.argument, **quirks}

    def _post(self, invoice: Invoice, word: str, quirks: Quirks) -> list[Callback]:
        """Start what the quirks make of one callback: none, one or several."""
        body = self._style.write(invoice, word, quirks)
        right = self._write(invoice, word, body)
        if quirks.get("lost") in {0, invoice.callbacks}:
            self._end(right, "lost")
            self.kept.append(right)
            return [right]
        if "reordered" in quirks and word not in self._style.final_words and invoice.ref not in self._held:
            self.kept.append(right)
            self._held[invoice.ref] = right
            return [right]
        is_forged = "forged" in quirks or "forged_only" in quirks
        going = (
            [self._write(invoice, self._style.paid_word, self._style.forge(invoice), forged=True)] if is_forged else []
        )
        if "forged_only" not in quirks:
            going += [right, *([self._write(invoice, word, body)] if "twice" in quirks else [])]
        self.kept.extend(going)
        held = self._held.pop(invoice.ref, None)
        for callback in (*going, *([held] if held is not None else [])):
            self._start(callback, quirks.get("late", 0.0))
        return going

    def _write(self, invoice: Invoice, word: str, body: bytes, *, forged: bool = False) -> Callback:
        sealed, headers = self._style.seal(body, f"not {self._key}" if forged else self._key)
        return Callback(
            invoice.provider, invoice.order_id, invoice.ref, word, time.time(), sealed, headers, forged=forged
        )

    def _start(self, callback: Callback, late_seconds: float) -> None:
        self.counts["forged" if callback.forged else "sent"] += 1
        if len(self._posts) >= MAX_WAITING:
            self._end(callback, "given_up")
            return
        before = self._last.get(callback.ref)
        self._last[callback.ref] = callback
        task = asyncio.get_running_loop().create_task(self._carry(callback, before, late_seconds))
        self._posts[task] = callback
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        callback = self._posts.pop(task)
        if self._last.get(callback.ref) is callback:
            del self._last[callback.ref]

    async def _carry(self, callback: Callback, before: Callback | None, late_seconds: float) -> None:
        """Post until it is answered. The first attempts of one invoice's callbacks are in order; repeats are not."""
        try:
            await asyncio.sleep(late_seconds)
            if before is not None:
                await before.tried.wait()
            for wait in (0.0, *REPEAT_SECONDS):
                await asyncio.sleep(wait)
                async with self._places:
                    status = await self._call(callback)
                callback.tried.set()
                if status is not None and (callback.forged or 200 <= status < 300):
                    self._end(callback, "answered" if 200 <= status < 300 else "refused")
                    return
            self._end(callback, "given_up")
        finally:
            callback.tried.set()

    async def _call(self, callback: Callback) -> int | None:
        """One attempt: the status that came back; None: no answer."""
        status: int | None = None
        found: dict[str, object] = {"at": time.time(), "status": None, "error": None}
        callback.tries.append(found)
        headers = {**callback.headers, "Content-Type": "application/json"}
        if self._session is None or self.url is None:
            found["error"] = "there is no address"
            return None
        try:
            async with self._session.post(
                self.url, data=callback.body, headers=headers, allow_redirects=False
            ) as answer:
                status = found["status"] = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            found["error"] = type(error).__name__
        return status

    def _end(self, callback: Callback, how: str) -> None:
        callback.ended = how
        self.counts[f"forged_{how}" if callback.forged else how] += 1

    def _await(self, invoice: Invoice) -> None:
        """Look at the invoice when its next step is due."""
        if invoice.plan:
            heapq.heappush(self._due, (invoice.plan[0][0], next(self._numbers), invoice))
            if self._due[0][2] is invoice:
                self._sooner.set()

    async def _watch(self) -> None:
        """Play the steps of invoices when they are due, also when nobody looks at these."""
        while True:
            while self._due and self._due[0][0] <= time.time():
                invoice = heapq.heappop(self._due)[2]
                self._invoices.advance(invoice, time.time())
                self._await(invoice)
            self._sooner.clear()
            seconds = max(self._due[0][0] - time.time(), 0.001) if self._due else None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._sooner.wait(), seconds)
