"""Files of many rows: for as long as whoever asked is signed in, and not too many at a time."""

from __future__ import annotations

import pytest

from tests.console.scene import OPERATOR
from tests.contracts.store_cases import order, take
from workers.store.acts import Act, Deed, record
from workers.web.api.places import Places
from workers.web.problems import Problem

FILES = ["/console/invoices.csv", "/console/audit.csv", "/console/audit.jsonl"]
ROLES = [None, "viewer"]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch, ground, scene):
    """Each file is of several."""
    monkeypatch.setattr("workers.web.console.invoices_csv.PIECE", 5)
    monkeypatch.setattr("workers.web.console.audit.EXPORTED", 5)
    take(scene.store, *(order(f"more-{number}") for number in range(12)))
    with scene.database.transaction() as connection:
        for number in range(12):
            record(connection, scene.database, OPERATOR, [Deed(act=Act.DISMISS, callback_id=number)])


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_sent_to_its_end(ground, file):
    sent = ground.messages(file)

    assert sum(1 for message in sent if message.get("body")) > 3
    assert not sent[-1].get("more_body", False)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("file", FILES)
def test_it_is_broken_off_once_whoever_asked_is_signed_out_or_has_another_role(ground, monkeypatch, file, role):
    gate = ground.served.watching._console.gate

    async def look(request):
        if role is None:
            return None
        request.scope["headers"] = [*request.scope["headers"], (b"x-role", role.encode())]
        request = type(request)(request.scope)
        return await gate.find(request)

    monkeypatch.setattr(gate, "look", look)

    sent = ground.messages(file)

    assert sum(1 for message in sent if message.get("body")) == 1
    assert all(message["more_body"] for message in sent[1:]), "the end of the answer is never told"


@pytest.mark.parametrize("file", FILES)
def test_too_many_at_a_time_are_refused(ground, monkeypatch, file):
    def full(places, name):
        raise Problem(503, "all are taken")

    monkeypatch.setattr(Places, "of", full)
    answered = ground.get(file)

    assert answered.status_code == 503
    assert "Too many pages and downloads are open" in answered.text


@pytest.mark.parametrize("file", [*FILES, "/console/live?of=%2Fconsole%2Finvoices"])
def test_head_reads_no_more_than_its_headers_need(ground, file):
    """A stream has no end: it would hold a connection that sends nothing."""
    start, body = ground.messages(file, "HEAD")

    assert (start["status"], body["body"], body.get("more_body", False)) == (200, b"", False)
    assert len(ground.served.watching.channels) == 0
