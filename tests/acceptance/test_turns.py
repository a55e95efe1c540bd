"""An account that sends very many orders, and one that sends one after them: how many of the others are taken first."""

from __future__ import annotations

import base64
import json
import uuid

import pytest

from tests.acceptance.messages import INTAKE_QUEUE
from tests.acceptance.system import System, nebulox_order
from tests.acceptance.test_http_orders import connect, new_token

MANY = 6_000
#: Taken before it, at most: what the intake already has in hand, and its share while the rest is sorted.
AT_MOST = 1_500
#: Nobody calls a provider here: what is looked at is the way into the database.
ACCOUNTS = {"big": {"provider": "nebulox"}, "small": {"provider": "nebulox"}}
BEFORE = """
SELECT count(*) AS n FROM invoice WHERE account = 'big'
AND created_at < (SELECT created_at FROM invoice WHERE order_id = 'the-one')
"""


@pytest.fixture
def system(tmp_path, new_postgres_url):
    with System(tmp_path, database_url=new_postgres_url, accounts=ACCOUNTS) as system:
        yield system


def order(account, order_id):
    return nebulox_order(order_id, account=account)


def pile(system, task, all_kwargs):
    """Messages as kombu writes them, many at once."""
    with system.redis.pipeline() as pipe:
        for kwargs in all_kwargs:
            message = {
                "body": base64.b64encode(json.dumps([[], kwargs, {}]).encode()).decode(),
                "content-encoding": "utf-8",
                "content-type": "application/json",
                "headers": {"lang": "py", "task": task, "id": str(uuid.uuid4())},
                "properties": {
                    "delivery_tag": str(uuid.uuid4()),
                    "delivery_info": {"exchange": "", "routing_key": INTAKE_QUEUE},
                    "body_encoding": "base64",
                },
            }
            pipe.lpush(INTAKE_QUEUE, json.dumps(message))
        pipe.execute()


def by_many(orders):
    return [{"orders": orders[start : start + 500]} for start in range(0, len(orders), 500)]


@pytest.mark.engines
@pytest.mark.timeout(900)
@pytest.mark.parametrize("task", ["invoices.create", "invoices.create_many"])
def test_an_order_behind_thousands_of_another_account_is_taken_after_a_bounded_number(system, task):
    orders = [order("big", f"big-{n}") for n in range(MANY)]
    pile(system, task, orders if task == "invoices.create" else by_many(orders))
    system.order(order("small", "the-one"))
    system.start("intake")
    system.wait_until(lambda: "the-one" in system.invoices(), "the one is taken")
    assert system.rows(BEFORE)[0]["n"] <= AT_MOST
    system.wait_until(lambda: len(system.invoices()) == MANY + 1, "all are taken", 200)
    assert system.rows("SELECT count(*) AS n FROM rejected_message")[0]["n"] == 0
    system.wait_until(lambda: not system.redis.keys("invoices.intake*"), "nothing is left in the broker")


@pytest.mark.engines
def test_an_order_by_http_waits_for_none_that_wait_in_the_queue(system):
    pile(system, "invoices.create", [order("big", f"big-{n}") for n in range(MANY)])
    system.start("web")
    with connect(system, new_token(system, "orders")) as shop:
        assert shop.post("/v1/orders", json=order("small", "the-one")).status_code == 202
    assert set(system.invoices()) == {"the-one"}
