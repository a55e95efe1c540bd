"""A scrape of the web process is answered whatever the database does."""

from __future__ import annotations

import asyncio
import threading

import pytest
from starlette.requests import Request

from workers.web.metrics import Metrics, MetricsPage

LOOPBACK = ("127.0.0.0/8",)


class Reader:
    """In place of the one that reads the rows."""

    def __init__(self, metrics, refresh):
        self.refresh = refresh
        self.give_up = lambda: metrics.declared.rows.show({"invoices_store_readable": {(): 0.0}})


def scrape(page):
    request = Request({"type": "http", "client": ("127.0.0.1", 1), "headers": [], "method": "GET", "path": "/metrics"})
    return asyncio.run(page.answer(request)).body.decode()


@pytest.fixture
def metrics():
    return Metrics("1")


def test_rows_are_read_before_a_scrape_is_answered(metrics):
    rows = metrics.declared.rows
    metrics.reader = Reader(metrics, lambda: rows.show({"invoices_in_doubt": {(): 7.0}}))
    assert "\ninvoices_in_doubt 7.0\n" in scrape(MetricsPage(metrics, LOOPBACK))


def test_a_database_that_does_not_answer_holds_up_no_scrape(metrics):
    hangs = threading.Event()
    metrics.declared.rows.show({"invoices_in_doubt": {(): 7.0}})
    metrics.reader = Reader(metrics, hangs.wait)
    page = MetricsPage(metrics, LOOPBACK, rows_seconds=0.05)
    try:
        for _ in range(12):  # more than may wait at a time
            text = scrape(page)
            assert "\ninvoices_store_readable 0.0\n" in text
            assert "\ninvoices_in_doubt 7" not in text
            assert 'invoices_build_info{role="web",version="1"} 1.0' in text
    finally:
        hangs.set()
        page.close()
