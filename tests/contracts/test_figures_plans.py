"""Among many invoices the overview's figures are read by index, on both databases."""

from __future__ import annotations

import re

from sqlalchemy import text

from tests.contracts.plan_cases import MORE, explained, work
from tests.contracts.store_cases import ACCOUNT
from workers.store.reads.figures.figures import read_figures
from workers.store.tables import INVOICE

#: Each invoice a thousand times more, made long ago.
OTHERS = {
    "id": "'inv_' || lpad(to_hex(n), 12, '0') || substr(id, 17)",
    "order_id": "order_id || n",
    "idempotency_key": "idempotency_key || n",
    "provider_ref": "provider_ref || n",
}
TABLES = "agenda|invoice|evidence|event|delivery|delivery_attempt|callback"


def multiply(connection):
    """PostgreSQL reads a few rows whole, and is right."""
    names = INVOICE.c.keys()
    columns = ", ".join(OTHERS.get(name, name) for name in names)
    more = f"INSERT INTO invoice ({', '.join(names)}) SELECT {columns} FROM invoice, generate_series(1, 1000) n"
    for statement in (*MORE, more, "ANALYZE invoice"):
        connection.execute(text(statement))


def test_the_overviews_figures_are_read_by_index(crowded):
    work(crowded)
    if crowded.is_postgresql:
        with crowded.transaction() as connection:
            multiply(connection)

    plan = explained(crowded, lambda: crowded.read(read_figures, crowded, [ACCOUNT]), r"(SELECT|WITH)")

    assert not re.findall(rf"^.*(?:Seq Scan on|\bSCAN) (?:{TABLES})\b(?!.*USING).*$", plan, re.MULTILINE), plan
    for index in ("ix_invoice_status", "ix_agenda_due", "ix_delivery_next"):
        assert index in plan, index
