"""Where the sandbox posts callbacks under `up` and `demo`, and what the demo's summary makes of them."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from config.settings import load_settings
from workers.cli.demo import report
from workers.cli.sandbox_callbacks import callback_urls
from workers.embedded.listening import read_listening


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("web    | listening on http://127.0.0.1:41041/", "http://127.0.0.1:41041"),
        ("web2 | listening on http://0.0.0.0:8420/", "http://127.0.0.1:8420"),
        ("web | listening on http://[::]:8420/", "http://[::1]:8420"),
        ("worker | listening on http://127.0.0.1:1/", None),
        ('{"event": "web.listening", "url": "http://127.0.0.1:1"}', None),
        ("web | starting", None),
    ],
)
def test_the_web_processes_own_line_says_where_it_listens(line, url):
    assert read_listening(line) == url


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:8420/callbacks/nebulox"),
        ({"INVOICES_WEB_HOST": "0.0.0.0", "INVOICES_WEB_PORT": "9000"}, "http://127.0.0.1:9000/callbacks/nebulox"),
        ({"INVOICES_WEB_PORT": "0"}, None),
        (
            {
                "INVOICES_ACCOUNTS": '{"shop": {"provider": "nebulox", "base_url": "https://api.nebulox.io", '
                '"api_key": "k"}}'
            },
            None,
        ),
    ],
)
def test_the_address_follows_from_the_settings(settings, url, tmp_path):
    urls = callback_urls(load_settings({"INVOICES_HOME": str(tmp_path), **settings}))
    assert urls == ({} if url is None else {"nebulox": url})


def posted(*callbacks, **counts):
    """What the control address tells."""
    told = Counter({"sent": 0, "answered": 0, "lost": 0, "forged": 0, "forged_refused": 0}) + Counter(counts)
    return {
        **dict.fromkeys(("sent", "answered", "lost", "forged", "forged_refused"), 0),
        **told,
        "callbacks": callbacks,
    }


def answered(digest):
    return {"digest": digest, "ended": "answered", "forged": False, "status": 200}


def forged(digest, status=401):
    return {"digest": digest, "ended": "refused", "forged": True, "status": status}


@pytest.mark.parametrize(
    ("callbacks", "counts", "kept", "holds"),
    [
        ([answered("a"), answered("a"), answered("b")], {"sent": 3, "answered": 3}, "ab", True),
        ([answered("a")], {"sent": 2, "answered": 1}, "a", False),  # one was not answered
        ([answered("a")], {"sent": 1, "answered": 1}, "", False),  # one was answered, and is not kept
        ([answered("a")], {"sent": 1, "answered": 1}, "ab", False),  # one is kept that nobody sent
        ([answered("a")], {"sent": 1, "answered": 1}, "aa", False),  # a repeat is kept twice
    ],
)
def test_the_demo_holds_what_was_answered_against_what_is_kept(callbacks, counts, kept, holds):
    assert report._check_callbacks(posted(*callbacks, **counts), Counter(kept)).holds is holds


@pytest.mark.parametrize(
    ("callbacks", "counts", "kept", "holds"),
    [
        ([forged("f")], {"forged": 1, "forged_refused": 1}, "a", True),
        ([forged("f")], {"forged": 1, "forged_refused": 1}, "af", False),
        ([forged("f", 403)], {"forged": 1, "forged_refused": 1}, "a", False),
        ([forged("f")], {"forged": 1}, "a", False),
    ],
)
def test_the_demo_does_not_hold_where_a_forged_callback_was_taken(callbacks, counts, kept, holds):
    assert report._check_forged(posted(*callbacks, **counts), Counter(kept)).holds is holds


def test_the_demo_does_not_hold_where_a_nebulox_order_was_not_paid():
    order = SimpleNamespace(account="nebulox", kind=SimpleNamespace(ends="paid"), fields={"order_id": "d-1"})
    for status, holds in (("paid", True), ("expired", False)):
        row = SimpleNamespace(status=status, anomaly=None, id="inv_1")
        check = report._check_called_back("nebulox", [order], {"d-1": row}, set())  # type: ignore[list-item]
        assert check.holds is holds
