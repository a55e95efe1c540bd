"""Of Celery's remote control only what reads is taken, and what is read holds no secret and no order."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from celery.worker.control import Panel

from config.logging import redact_value
from workers.transport.remote_control import NOT_SHOWN, READING, REFUSED, limit_handlers

CHANGING = sorted(name for name, info in Panel.meta.items() if info.type == "control")


def limited(allowed="read", **handlers):
    found = {**Panel.data, **handlers}
    limit_handlers(found, allowed, redact_value)
    return found


@pytest.mark.parametrize("name", [*CHANGING, "objgraph", "memdump", "memsample", "a_new_one"])
def test_what_changes_a_worker_is_refused(name):
    def handler(*_, **__):
        pytest.fail("it was called")

    handlers = limited(**{name: handler})
    assert handlers[name](SimpleNamespace(), queue="x", anything=1) == {"error": REFUSED}


@pytest.mark.parametrize("name", CHANGING)
def test_everything_is_taken_where_it_is_allowed(name):
    assert limited("all")[name] is Panel.data[name]


def test_every_command_is_known_to_read_or_is_refused():
    refused = {name for name, handler in limited().items() if handler is not Panel.data[name]} - READING
    assert refused | READING == set(Panel.data)
    assert {"shutdown", "cancel_consumer", "add_consumer", "revoke", "terminate", "rate_limit", "election"} <= refused
    assert {"pool_grow", "pool_shrink", "pool_restart", "autoscale", "time_limit", "enable_events"} <= refused


def test_a_greeting_does_not_revoke_a_task():
    state = SimpleNamespace(hostname="me", app=SimpleNamespace(clock=SimpleNamespace(forward=lambda: 7)))
    hello = limited()["hello"]
    assert hello(state, from_node="other", revoked={"task-1": 1}) == {"revoked": [], "clock": 7}
    assert hello(state, from_node="me") is None


def test_what_is_read_shows_no_password_wherever_it_stands():
    reply = {
        "broker": {
            "hostname": "sentinel://:pa55word-1@a:1/0;sentinel://:pa55word-1@b:2/0",
            "transport_options": {"sentinel_kwargs": {"password": "pa55word-2"}, "master_name": "m"},
            "alternates": ["redis://user:pa55word-3@host/0"],
        },
        "total": {"invoices.sweep": 5},
    }
    for name in ("stats", "conf", "report"):
        answer = limited(**{name: lambda _: reply})[name](None)
        assert "pa55word" not in json.dumps(answer)
        assert answer["total"] == {"invoices.sweep": 5}
        assert answer["broker"]["transport_options"]["master_name"] == "m"


def test_what_is_read_shows_no_order():
    request = {"id": "1", "name": "invoices.create", "args": [{"price": "1"}], "kwargs": {"x": 1}, "worker_pid": 1}
    for name, reply in {
        "active": [request],
        "reserved": [request],
        "scheduled": [{"request": request}],
        "query_task": {"1": ["active", request]},
    }.items():
        handler = limited(**{name: lambda _, reply=reply, **__: reply})[name]
        answer = json.dumps(handler(None))
        assert "price" not in answer
        assert answer.count(NOT_SHOWN) == 2
        assert "invoices.create" in answer


def test_only_harmless_fields_of_tasks_can_be_asked_for():
    asked = []
    handler = limited(registered=lambda _, taskinfoitems=None: asked.append(taskinfoitems))["registered"]
    handler(None, taskinfoitems=["app", "rate_limit", "request", 7])
    handler(None, taskinfoitems="app")
    assert asked == [["rate_limit"], []]
