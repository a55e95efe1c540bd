"""Finds in the log of `invoices up` when everything is ready, and then says what to try."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from workers.embedded.listening import read_listening

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.embedded.procfile import ProcessSpec

#: What a process logs once it works, by the first letters of its name in the Procfile.
SIGNS = {
    "intake": "intake.started",
    "worker": "pump.started",
    "web": "web.listening",
    "sandbox": '"listening"',
}


_LISTENING = re.compile(r'^\{"listening": "(http://[^"]+?)/?"\}$')


class Readiness:
    """Passes lines of the log on, and says once when everything is ready."""

    def __init__(
        self,
        processes: Iterable[ProcessSpec],
        text: str,
        passed_on: Callable[[str], None],
        *,
        in_words: bool = False,
        way_in: Callable[[str], str] | None = None,
    ) -> None:
        """``in_words``: print the sandbox's line for people, like other lines behind its process's name. ``way_in``:
        what to say of the console, given the web process's URL."""
        names = [spec.name for spec in processes]
        self._in_words, self._sandbox = in_words, "sandbox".ljust(max(map(len, names)))
        kinds = {kind: sum(name.startswith(kind) for name in names) for kind in SIGNS}
        self._waited_for = {SIGNS[kind]: count for kind, count in kinds.items() if count}
        self._text = text
        self._way_in = way_in
        self._url: str | None = None
        self._pass_on = passed_on
        self._began = time.monotonic()
        self._is_told = not self._waited_for

    def take(self, line: str) -> None:
        """One line of the merged log."""
        listening = _LISTENING.match(line) if self._in_words else None
        self._pass_on(line if listening is None else f"{self._sandbox} | listening on {listening[1]}/")
        if self._is_told:
            return
        self._url = read_listening(line) or self._url
        for sign in [sign for sign in self._waited_for if sign in line]:
            self._waited_for[sign] -= 1
            if not self._waited_for[sign]:
                del self._waited_for[sign]
        if not self._waited_for and (self._way_in is None or self._url is not None):
            self._tell()

    def _tell(self) -> None:
        self._is_told = True
        seconds = time.monotonic() - self._began
        print(self._text.format(seconds=seconds), file=sys.stderr, flush=True)
        if self._way_in is not None and self._url is not None:
            print(self._way_in(self._url), file=sys.stderr, flush=True)


def what_to_try(config: Settings, *, at_sandbox: bool) -> str:
    """The message, with room for ``seconds``."""
    ready = "invoices is ready after {seconds:.0f} s; Ctrl-C stops it."
    if not at_sandbox:
        return f"{ready} In another shell: invoices doctor, invoices watch"
    account = next((name for name, each in sorted(config.accounts.items()) if each.provider == "nebulox"), None)
    order = (
        f"  invoices enqueue --account {account} --order-id order-1~pay:2~ --price 19.99 --currency EUR\n"
        if account is not None
        else ""
    )
    return f"{ready} Try in another shell:\n{order}  invoices watch\n  invoices doctor"
