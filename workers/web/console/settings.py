"""``/console/settings``: what this installation was told, where from, what runs, and how far the stream is."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.permissions import Action
from domain.told_setting import ToldSetting
from domain.why.processes import GONE, Crew
from workers.shipped import VERSION
from workers.store.reads.processes import read_crew
from workers.store.reads.stream import Untold, read_untold
from workers.store.release import Standing, read_standing
from workers.web.console.console import Console, read_filter
from workers.web.console.person import Person
from workers.web.console.refusals import Refused

PLACE = "/console/settings"
LIVE_SECONDS = 5.0
#: How many processes are shown: those seen last.
SHOWN = 50
#: Documents of ours, by what they are about.
DOCUMENTS = (
    ("Every setting", "deploy/SETTINGS.md"),
    ("When something is wrong", "deploy/ON_CALL.md"),
    ("Brokers", "deploy/BROKERS.md"),
    ("Backups and restores", "deploy/BACKUP.md"),
    ("Metrics", "deploy/METRICS.md"),
    ("The HTTP interface", "deploy/API.md"),
)


@dataclass(frozen=True, slots=True)
class Running:
    """What is read for the page."""

    now: datetime
    crew: Crew
    untold: Untold
    standing: Standing


class SettingsPage:
    """The page. For those who may do everything, everywhere: it names every account and every process."""

    def __init__(self, console: Console, settings: Sequence[ToldSetting]) -> None:
        self._console = console
        self._settings = settings

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [self._console.route(PLACE, self.page, Action.TOKENS, live_seconds=LIVE_SECONDS)]

    async def page(self, request: Request, person: Person) -> Response:
        """As things are."""
        read_filter(request, ())
        if person.accounts is not None:
            raise Refused(403, "You may not see the settings", "They are of all accounts, and you see some only.")
        running = await self._console.ask(self._read)
        seen = [one for one in running.crew.processes if abs(running.now - one.seen_at) <= GONE]
        others = [one for one in running.crew.processes if one not in seen]
        return await self._console.draw(
            request,
            person,
            "settings.html",
            settings=self._settings,
            running=running,
            seen=sorted(seen, key=lambda one: (one.role, one.name))[:SHOWN],
            gone=others[: SHOWN // 5],
            database="PostgreSQL" if self._console.store.database.is_postgresql else "SQLite",
            version=VERSION,
            python=platform.python_version(),
            documents=DOCUMENTS,
        )

    def _read(self) -> Running:
        database = self._console.store.database
        now = database.time()
        crew, untold = database.read(partial(read_crew, now=now)), database.read(partial(read_untold, now=now))
        return Running(now, crew, untold, database.read(read_standing))
