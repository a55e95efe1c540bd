"""Forged callbacks: the newest are kept for people to look at, never more than a bounded number of rows."""

from __future__ import annotations

import json
from datetime import timedelta

from sqlalchemy import func, select

from workers.store.forged import MOST_KEPT, Forged, forged, keep_forged
from workers.store.tables import FORGED


def made(number, account="nebulox"):
    return Forged(account, "its signature is wrong", "203.0.113.9", 5, b"%05d" % number, json.dumps({"names": []}))


def bodies(database, account="nebulox"):
    return [row.body for row in database.read(forged, 0) if row.account == account]


def test_the_newest_are_kept_and_no_more_than_so_many(database):
    for first in range(0, 260, 10):
        keep_forged(database, [made(number) for number in range(first, first + 10)])

    assert bodies(database) == [b"%05d" % number for number in range(259, 259 - MOST_KEPT, -1)]
    assert len(database.read(forged, 7)) == 7


def test_more_than_are_kept_at_once_are_never_written(database):
    keep_forged(database, [made(number) for number in range(1000)])

    with database.reading() as connection:
        assert connection.execute(select(func.max(FORGED.c.id))).scalar_one() <= MOST_KEPT
    assert bodies(database)[0] == b"00999"


def test_a_flood_to_one_account_hides_nothing_of_anothers(database):
    keep_forged(database, [made(1, "zeroxhost"), made(2, None)])
    for first in range(0, 500, 50):
        keep_forged(database, [made(number) for number in range(first, first + 50)])

    assert bodies(database, "zeroxhost") == [b"00001"]
    assert bodies(database, None) == [b"00002"]
    assert len(bodies(database)) == MOST_KEPT - 2


def test_whatever_bytes_and_words_come_can_be_kept(database):
    odd = Forged(None, "there is no account '\x00\ud800'", "::1", 3, b"\x00\xff\xfe", json.dumps({"names": ["\ud800"]}))
    keep_forged(database, [odd, Forged("a" * 64, "w" * 999, None, 0, b"", "{}")])

    rows = database.read(forged, 0)
    assert [bytes(row.body) for row in rows] == [b"", b"\x00\xff\xfe"]
    assert "there is no account" in rows[1].why


def test_retention_takes_the_old_ones(database, store):
    keep_forged(database, [made(1), made(2)])
    with database.transaction() as connection:
        old = database.now(connection) - timedelta(days=91)
        connection.execute(FORGED.update().where(FORGED.c.body == b"00001").values(at=old))

    assert store.remove_finished(timedelta(days=90)) == 1
    assert bodies(database) == [b"00002"]
