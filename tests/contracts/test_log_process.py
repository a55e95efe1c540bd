"""The log of a web process over real sockets, on both databases: live streams, a stop, a kill, coming back."""

from __future__ import annotations

import json
import signal

from domain.permissions import Scope
from tests.contracts.log_cases import place, read_stream
from tests.contracts.store_cases import judge, pend, seen
from tests.contracts.web_process import SLOWLY_ON_BOTH, Web
from tests.servers import wait_until

pytestmark = SLOWLY_ON_BOTH

SSE = {"accept": "text/event-stream"}


def test_a_stream_goes_on_live_and_ends_with_a_graceful_stop_that_takes_no_time(site):
    ids = pend(site.store, 2)
    place(site.store)
    with site.client(site.token(Scope.READ)) as client, client.stream("GET", "/v1/events", headers=SSE) as answered:
        assert answered.headers["content-type"].startswith("text/event-stream")
        events = read_stream(answered.iter_lines())
        assert [next(events)[0], next(events)[0]] == [1, 2]
        judge(site.store, ids[0], seen("paid"))
        place(site.store)
        position, told = next(events)
        assert (position, told["type"], told["subject"]) == (3, "invoice.paid", ids[0])
        site.web.process.send(signal.SIGTERM)
        assert list(events) == [("end", {"why": "stop", "after": 3})]
    wait_until(lambda: not site.web.process.runs(), "it has ended")
    assert site.web.process._process.returncode == 0
    assert site.web.lines("web.bug") == []


def test_after_a_kill_a_reader_goes_on_after_its_last_id(site, tmp_path):
    token = site.token(Scope.READ)
    pend(site.store, 3)
    place(site.store)
    found = []
    with site.client(token) as client, client.stream("GET", "/v1/events?after=1", headers=SSE) as answered:
        events = read_stream(answered.iter_lines())
        found += [next(events)[0], next(events)[0]]
        site.web.process.end()
    pend(site.store, 2)
    place(site.store)
    site.web = Web(tmp_path, **site.settings)
    headers = SSE | {"last-event-id": str(found[-1])}
    with site.client(token) as client, client.stream("GET", "/v1/events?after=1", headers=headers) as answered:
        events = read_stream(answered.iter_lines())
        found += [next(events)[0], next(events)[0]]
    assert found == [2, 3, 4, 5]


def test_a_snapshot_and_the_pages_after_it_are_the_whole(site):
    ids = pend(site.store, 3)
    place(site.store)
    with site.client(site.token(Scope.READ)) as client:
        snapshot = client.get("/v1/snapshot")
        known = {line["id"]: line["status"] for line in map(json.loads, snapshot.text.splitlines())}
        assert known == dict.fromkeys(ids, "pending")
        judge(site.store, ids[0], seen("paid"))
        place(site.store)
        page = client.get("/v1/events", params={"after": snapshot.headers["snapshot-position"]}).json()
        assert [(one["event"]["subject"], one["event"]["type"]) for one in page["events"]] == [(ids[0], "invoice.paid")]
        assert client.get("/v1/events?after=1000").status_code == 410
