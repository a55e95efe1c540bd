"""Side queues of an app whose broker is this process's memory."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery import Celery
from kombu import Exchange, Queue
from structlog.testing import capture_logs

from workers.intake import unstored
from workers.intake.unstored import Unstored
from workers.web import shelf


@pytest.fixture(autouse=True)
def logs():
    """Tracebacks drawn for a terminal take longer than the tests."""
    with capture_logs() as logs:
        yield logs


@pytest.fixture
def app():
    """An app whose broker is this process's memory."""
    app = Celery("test", broker="memory://", set_as_current=False)
    app.conf.task_default_queue = "intake"
    app.conf.task_queues = [Queue("intake", Exchange("intake"), routing_key="intake")]
    yield app
    with app.connection_for_read() as connection:
        for queue in (unstored.QUEUE, shelf.QUEUE):
            connection.default_channel.queue_purge(queue)
    app.close()


@pytest.fixture
def notes():
    """As much of Redis as holds the note for the doctor."""
    kept = {}

    def put(key, value, nx=False):
        if not (nx and key in kept):
            kept[key] = value

    return SimpleNamespace(kept=kept, set=put, delete=lambda key: kept.pop(key, None))


@pytest.fixture
def queue(app, notes):
    return Unstored(app, lambda: notes)
