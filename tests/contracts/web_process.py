"""`invoices web` as a process over real sockets, and a site: the process, its database, the command beside it."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import socket
import sys
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.contracts.store_cases import created, judge, open_store
from tests.least_privilege import asked_for
from tests.nursery import shared
from tests.servers import START_SECONDS, Server, wait_until
from workers.embedded.valkey import stop_valkey
from workers.store.acts import Actor
from workers.store.database import Database
from workers.store.operate.tokens import NewToken, add

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "workers.cli", "web"]
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#: What is about a process rather than its database is shown on SQLite; on PostgreSQL too by the slower tests.
SLOWLY_ON_BOTH = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.engines)], indirect=True
)
ORDER = {"account": "nebulox", "order_id": "1001", "price": "10.50", "currency": "EUR"}


class ByFork:
    """A server of the nursery's, as `Server` is."""

    def __init__(self, command, log, environment):
        self._process = shared().start(command, environment, log)

    def runs(self):
        return self._process.poll() is None

    def send(self, what):
        self._process.send_signal(what)

    def end(self, how=signal.SIGKILL):
        self._process.send_signal(how)
        return self._process.wait(START_SECONDS)


class Web:
    """The process, and where it listens. ``cold``: started by an interpreter of its own, as in production."""

    def __init__(self, home, *, cold=False, **settings):
        self.log = home / f"web-{len(list(home.glob('web-*.log')))}.log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
        ours = {"INVOICES_HOME": str(home), "INVOICES_WEB_PORT": "0", "INVOICES_LOG_FORMAT": "json"}
        self.environment = inherited | ours | settings
        if login := _login(settings.get("INVOICES_DATABASE_URL")):
            self.environment["INVOICES_DATABASE_URL"] = login
        given = (self.log, self.environment)
        self.process = Server(COMMAND, *given) if cold else ByFork(["invoices", "web"], *given)
        wait_until(lambda: not self.process.runs() or self._told(), "the web process listens")
        self.url = self._told()[0] if self._told() else ""

    def _told(self):
        return re.findall(r"listening on (http://[0-9.:]+)/", self.log.read_text())

    def lines(self, event):
        found = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == event]

    def connect(self):
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return socket.create_connection((host, int(port)), timeout=60)


@functools.cache
def _login(database_url):
    """The web process's own, where the environment asks for rights; it stays as long as the server."""
    logins = asked_for(database_url)
    if logins is None:
        return None
    logins.create()
    return logins.url("web")


def ask(url):
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


class Site:
    """A web process on a database of its own, and the command beside it."""

    def __init__(self, home, database_url, **settings):
        self.home = home
        self.settings = {"INVOICES_DATABASE_URL": database_url, "INVOICES_SECRET_KEY": KEY} | settings
        self.web = Web(home, **self.settings)
        self.database = Database(database_url)
        self.store = open_store(self.database)

    def invoices(self, *arguments):
        """The command; its output as JSON Lines."""
        ran = shared().run(["invoices", *arguments], self.web.environment, 120)
        assert ran.returncode == 0, ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]

    def token(self, *scopes):
        """Made without the command, which takes longer."""
        return add(self.store, Actor("admin", "tests"), NewToken("shop", scopes))[1]

    def client(self, token):
        return httpx.Client(
            base_url=self.web.url, headers={"authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        )

    def pend(self, invoice_id):
        judge(self.store, invoice_id, created(pay_amount=Decimal("0.0358619204")))

    def close(self):
        """End its processes."""
        self.web.process.end()
        self.database.close()
        stop_valkey(self.home)
