"""Celery itself: no-op tasks with the intake's own settings, on the stock consumer."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import worker_ready
from kombu import Exchange, Queue

from config.celeryconfig import celery_settings
from config.settings import load_settings

QUEUE = "bench.noop"
TASK = "bench.noop"

_settings = celery_settings(load_settings())
_settings["worker_consumer"] = "celery.worker.consumer:Consumer"
_settings["task_queues"] = (Queue(QUEUE, Exchange(QUEUE, type="direct"), routing_key=QUEUE),)
_settings["task_default_queue"] = QUEUE
_settings["task_routes"] = {}
_settings["broker_transport_options"].pop("deadletter_queue", None)

app = Celery("noop", config_source=_settings)


@worker_ready.connect
def say_so(**_: Any) -> None:
    """At its own log level, warning, Celery does not; and a line a task, at level info, is no part of a no-op."""
    print("noop ready.", flush=True)


@app.task(name=TASK, acks_late=True)
def noop(**_: Any) -> None:
    """Nothing."""
