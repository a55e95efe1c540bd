"""Logs: shape, and that no secret gets into one."""

from __future__ import annotations

import io
import json
import logging
from decimal import Decimal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from config import logging as logs
from domain.account import Account
from domain.decision import Stage


class Events:
    """What was logged so far."""

    def __init__(self):
        self.out = io.StringIO()

    def configure(self, level="info", log_format="json"):
        logs.configure_logging(log_format, level, self.out)

    def text(self):
        return self.out.getvalue()

    def __call__(self):
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture
def events(monkeypatch, own_logging):
    """JSON logs into memory."""
    monkeypatch.setattr(logs, "_REGISTER", logs._Register())
    read = Events()
    read.configure()
    return read


def test_an_event_is_one_json_object_with_its_bound_context(events):
    with structlog.contextvars.bound_contextvars(task_id="t1"):
        structlog.get_logger().info("order.accepted", order_id="ä1", price=Decimal("0.1000000000000000055"))

    (event,) = events()
    assert event.pop("at").endswith("Z")
    assert event == {
        "event": "order.accepted",
        "level": "info",
        "task_id": "t1",
        "order_id": "ä1",
        "price": "0.1000000000000000055",
    }


def test_records_of_libraries_go_the_same_way(events):
    with structlog.contextvars.bound_contextvars(task_id="t1"):
        logging.getLogger("kombu.connection").warning("lost %s", "redis://:hidden-pw@h/0")

    (event,) = events()
    assert (event["event"], event["logger"], event["task_id"]) == ("lost redis://***@h/0", "kombu.connection", "t1")


@pytest.mark.parametrize(
    "key",
    ["api_key", "apiKey", "x-api-key", "X-API-KEY", "secret", "secrets", "client_secret", "password", "Authorization",
     "token", "lease_token", "webhook-signature", "signature", "secret_key", "given_secret_keys", "Cookie"],
)  # fmt: skip
def test_a_value_under_a_secret_s_name_is_hidden_at_any_depth(events, key):
    structlog.get_logger().info("x", **{key: "hidden-1"}, deep=[{"headers": {key: ["hidden-2"]}}])

    assert "hidden" not in events.text()
    assert events()[0][key] == "***"
    assert events()[0]["deep"] == [{"headers": {key: "***"}}]


def test_objects_that_hold_secrets_hide_them(events):
    account = Account(name="a", provider="nebulox", base_url="http://h", api_key=SecretStr("hidden-key"))
    structlog.get_logger().info("x", value=SecretStr("hidden-key"), account=account, several=(account,))

    assert "hidden" not in events.text()


def test_registered_secrets_are_hidden_wherever_they_occur(events):
    logs.register_secrets(["hidden", "hidden-longer", 'quote"hidden', "a/b&hidden", "short"])
    structlog.get_logger().info(
        "to hidden-longer",
        url="https://h/?k=a%2Fb%26hidden",
        body=b'{"key": "quote\\"hidden"}',
        deep={"hidden": ["xhiddenx"]},
        short="short",
        error=ValueError("hidden"),
    )
    logging.getLogger("x").error("stdlib %r", {"k": "hidden"})

    assert "hidden" not in events.text()
    assert events()[0]["event"] == "to ***"
    assert events()[0]["short"] == "short"


def test_addresses_lose_their_user_part(events):
    structlog.get_logger().info("x", database="postgresql+psycopg://u:hidden@h/db", many=["redis://:hidden@h"])

    assert events()[0]["database"] == "postgresql+psycopg://***@h/db"
    assert events()[0]["many"] == ["redis://***@h"]


def test_an_exception_is_one_line_without_a_traceback(events):
    logs.register_secrets(["hidden-secret"])
    try:
        raise ValueError("first\n second hidden-secret")
    except ValueError:
        structlog.get_logger().exception("x.failed")
        logging.getLogger("x").exception("stdlib")

    for event in events():
        assert (event["error"], event["exc_type"]) == ("first second ***", "ValueError")
        assert "exception" not in event
        assert "exc_info" not in event


@pytest.mark.parametrize("how", ["asked", "debug", "critical"])
def test_a_traceback_comes_when_it_is_of_use(events, how):
    logs.register_secrets(["hidden-secret"])
    events.configure("debug" if how == "debug" else "info")
    try:
        raise ValueError("hidden-secret")
    except ValueError:
        if how == "critical":
            logging.getLogger("celery.worker").critical("x", exc_info=True)
        else:
            structlog.get_logger().exception("x", **({"traceback": True} if how == "asked" else {}))

    (event,) = events()
    assert "Traceback (most recent call last)" in event["exception"]
    assert "hidden" not in events.text()


def test_the_level_counts_for_ours_and_for_theirs(events):
    events.configure("warning")
    structlog.get_logger().info("x")
    logging.getLogger("x").info("x")

    assert events() == []


def test_the_console_shows_the_same_redacted_event(events):
    events.configure(log_format="console")
    structlog.get_logger().info("order.accepted", api_key="hidden", order_id="A-1")

    assert "order.accepted" in events.text()
    assert "A-1" in events.text()
    assert "hidden" not in events.text()


def hidden_or_not():
    """Texts, some with a secret in them, keys of which some name one."""
    part = st.sampled_from(['s3cr3t"value', "é-geheim", "x", "://u:p@h", "?token=t", "", "inv_1", "\n", "\0"])
    texts = st.lists(part, max_size=4).map("".join)
    values = texts | st.none() | st.integers() | st.booleans() | st.sampled_from([Decimal("1.50"), Stage.CREATE, ["x"]])
    keys = st.sampled_from(["event", "api_key", "order_id", "Token", "reason", 's3cr3t"value'])
    return st.dictionaries(keys, values)


@given(hidden_or_not())
def test_a_line_that_is_taken_as_it_is_would_have_been_rebuilt_the_same(event):
    logs.register_secrets(['s3cr3t"value', "é-geheim"])
    assert logs.redact(None, "info", dict(event)) == logs._clean(event, 0)
    assert all(type(value) is not Stage for value in logs.redact(None, "info", dict(event)).values())


any_text = st.text(st.characters(exclude_categories=[]))
plain_values = st.one_of(any_text, st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(Stage))


@given(st.dictionaries(any_text, plain_values | st.lists(plain_values) | st.dictionaries(any_text, plain_values)))
def test_a_line_is_written_with_the_very_bytes_of_the_library(event):
    assert logs.json_line(event) == json.dumps(event, ensure_ascii=False)
