"""Beat's sweeps: at most one waits, however long nobody takes it."""

from __future__ import annotations

import contextlib

import pytest
from celery import Celery

from config.celeryconfig import WORK_QUEUE, celery_settings
from config.settings import load_settings
from tests.acceptance.proxy import Door
from tests.contracts.broker_client import connect_redis
from workers.queue.scheduler import Scheduler

DATABASE = 9
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def server(valkey_broker_url):
    client, url = connect_redis(valkey_broker_url, DATABASE)
    client.flushdb()
    yield client, url
    client.flushdb()
    client.close()


@contextlib.contextmanager
def scheduler_of(broker_url):
    settings = load_settings({"INVOICES_BROKER_URL": broker_url, "INVOICES_SECRET_KEY": KEY})
    with Celery("beat", config_source=celery_settings(settings)) as app:
        scheduler = Scheduler(app)
        yield scheduler
        scheduler.close()


@pytest.fixture
def scheduler(server):
    with scheduler_of(server[1]) as scheduler:
        yield scheduler


def beat(scheduler, times):
    """So many seconds of beat, as its loop has them."""
    (entry,) = [entry for entry in scheduler.schedule.values() if entry.task == "invoices.sweep"]
    for _ in range(times):
        scheduler.apply_entry(entry, producer=scheduler.producer)


def test_the_schedule_is_what_the_processes_use(scheduler):
    assert scheduler.app.conf.beat_scheduler == "workers.queue.scheduler:Scheduler"


def test_one_sweep_waits_while_nobody_takes_it(server, scheduler):
    beat(scheduler, 20)
    assert server[0].llen(WORK_QUEUE) == 1


def test_the_next_is_sent_when_one_was_taken(server, scheduler):
    for _ in range(3):
        beat(scheduler, 2)
        assert server[0].lpop(WORK_QUEUE)
        assert server[0].llen(WORK_QUEUE) == 0


def test_sweeps_go_on_after_the_broker_was_emptied_and_after_its_connections_were_cut(server, scheduler):
    beat(scheduler, 1)
    server[0].flushdb()
    beat(scheduler, 1)
    assert server[0].lpop(WORK_QUEUE)
    server[0].client_kill_filter(skipme=True, _type="normal")
    beat(scheduler, 2)
    assert server[0].llen(WORK_QUEUE) == 1


def test_sweeps_go_on_after_the_broker_was_away_for_longer_than_one_sending_tries(server, valkey_broker_url):
    socket = valkey_broker_url.removeprefix("redis+socket://")
    with Door(socket) as door, scheduler_of(f"redis://127.0.0.1:{door.port}/{DATABASE}") as scheduler:
        beat(scheduler, 1)
        assert server[0].lpop(WORK_QUEUE)
        door.shut()
        beat(scheduler, 1)  # fails, and is logged
        door.open()
        beat(scheduler, 2)
        assert server[0].llen(WORK_QUEUE) == 1
