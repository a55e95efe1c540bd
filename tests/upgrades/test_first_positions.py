"""Events from before positions get theirs by the expansion; what older workers write meanwhile gets one later."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from workers.store import schema
from workers.store.database import Database
from workers.store.reads.log import read_page

BEFORE, COLUMN, INDEX = "0017", "0018", "0019"
WRITE = text(
    "INSERT INTO event (id, invoice_id, sequence, type, body, created_at, published_at)"
    " VALUES (:id, :invoice_id, :sequence, :type, :body, :at, :published_at)"
)


def write(url, first, count, *, published=True):
    """Events as a worker of the release before writes them."""
    at = datetime(2026, 11, 1, tzinfo=UTC) if url.startswith("postgresql") else "2026-11-01 00:00:00.000000"
    rows = []
    for number in range(first, first + count):
        account, kind = ("shop", "invoice.paid") if number % 3 else ("gone", "order.rejected")
        body = json.dumps({"source": f"/invoices/{account}", "data": {"account": account}}).encode()
        about = {"id": f"evt_{number}", "invoice_id": f"inv_{number % 5}" if number % 3 else f"evt_{number}"}
        told = {"sequence": number if number % 3 else 0, "type": kind, "body": body}
        rows.append(about | told | {"at": at, "published_at": at if published else None})
    database = Database(url)
    with database.transaction() as connection:
        connection.execute(WRITE, rows)
    database.close()


def ask(url, statement):
    database = Database(url)
    with database.reading() as connection:
        found = [tuple(row) for row in connection.execute(text(statement))]
    database.close()
    return found


@pytest.fixture
def older_url(empty_database_url):
    schema.upgrade(empty_database_url, to=BEFORE)
    return empty_database_url


def test_events_of_before_have_positions_by_their_numbers_and_those_of_meanwhile_wait_for_theirs(older_url):
    write(older_url, 1, 7)
    write(older_url, 8, 2, published=False)
    schema.upgrade(older_url, to=COLUMN)
    write(older_url, 10, 3)
    schema.upgrade(older_url)

    placed = ask(older_url, "SELECT position, event_number, account FROM event_position ORDER BY position")
    # No invoice is there for the others: theirs is nobody's to tell.
    assert placed == [(number, number, "" if number % 3 else "gone") for number in range(1, 10)]
    assert ask(older_url, "SELECT name, newest, removed FROM event_log") == [("events", 9, 0)]
    assert ask(older_url, "SELECT number FROM event WHERE positioned IS NULL ORDER BY number") == [(10,), (11,), (12,)]
    database = Database(older_url)
    page = database.read(read_page, 0, 100)
    database.close()
    assert (len(page.entries), page.next) == (9, 9)


def test_a_killed_expansion_goes_on_where_it_was(older_url):
    write(older_url, 1, 9)
    schema.upgrade(older_url, to=INDEX)
    database = Database(older_url)
    with database.transaction() as connection:
        connection.execute(text("INSERT INTO event_position (position, event_number) VALUES (1, 1), (2, 2)"))
    database.close()
    schema.upgrade(older_url)
    assert ask(older_url, "SELECT position, event_number FROM event_position ORDER BY 1") == [
        (number, number) for number in range(1, 10)
    ]
    assert ask(older_url, "SELECT newest FROM event_log") == [(9,)]


def test_events_between_others_that_have_positions_get_theirs_and_no_position_is_given_again(older_url):
    write(older_url, 1, 9)
    schema.upgrade(older_url, to=INDEX)
    database = Database(older_url)
    with database.transaction() as connection:
        connection.execute(text("INSERT INTO event_position (position, event_number) VALUES (4, 2), (5, 9)"))
        connection.execute(text("UPDATE event_log SET newest = 20"))
    database.close()
    schema.upgrade(older_url)
    expected = [(4, 2), (5, 9), *((20 + place, number) for place, number in enumerate((1, 3, 4, 5, 6, 7, 8), 1))]
    assert ask(older_url, "SELECT position, event_number FROM event_position ORDER BY 1") == expected
    assert ask(older_url, "SELECT newest FROM event_log") == [(27,)]
