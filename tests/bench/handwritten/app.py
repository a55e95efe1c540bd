"""The comparison: a Celery task per step, sync httpx, a SQLModel session per task, ETA for expiry, a task per webhook.

Written as a careful team would: late acknowledgement, idempotent steps guarded by the status, one HTTP client and one
connection pool per process, webhooks signed, kept in a table, retried by Celery; lists of orders stored in one
transaction. What it does not do (and we do): it can lose a step between a commit and the next `delay`, it keeps
expiries in the broker, and it neither keeps the provider's words nor the order of events.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
from celery import Celery
from celery.signals import worker_process_init, worker_ready
from pydantic import BaseModel
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel, col, create_engine

LIFETIME = timedelta(minutes=60)
PROVIDER, HOOK = os.environ["SHOP_PROVIDER_URL"], os.environ["SHOP_HOOK_URL"]
KEY = base64.b64decode(os.environ["SHOP_SECRET"].removeprefix("whsec_"))

app = Celery("shop", broker=os.environ["SHOP_BROKER_URL"])
app.conf.update(
    task_default_queue="shop",
    task_ignore_result=True,
    task_acks_late=True,
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=4,
    worker_send_task_events=False,
    worker_disable_rate_limits=True,
    broker_pool_limit=64,
    broker_transport_options={"visibility_timeout": 4 * 3600},  # longer than an expiry is waited for
    broker_connection_retry_on_startup=True,
    enable_utc=True,
    timezone="UTC",
)

engine = create_engine(os.environ["SHOP_DATABASE_URL"], pool_size=50, max_overflow=0)
http = httpx.Client(timeout=10, limits=httpx.Limits(max_connections=200, max_keepalive_connections=200))


class ShopInvoice(SQLModel, table=True):
    """An order and what became of it."""

    __tablename__ = "shop_invoice"

    id: str = Field(primary_key=True)
    order_id: str = Field(unique=True)
    status: str
    price: Decimal
    currency: str
    pay_currency: str | None = None
    network: str | None = None
    details: str = "{}"
    provider_ref: str | None = None
    payment_url: str | None = None
    expires_at: datetime | None = None
    created_at: datetime


class ShopWebhook(SQLModel, table=True):
    """An event on its way to the shop."""

    __tablename__ = "shop_webhook"

    id: str = Field(primary_key=True)
    invoice_id: str = Field(index=True)
    body: str
    tries: int = 0
    delivered_at: datetime | None = None


class ShopOrder(BaseModel):
    """What a message holds."""

    account: str
    order_id: str
    price: Decimal
    currency: str
    pay_currency: str | None = None
    network: str | None = None
    metadata: dict[str, Any] = {}


@worker_process_init.connect
def forget_parents_connections(**_: Any) -> None:
    """After a fork."""
    engine.dispose(close=False)


@worker_ready.connect
def say_so(**_: Any) -> None:
    """At its own log level, warning, Celery does not."""
    print("shop ready.", flush=True)


@app.task(name="shop.create")
def create(**fields: Any) -> None:
    """Step 1: keep the order."""
    invoice = _invoice(fields)
    with Session(engine) as session:
        session.add(invoice)
        invoice_id = invoice.id
        try:
            session.commit()
        except IntegrityError:
            return  # it came before
    call_provider.delay(invoice_id)


@app.task(name="shop.create_many")
def create_many(orders: list[dict[str, Any]]) -> None:
    """Step 1 for a list: one transaction; what came before is left out."""
    rows = [_invoice(fields).model_dump() for fields in orders]
    fresh = insert(ShopInvoice).on_conflict_do_nothing(index_elements=["order_id"]).returning(col(ShopInvoice.id))
    with Session(engine) as session:
        ids = list(session.execute(fresh, rows).scalars())
        session.commit()
    with app.producer_or_acquire() as producer:
        for invoice_id in ids:
            call_provider.apply_async((invoice_id,), producer=producer)


@app.task(name="shop.call_provider", bind=True, max_retries=5)
def call_provider(self: Any, invoice_id: str) -> None:
    """Step 2: make the invoice, keep the answer and the event, set the timer."""
    with Session(engine) as session:
        invoice = session.get(ShopInvoice, invoice_id)
        if invoice is None or invoice.status != "queued":
            return
        body: dict[str, Any] = {
            "orderId": invoice.order_id,
            "price": str(invoice.price),
            "baseCurrency": invoice.currency,
        }
        body |= {"coinSymbol": invoice.pay_currency, "networkName": invoice.network, "apiKey": "bench-key-000000"}
    try:
        # No session is held during the call.
        answer = http.post(f"{PROVIDER}/api/invoice/create", json=body)
        answer.raise_for_status()
        result = answer.json()["result"]
    except httpx.HTTPError as error:
        raise self.retry(exc=error, countdown=2**self.request.retries) from error
    expires_at = datetime.now(UTC) + LIFETIME
    with Session(engine) as session:
        invoice = session.get(ShopInvoice, invoice_id, with_for_update=True)
        if invoice is None or invoice.status != "queued":
            return
        invoice.status = "pending"
        invoice.provider_ref, invoice.payment_url, invoice.expires_at = result["id"], result["url"], expires_at
        webhook_id = _add_event(session, invoice, "invoice.pending")
        session.commit()
    expire.apply_async((invoice_id,), eta=expires_at)
    send_webhook.delay(webhook_id)


@app.task(name="shop.expire")
def expire(invoice_id: str) -> None:
    """Step 3, an hour later."""
    with Session(engine) as session:
        invoice = session.get(ShopInvoice, invoice_id, with_for_update=True)
        if invoice is None or invoice.status != "pending":
            return
        invoice.status = "expired"
        webhook_id = _add_event(session, invoice, "invoice.expired")
        session.commit()
    send_webhook.delay(webhook_id)


@app.task(name="shop.send_webhook", bind=True, max_retries=10)
def send_webhook(self: Any, webhook_id: str) -> None:
    """Sign, post, note."""
    with Session(engine) as session:
        webhook = session.get(ShopWebhook, webhook_id)
        if webhook is None or webhook.delivered_at is not None:
            return
        body = webhook.body.encode()
    moment = str(int(time.time()))
    mac = hmac.new(KEY, f"{webhook_id}.{moment}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
    try:
        http.post(HOOK, content=body, headers=headers).raise_for_status()
    except httpx.HTTPError as error:
        raise self.retry(exc=error, countdown=2**self.request.retries) from error
    with Session(engine) as session:
        sent = update(ShopWebhook).where(col(ShopWebhook.id) == webhook_id)
        session.execute(sent.values(tries=col(ShopWebhook.tries) + 1, delivered_at=datetime.now(UTC)))
        session.commit()


def _invoice(fields: dict[str, Any]) -> ShopInvoice:
    order = ShopOrder.model_validate(fields)
    return ShopInvoice(
        id=uuid.uuid4().hex,
        order_id=order.order_id,
        status="queued",
        price=order.price,
        currency=order.currency,
        pay_currency=order.pay_currency,
        network=order.network,
        details=json.dumps(order.metadata),
        created_at=datetime.now(UTC),
    )


def _add_event(session: Session, invoice: ShopInvoice, kind: str) -> str:
    data = invoice.model_dump(mode="json")
    event_id = uuid.uuid4().hex
    event = {"id": event_id, "type": kind, "time": datetime.now(UTC).isoformat(), "data": data}
    session.add(ShopWebhook(id=event_id, invoice_id=invoice.id, body=json.dumps(event)))
    return event_id
