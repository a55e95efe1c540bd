"""Whatever a message is made of, the judge answers, and its answer can be stored and sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from workers.intake.message import TASKS, Accepted, TurnedAway, inspect

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=8), v, max_size=4))
names = st.sampled_from(["task", "id", "args", "kwargs", "eta", "expires", "compression", "retries", "timelimit"])
tables = st.dictionaries(names | st.text(max_size=8), st.sampled_from(sorted(TASKS)) | values, max_size=8)
bodies = st.binary(max_size=200) | st.text(max_size=200) | values.map(json.dumps) | tables.map(json.dumps) | values
calls = st.tuples(st.lists(values, max_size=2), st.dictionaries(st.text(max_size=8), values), tables).map(json.dumps)
json_types = st.just("application/json")


@given(
    headers=values | tables,
    properties=values | tables,
    body=bodies | calls,
    content_type=json_types | values,
    encoding=st.sampled_from(["utf-8", None]) | values,
)
def test_the_judge_never_raises_and_its_answer_is_plain_json(headers, properties, body, content_type, encoding):
    judged = inspect(headers, properties, body, content_type, encoding, now=NOW)

    assert json.loads(json.dumps(judged.arguments)) == judged.arguments
    if isinstance(judged, Accepted):
        assert judged.task in TASKS
        assert 0 < len(judged.id) <= 255
    else:
        assert isinstance(judged, TurnedAway)
        assert judged.reason
        assert "\0" not in judged.excerpt + judged.reason
        (judged.excerpt + judged.reason + (judged.task or "")).encode()
        assert len(judged.excerpt) <= 2048


@given(task=st.sampled_from(["invoices.create", "invoices.create_many", "invoices.cancel"]), body=calls)
def test_the_fields_that_are_handed_over_are_those_that_were_sent(task, body):
    judged = inspect({"task": task, "id": "1"}, {}, body, "application/json", "utf-8", now=NOW)

    if isinstance(judged, Accepted):
        assert json.loads(judged.arguments[0]) == json.loads(body)[1]
