"""The sandbox's webhook receiver, as a real process: it believes only what is signed, fresh and new."""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from standardwebhooks import Webhook

from workers.embedded.sandbox.process import SandboxProcess

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(os.urandom(32)).decode()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess("--receiver-secret", SECRET) as process:
        yield process


@pytest.fixture
def url(sandbox):
    """A receiver of this test's own."""
    return sandbox.receiver_url(uuid4().hex)


def ask(url, body=None, *, method=None, headers=None):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers or {}, method=method)
    opener = urllib.request.build_opener(NoRedirect)
    try:
        with opener.open(request, timeout=60) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None, answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null"), error.headers


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def event(subject="inv-1", sequence=1, kind="invoice.pending", **fields):
    return {
        "specversion": "1.0",
        "id": f"evt_{uuid4().hex}",
        "type": kind,
        "subject": subject,
        "sequence": f"{sequence:012d}",
        **fields,
    }


def deliver(url, envelope, *, secret=SECRET, at=None, signature=None, body=None):
    """The status of an event sent as Standard Webhooks says, signed by its own reference library."""
    at = at or datetime.now(UTC)
    text = json.dumps(envelope) if body is None else body
    signed = signature or Webhook(secret).sign(envelope["id"], at, text)
    headers = {
        "webhook-id": envelope["id"],
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signed,
        "content-type": "application/json",
    }
    return ask(url, text.encode(), headers=headers)[0]


def test_a_good_signature_is_taken_with_204(url):
    assert deliver(url, event()) == 204
    summary = ask(url)[1]
    assert (summary["received"], summary["valid"], summary["unique"], summary["invalid"]) == (1, 1, 1, 0)
    assert (summary["types"], summary["subjects"]) == ({"invoice.pending": 1}, 1)


def test_a_signature_of_another_key_is_refused(url):
    assert deliver(url, event(), secret=OTHER) == 401
    summary = ask(url)[1]
    assert (summary["received"], summary["valid"], summary["invalid"]) == (1, 0, 1)
    assert summary["invalid_reasons"] == {"webhook-signature: matches no secret of this receiver": 1}


def test_one_changed_byte_is_refused(url):
    envelope = event()
    signature = Webhook(SECRET).sign(envelope["id"], datetime.now(UTC), json.dumps(envelope))
    assert deliver(url, envelope, signature=signature, body=json.dumps({**envelope, "type": "invoice.paid"})) == 401


@pytest.mark.parametrize("signature", ["", "nonsense", "v1,", "v2,abc", "v1,\u00e4", "v1a,abc v1,abc"])
def test_what_is_no_signature_is_refused(url, signature):
    assert deliver(url, event(), signature=signature or " ") == 401


@pytest.mark.parametrize("age", [timedelta(minutes=6), timedelta(minutes=-6)])
def test_a_timestamp_far_from_now_is_refused(url, age):
    assert deliver(url, event(), at=datetime.now(UTC) - age) == 401


def test_headers_that_are_missing_are_refused(url):
    assert ask(url, event())[0] == 401


def test_any_of_several_signatures_and_secrets_will_do(url):
    assert ask(url + "/secret", {"secret": OTHER})[1] == {"secrets": 1}
    envelope = event()
    at, text = datetime.now(UTC), json.dumps(envelope)
    both = "v1,AAAA " + Webhook(OTHER).sign(envelope["id"], at, text)
    assert deliver(url, envelope, at=at, signature=both) == 204
    assert deliver(url, event(sequence=2)) == 204


@pytest.mark.parametrize("body", [{"secret": "hush"}, {"secret": 5}, {}, {"secret": "whsec_"}, [1]])
def test_a_secret_that_cannot_be_read_is_refused_without_repeating_it(url, body):
    status, answer, _ = ask(url + "/secret", body)
    assert status == 400
    assert "hush" not in answer["error"]


def test_a_signed_body_that_is_no_object_is_refused(url):
    assert deliver(url, {"id": "evt_1"}, body="[1, 2]") == 400
    assert ask(url)[1]["invalid"] == 1


def test_a_repeat_is_counted_and_otherwise_ignored(url):
    envelope = event()
    assert [deliver(url, envelope) for _ in range(3)] == [204, 204, 204]
    summary = ask(url)[1]
    assert (summary["received"], summary["valid"], summary["unique"], summary["duplicates"]) == (3, 3, 1, 2)
    assert summary["out_of_order"] == 0


def test_gaps_and_steps_back_are_told_per_subject(url):
    for subject, sequence in (("a", 1), ("b", 1), ("a", 2), ("b", 3), ("b", 2), ("a", 3)):
        deliver(url, event(subject, sequence))
    summary = ask(url)[1]
    assert (summary["gaps"], summary["out_of_order"], summary["subjects"]) == (1, 1, 2)
    assert summary["notes"] == [
        "b: invoice.pending has sequence 3, expected 2",
        "b: invoice.pending has sequence 2 after 3",
    ]
    assert ask(url + "/subjects")[1]["a"] == {"sequence": 3, "type": "invoice.pending"}


def test_envelopes_are_shown_as_they_came_in_order_of_arrival(url):
    sent = [event(sequence=number, data={"price": "12.50"}) for number in (1, 2, 3)]
    for envelope in sent:
        deliver(url, envelope)
    assert ask(url + "/events")[1] == sent


def test_faults_answer_badly_and_then_the_event_is_taken(url):
    ask(url + "/faults", {"status": 503, "times": 2, "retry_after": 9})
    ask(url + "/faults", {"status": 302, "times": 1})
    envelope = event()
    assert [deliver(url, envelope) for _ in range(4)] == [503, 503, 302, 204]
    summary = ask(url)[1]
    assert (summary["received"], summary["faulted"], summary["unique"], summary["duplicates"]) == (4, 3, 1, 0)


def test_a_fault_tells_when_to_come_again(url):
    ask(url + "/faults", {"status": 429, "retry_after": 9})
    assert ask(url, b"{}")[2]["Retry-After"] == "9"
    assert ask(url + "/faults", method="DELETE")[1] == {"faults": []}
    assert deliver(url, event()) == 204


def test_a_fault_may_keep_the_event_and_deny_it(url):
    ask(url + "/faults", {"status": 500, "times": 1, "keep": True, "delay_seconds": 0.05})
    envelope = event()
    assert [deliver(url, envelope) for _ in range(2)] == [500, 204]
    assert ask(url)[1]["duplicates"] == 1


def test_a_fault_may_be_for_each_event_once(url):
    """With few events a second refusal of one means minutes until it comes again."""
    ask(url + "/faults", {"status": 500, "times": 2, "once": True})
    one, two = event(), event(subject="b")
    assert [deliver(url, each) for each in (one, one, two, two)] == [500, 204, 500, 204]
    assert ask(url + "/faults")[1] == {"faults": []}


@pytest.mark.parametrize(
    ("body", "field"),
    [({"status": 99}, "status"), ({"times": 0}, "times"), ({"delay_seconds": -1}, "delay_seconds"), ({"x": 1}, "x")],
)
def test_a_bad_fault_is_refused_with_the_field_named(url, body, field):
    status, answer, _ = ask(url + "/faults", body)
    assert status == 400
    assert answer["error"].startswith(f"{field}: ")


def test_forgetting_keeps_the_secrets(url):
    ask(url + "/secret", {"secret": OTHER})
    deliver(url, event(), secret=OTHER)
    assert ask(url, method="DELETE")[1] == {"forgotten": 1}
    assert ask(url)[1]["received"] == 0
    assert deliver(url, event(), secret=OTHER) == 204
