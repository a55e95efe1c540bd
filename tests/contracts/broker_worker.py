"""The app of the crash tests' worker: counts each task in the broker's own server. Its settings come as one JSON."""

from __future__ import annotations

import json
import os
import time

import redis
from celery import Celery
from celery.signals import celeryd_init

import workers.transport

given = json.loads(os.environ["BROKER_WORKER"])
app = Celery("crash", broker=given["url"])
app.conf.update(
    broker_transport_options=given["options"],
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    worker_hijack_root_logger=False,
    task_default_queue="crash",
)
counts = redis.Redis(unix_socket_path=given["socket"], db=given["database"])


@celeryd_init.connect(weak=False)
def choose(**_):
    if given["ours"]:
        workers.transport.install()


@app.task(name="count", acks_late=True)
def count(number):
    while True:
        try:
            counts.hincrby("seen", number, 1)
            return
        except redis.RedisError:
            time.sleep(0.05)
