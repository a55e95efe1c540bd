"""Messages of every documented shape, as they lie in the broker, and what this release makes of each."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.accounts import sandbox_accounts
from domain.decision import Stage
from domain.exact_json import read_json
from domain.order import OrderError, check_price, parse_cancellation, parse_order
from workers.intake.message import CANCEL, CREATE, CREATE_MANY, Accepted, inspect
from workers.providers.registry import provider

#: Every field of an order, and every form that one may take on the wire.
ORDERS: dict[str, str] = {
    "least": '{"account": "zeroxhost", "order_id": "m-1", "params": {"user_id": "m-1~pay:1~", "server_id": "s"}}',
    "price-text": '{"account": "nebulox", "order_id": "m-2", "price": "12.50", "currency": "eur"}',
    "price-number": '{"account": "nebulox", "order_id": "m-3", "price": 0.1000000000000000055, "currency": "EUR"}',
    "price-exponent": '{"account": "nebulox", "order_id": "m-4", "price": 1.25e1, "currency": "EUR"}',
    "all-fields": (
        '{"account": "nebulox", "order_id": "m-5", "idempotency_key": "k-5", "price": "1", "currency": "EUR", '
        '"pay_currency": "BTC", "network": "Bitcoin", "lifetime_minutes": 0.1, '
        '"create_before": "2099-01-01T00:00:00Z", "params": {}, "metadata": {"cart": [1, 2.50, "\\u00e4", null]}}'
    ),
    "python-types": (
        '{"account": "nebulox", "order_id": "m-6", "price": {"__type__": "decimal", "__value__": "2.5"}, '
        '"currency": "EUR", "create_before": {"__type__": "datetime", "__value__": "2099-01-01T00:00:00+00:00"}}'
    ),
    "nulls": '{"account": "nebulox", "order_id": "m-7", "price": "3", "currency": "EUR", "network": null}',
}
CANCELS: dict[str, str] = {
    "by-order": '{"account": "nebulox", "order_id": "m-2", "reason": "no more"}',
    "by-key": '{"account": "nebulox", "idempotency_key": "k-5"}',
}
UNUSABLE: dict[str, tuple[str, str]] = {
    "unknown-field": (CREATE, '{"account": "nebulox", "order_id": "m-8", "price": "1", "of_the_next_release": 1}'),
    "unknown-task": ("invoices.of_the_next_release", "{}"),
    "internal-task": ("invoices.reject", "{}"),
}
NOW = datetime(2026, 11, 22, tzinfo=UTC)
SANDBOX = sandbox_accounts(1)


def write_messages(path: Path) -> None:
    """One message a line: its name, the list item, and what was made of it."""
    lines = [{"name": name, "item": item, "read": read(item)} for name, item in _messages()]
    path.write_text("".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines))


def read_messages(path: Path) -> list[dict[str, Any]]:
    """What ``write_messages`` wrote."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def read(item: dict[str, Any]) -> dict[str, Any]:
    """What the code of today makes of a list item: the digests tell repeats of orders, across releases."""
    body = base64.b64decode(item["body"])
    judged = inspect(item["headers"], item["properties"], body, item["content-type"], item["content-encoding"], now=NOW)
    if not isinstance(judged, Accepted):
        return {"refused": judged.reason, "task": judged.task, "key": judged.message_key}
    if judged.task not in {CREATE, CREATE_MANY, CANCEL}:
        return {"task": judged.task, "arguments": judged.arguments}
    fields = read_json(judged.arguments[0])
    made: dict[str, Any] = {"task": judged.task, "key": judged.arguments[1], "expires": judged.arguments[2]}
    if judged.task == CANCEL:
        return made | {"cancels": parse_cancellation(fields).model_dump(mode="json")}
    return made | {"orders": [_order(one) for one in (fields["orders"] if judged.task == CREATE_MANY else [fields])]}


def _order(fields: Any) -> dict[str, str]:
    try:
        order = parse_order(fields)
    except OrderError as error:
        return {"refused": str(error)}
    return {"order_id": order.order_id, "key": order.idempotency_key, "digest": order.digest()}


def refused_at_intake(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(order id, why) of the orders in a list item that are understood, and refused for their account."""
    body = base64.b64decode(item["body"])
    judged = inspect(item["headers"], item["properties"], body, item["content-type"], item["content-encoding"], now=NOW)
    if not isinstance(judged, Accepted) or judged.task not in {CREATE, CREATE_MANY}:
        return
    fields = read_json(judged.arguments[0])
    for one in fields["orders"] if judged.task == CREATE_MANY else [fields]:
        if "refused" in _order(one):
            continue
        order = parse_order(one)
        account = SANDBOX[order.account]
        try:
            check_price(order, account)
            provider(account.provider).check_order(order, account)
        except OrderError as error:
            yield order.order_id, str(error)


def held_message(order_id: str) -> dict[str, Any]:
    """The list item of a plain order."""
    fields = {
        "account": "zeroxhost",
        "order_id": order_id,
        "params": {"user_id": f"{order_id}~pay:1~", "server_id": "s"},
    }
    return _protocol_2(CREATE, json.dumps(fields))


def _messages() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, kwargs in ORDERS.items():
        yield f"create {name}, protocol 2", _protocol_2(CREATE, kwargs)
        yield f"create {name}, protocol 1", _protocol_1(CREATE, kwargs.replace('"m-', '"p1-').replace('"k-', '"pk-'))
    many = ", ".join(kwargs.replace('"m-', '"n-').replace('"k-', '"nk-') for kwargs in ORDERS.values())
    yield "create_many, protocol 2", _protocol_2(CREATE_MANY, f'{{"orders": [{many}]}}')
    yield (
        "create_many, protocol 1",
        _protocol_1(CREATE_MANY, f'{{"orders": [{many.replace("n-", "o-").replace("nk-", "ok-")}]}}'),
    )
    late = '{"account": "nebulox", "order_id": "e-1", "price": "1", "currency": "EUR"}'
    yield "create, expires", _protocol_2(CREATE, late, expires="2099-01-01T00:00:00+00:00")
    yield "create, redelivered", _protocol_2(CREATE, late.replace("e-1", "e-2"), redelivered=True)
    for name, kwargs in CANCELS.items():
        yield f"cancel {name}, protocol 2", _protocol_2(CANCEL, kwargs)
        yield f"cancel {name}, protocol 1", _protocol_1(CANCEL, kwargs.replace("m-", "p1-").replace("k-", "pk-"))
    for name, (task, kwargs) in UNUSABLE.items():
        yield name, _protocol_2(task, kwargs)
    for stage in Stage:
        yield f"bell {stage}", _protocol_2("invoices.run", "{}", args=f'["{stage}", "nebulox"]', queue="invoices.work")
    yield "sweep", _protocol_2("invoices.sweep", "{}", queue="invoices.work")


def _protocol_2(
    task: str, kwargs: str, args: str = "[]", queue: str = "invoices.intake", **more: Any
) -> dict[str, Any]:
    embed = '{"callbacks": null, "errbacks": null, "chain": null, "chord": null}'
    headers = {"lang": "py", "task": task, "id": f"id of {task} {len(kwargs)}", "root_id": None, "parent_id": None}
    headers |= {"group": None, "argsrepr": "[]", "kwargsrepr": "{}", "eta": None, "retries": 0} | more
    return _item(f"[{args}, {kwargs}, {embed}]", headers, queue)


def _protocol_1(task: str, kwargs: str) -> dict[str, Any]:
    body = f'{{"task": "{task}", "id": "id 1 of {len(kwargs)}", "args": [], "kwargs": {kwargs}, "retries": 0}}'
    return _item(body, {}, "invoices.intake")


def _item(body: str, headers: dict[str, Any], queue: str) -> dict[str, Any]:
    """As kombu writes it into a Redis list."""
    tag = f"tag of {len(body)} {headers.get('id', '1')}"
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": headers.get("id", "1"),
            "delivery_mode": 2,
            "delivery_info": {"exchange": queue, "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": tag,
        },
    }
