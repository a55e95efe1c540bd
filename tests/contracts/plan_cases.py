"""What the suites of plans share: databases with many rows, and the plans of the statements that are run on them."""

from __future__ import annotations

import re

from sqlalchemy import event, text

from tests.contracts.store_cases import (
    make_due,
    open_store,
    pend,
    subscribe,
)

FILL = {
    "postgresql": """
        INSERT INTO agenda (stage, subject, lane, due_at, claims, pokes)
        SELECT stage, 'inv_' || lpad(to_hex(n), 32, '0'), lane, clock_timestamp() + n * interval '1 second', 0, 0
        FROM generate_series(-500, {rows} - 501) n, (VALUES ('check', 'zeroxhost'), ('clock', 'clock')) v (stage, lane)
    """,
    "sqlite": """
        WITH RECURSIVE g (n) AS (SELECT -500 UNION ALL SELECT n + 1 FROM g WHERE n < {rows} - 501)
        INSERT INTO agenda (stage, subject, lane, due_at, claims, pokes)
        SELECT stage, printf('inv_%032x', n), lane, strftime('%Y-%m-%d %H:%M:%f000', 'now', n || ' seconds'), 0, 0
        FROM g, (SELECT 'check' AS stage, 'zeroxhost' AS lane UNION ALL SELECT 'clock', 'clock')
    """,
}
#: The real events three hundred times more, delivered, each with its try.
MORE = (
    """
        INSERT INTO event (id, invoice_id, sequence, type, body, created_at)
        SELECT id || n, invoice_id, sequence + 2 * n, type, body, created_at + interval '1 day'
        FROM event, generate_series(1, 300) n
    """,
    """
        INSERT INTO delivery (endpoint_id, event_number, invoice_id, sequence, state, tries, created_at, next_try_at)
        SELECT endpoint.id, number, invoice_id, sequence, 'delivered', 1, event.created_at, event.created_at
        FROM event, endpoint WHERE event.created_at > now() ORDER BY number
    """,
    """
        INSERT INTO delivery_attempt (delivery_id, at, outcome, latency_ms)
        SELECT id, created_at, 'delivered', 1 FROM delivery WHERE created_at > now()
    """,
    "ANALYZE event, delivery, delivery_attempt",  # what is old has been analyzed
)
#: The same events, told long ago with a position each.
PLACED = (
    """
        INSERT INTO event (id, invoice_id, sequence, type, body, created_at, published_at, positioned)
        SELECT id || n, invoice_id, sequence + 2 * n, type, body, created_at, created_at, 1
        FROM event, generate_series(1, 300) n
    """,
    """
        INSERT INTO event_position (position, event_number, account)
        SELECT (SELECT max(position) FROM event_position) + row_number() OVER (ORDER BY number), number, 'zeroxhost'
        FROM event WHERE positioned = 1 AND number NOT IN (SELECT event_number FROM event_position)
    """,
    "UPDATE event_log SET newest = (SELECT max(position) FROM event_position)",
    "ANALYZE event, event_position",
)
#: One invoice many times, old; three in four paid, every fiftieth late, ten cancelled long before all others.
COPIES = {
    "postgresql": """
        INSERT INTO invoice ({columns}) SELECT {values}
        FROM invoice, generate_series(1, {rows}) n WHERE invoice.id = :model
    """,
    "sqlite": """
        WITH RECURSIVE g (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < {rows})
        INSERT INTO invoice ({columns}) SELECT {values} FROM invoice, g WHERE invoice.id = :model
    """,
}
HEX = {"postgresql": "lpad(to_hex(n), 12, '0')", "sqlite": "printf('%012x', n)"}
#: Small enough to be read whole: an endpoint table of a handful of rows, and what SQLite makes of a list of keys.
SMALL = ("endpoint", "anon_", "picked")


def fill(database, rows):
    with database.transaction() as connection:
        connection.execute(text(FILL[database.engine.dialect.name].format(rows=rows)))


def explained(database, action, wanted):
    """The plans of the statements of one kind that ``action`` runs, each line a node."""
    plans: list[str] = []
    prefix = "EXPLAIN (COSTS OFF) " if database.is_postgresql else "EXPLAIN QUERY PLAN "

    def explain(_connection, cursor, statement, parameters, _context, many):
        if not re.match(wanted, statement.lstrip()):
            return
        with cursor.connection.cursor() if database.is_postgresql else cursor.connection as place:
            found = place.execute(prefix + statement, parameters[0] if many else parameters)
            plans.extend(str(row[0] if database.is_postgresql else row[3]) for row in found.fetchall())

    event.listen(database.engine, "before_cursor_execute", explain)
    try:
        action()
    finally:
        event.remove(database.engine, "before_cursor_execute", explain)
    assert plans, f"no statement like {wanted}"
    return "\n".join(plans)


def assert_by_index(plan):
    """No table is read from end to end."""
    for scanned in re.findall(r"^.*(?:Seq Scan on|\bSCAN) (\w+)(?!.*CONSTANT).*$", plan, re.MULTILINE):
        assert scanned.startswith(SMALL), plan


def work(database):
    """Some real invoices among many rows: a batch of claims of each kind, and what an endpoint has to send."""
    store, endpoint_id = open_store(database), subscribe(database)
    ids = pend(store, 60)
    for one in ids:
        make_due(database, one)
    return store, endpoint_id, ids


def copy_invoice(database, model, rows):
    """Many invoices like the one."""
    dialect = database.engine.dialect.name
    number = HEX[dialect]
    given = {
        "id": f"'inv_' || {number} || '00000000000000000000'",
        "idempotency_key": f"'key-' || {number}",
        "order_id": f"'order-' || {number}",
        "provider_ref": f"'ref-' || {number}",
        "status": "CASE WHEN n <= 10 THEN 'cancelled' WHEN n % 4 = 0 THEN 'expired' ELSE 'paid' END",
        "anomaly": "CASE WHEN n % 50 = 0 THEN 'late' END",
        "first_open": "0",
    }
    with database.transaction() as connection:
        columns = [row[0] for row in connection.execute(text("SELECT * FROM invoice LIMIT 0")).cursor.description]
        values = ", ".join(given.get(name, f"invoice.{name}") for name in columns)
        statement = COPIES[dialect].format(columns=", ".join(columns), values=values, rows=rows)
        connection.execute(text(statement), {"model": model})
