"""Readers of the log beside real workers, while web processes and publishers are killed: each event once, in order."""

from __future__ import annotations

import json
import signal
import threading
import time
from functools import partial

import httpx
import pytest

from tests.acceptance.system import System, nebulox_order, zeroxhost_order
from tests.contracts.log_cases import read_stream

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

ORDERS = 60  #: at each provider
KILLS = 4


class Reader(threading.Thread):
    """Knows no more than the last position it saw, and comes back with it whatever happens."""

    def __init__(self, system, token):
        super().__init__(daemon=True)
        self.system, self.token = system, token
        self.found, self.position, self.failures = [], 0, 0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            try:
                with httpx.Client(base_url=self.system.web_url(), timeout=60, trust_env=False) as client:
                    self.read(client)
            except (httpx.HTTPError, OSError, KeyError, IndexError, json.JSONDecodeError):  # it is down, or begins
                self.failures += 1
            time.sleep(0.05)

    def read(self, client):
        raise NotImplementedError

    def is_beyond(self, position):
        return self.position > position

    def headers(self, accept):
        return {"authorization": f"Bearer {self.token}", "accept": accept}

    def take(self, position, event):
        self.found.append((position, event))
        self.position = position


class Pages(Reader):
    def read(self, client):
        query = {"after": self.position, "limit": 7}
        answered = client.get("/v1/events", params=query, headers=self.headers("application/json")).raise_for_status()
        page = answered.json()
        for one in page["events"]:
            self.take(one["position"], one["event"])
        self.position = page["next"]


class Stream(Reader):
    def read(self, client):
        headers = self.headers("text/event-stream") | {"last-event-id": str(self.position)}
        with client.stream("GET", "/v1/events", headers=headers, timeout=60) as answered:
            answered.raise_for_status()
            for position, event in read_stream(answered.iter_lines()):
                if position == "end" or self.stopping.is_set():
                    return
                self.take(position, event)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_readers_see_each_event_once_and_in_order_though_everything_is_killed(request, tmp_path, kind):
    url = request.getfixturevalue("new_postgres_url") if kind == "postgresql" else None
    with System(tmp_path, database_url=url) as system:
        system.start("intake", "worker", "worker2", "web")
        (made,) = system.command("tokens", "add", "reader", "--scope", "read", "--json")
        readers = [Pages(system, made["token"]), Stream(system, made["token"])]
        for reader in readers:
            reader.start()
        for kill in range(KILLS):
            seen = readers[0].position
            first, last = kill * ORDERS // KILLS, (kill + 1) * ORDERS // KILLS
            system.order(*(nebulox_order(f"n-{n}", lifetime_minutes="0.02") for n in range(first, last)))
            system.order(*(zeroxhost_order(f"z-{n}", "~pay:1~") for n in range(first, last)))
            system.wait_until(partial(readers[0].is_beyond, seen), "a reader sees more")
            system.restart("worker" if kill % 2 else "worker2")
            how = signal.SIGTERM if kill == KILLS - 1 else signal.SIGKILL
            system.kill("web", how)
            system.start("web")
        system.wait_for_statuses(paid=ORDERS, expired=ORDERS, seconds=240)
        newest = system.rows("SELECT count(*) AS n FROM event")[0]["n"]
        for reader in readers:
            system.wait_until(partial(reader.is_beyond, newest - 1), "it has come to the end")
            reader.stopping.set()
        check(system, readers, newest)


def check(system, readers, newest):
    bodies = {row["id"]: json.loads(bytes(row["body"])) for row in system.rows("SELECT id, body FROM event")}
    for reader in readers:
        assert [position for position, _ in reader.found] == list(range(1, newest + 1))
        assert {event["id"]: event for _, event in reader.found} == bodies
        seen: dict[str, int] = {}
        for _, event in reader.found:
            assert int(event["sequence"]) == seen.get(event["subject"], 0) + 1
            seen[event["subject"]] = int(event["sequence"])
        assert reader.failures, "it was cut off"
    snapshot = httpx.get(
        f"{system.web_url()}/v1/snapshot", headers=readers[0].headers("*/*"), timeout=60, trust_env=False
    )
    assert snapshot.headers["snapshot-position"] == str(newest)
    assert {line["status"] for line in map(json.loads, snapshot.text.splitlines())} == {"paid", "expired"}
