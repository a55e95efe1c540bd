"""Bytes by table as PostgreSQL counts them, and days of orders that are copies of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from workers.store.store import Store

_SIZES = text("""
SELECT relname AS name, pg_table_size(oid) AS rows, pg_indexes_size(oid) AS indexes, reltuples::bigint AS count
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY pg_total_relation_size(oid) DESC
""")
_LATELY_DEAD = text("SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables")
#: What an invoice's rows are copied by: each day's ids begin with that day, as real ones do.
_NEW = "'inv_' || lpad(to_hex(:ms + ('x' || substr({0}, 5, 12))::bit(48)::bigint), 12, '0') || substr({0}, 17)"
_INVOICE = f"""
INSERT INTO invoice SELECT (jsonb_populate_record(invoice, jsonb_build_object(
  'id', {_NEW.format("id")}, 'order_id', order_id || :day, 'idempotency_key', idempotency_key || :day,
  'provider_ref', provider_ref || :day, 'updated_at', updated_at + :ms * interval '1 ms'))).* FROM day_invoice invoice
"""
_EVENT = f"""
INSERT INTO event (id, invoice_id, sequence, type, body, created_at, published_at, positioned)
SELECT substr(id, 1, 36) || lpad(:day, 4, '0'), {_NEW.format("invoice_id")}, sequence, type, body,
  created_at + :ms * interval '1 ms', published_at, 1 FROM day_event ORDER BY number
"""
_DELIVERY = """
INSERT INTO delivery (endpoint_id, event_number, invoice_id, sequence, state, tries, created_at, finished_at)
SELECT 'ep_sizing', number, invoice_id, sequence, 'delivered', 1, created_at, created_at FROM event
WHERE number > :above
"""
_ATTEMPT = """
INSERT INTO delivery_attempt (delivery_id, at, outcome, status, latency_ms)
SELECT id, created_at, 'delivered', 204, 40 FROM delivery WHERE event_number > :above
"""
_POSITION = """
INSERT INTO event_position SELECT number + 1000000, number, 'shop' FROM event WHERE number > :above
"""
_EVIDENCE = f"""
INSERT INTO evidence (invoice_id, at, kind, detail, raw, verdict, source, note, repeats, last_at)
SELECT {_NEW.format("invoice_id")}, at + :ms * interval '1 ms', kind, detail, raw, verdict, source, note, repeats,
  last_at FROM day_evidence ORDER BY id
"""
_PAYMENT = f"""
INSERT INTO payment (invoice_id, kind, key, source, status, total, amount, amount_told, asset, network, tx_hash,
  first_seen_at, last_seen_at, folded, settled_status, settled_sequence, settled_event, settled_by, settled_at,
  booked_at, booked, booked_told)
SELECT {_NEW.format("invoice_id")}, kind, key, source, status, total, amount, amount_told, asset, network, tx_hash,
  first_seen_at, last_seen_at, folded, settled_status, settled_sequence, settled_event, settled_by, settled_at,
  booked_at, booked, booked_told
FROM day_payment ORDER BY id
"""
#: As deploy/SIZE.md advises.
ADVISED = Path(__file__).parents[2] / "deploy" / "sql" / "autovacuum.sql"
COPIED = ("invoice", "event", "evidence", "payment")
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Weight:
    """A table: bytes of its rows, those stored aside too, and of its indexes."""

    name: str
    rows: int
    indexes: int
    count: int

    @property
    def total(self) -> int:
        return self.rows + self.indexes


def weigh(store: Store) -> list[Weight]:
    """The heaviest first."""
    with store.database.reading() as connection:
        return [Weight(*row) for row in connection.execute(_SIZES)]


def dead_rows(store: Store) -> int:
    """As PostgreSQL estimates them."""
    with store.database.reading() as connection:
        return int(connection.execute(_LATELY_DEAD).scalar_one())


def run_alone(store: Store, *statements: str) -> None:
    """Statements that must be in no transaction, such as VACUUM."""
    with store.database.engine.connect() as connection:
        alone = connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in statements:
            alone.execute(text(statement))


def keep_day(store: Store) -> None:
    """Put what is there aside, as the day that others are copies of."""
    with store.database.transaction() as connection:
        for name in COPIED:
            connection.execute(text(f"CREATE TABLE day_{name} AS SELECT * FROM {name}"))


def add_day(store: Store, day: int, days_ago: int) -> None:
    """A day like it, so many days before it."""
    with store.database.transaction() as connection:
        above = connection.execute(text("SELECT coalesce(max(number), 0) FROM event")).scalar_one()
        values = {"ms": -days_ago * DAY_MS, "day": str(day), "above": above}
        for statement in (_INVOICE, _EVENT, _DELIVERY, _ATTEMPT, _POSITION, _EVIDENCE, _PAYMENT):
            _run(connection, statement, values)


def _run(connection: Connection, statement: str, values: dict[str, object]) -> None:
    connection.execute(text(statement), {name: value for name, value in values.items() if f":{name}" in statement})


def statements(path: Path) -> Iterator[str]:
    """Of a file of SQL."""
    lines = (line for line in path.read_text().splitlines() if not line.startswith("--"))
    return (one for each in "\n".join(lines).split(";") if (one := each.strip()))
