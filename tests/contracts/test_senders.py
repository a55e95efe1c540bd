"""The senders that the README shows: what they put on the queue is an order, and the README shows them as they are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import redis

from domain.order import parse_order
from workers.intake.message import CREATE, Accepted, inspect

ROOT = Path(__file__).parents[2]
SENDERS = ROOT / "deploy/senders"


def test_the_readme_shows_the_sender_as_it_is():
    name = "send_order.py"
    shown = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)\n```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown is not None
    assert shown[1] == (SENDERS / name).read_text().rstrip()


def test_the_python_sender_sends_an_order_without_any_code_of_ours(empty_valkey_url, valkey_broker_url, tmp_path):
    environ = os.environ | {"BROKER": valkey_broker_url}
    subprocess.run([sys.executable, SENDERS / "send_order.py"], cwd=tmp_path, env=environ, check=True, timeout=180)
    with redis.Redis.from_url(empty_valkey_url) as client:
        (item,) = client.lrange("invoices.intake", 0, -1)
        client.delete("invoices.intake")
    message = json.loads(item)
    assert "workers" not in item.decode()
    judged = inspect(
        message["headers"],
        message["properties"],
        b64decode(message["body"]),
        message["content-type"],
        message["content-encoding"],
        now=datetime.now(UTC),
    )
    assert isinstance(judged, Accepted)
    assert judged.task == CREATE
    order = parse_order(json.loads(judged.arguments[0]))
    assert (order.order_id, str(order.price), order.currency) == ("from-python-1", "19.99", "EUR")
