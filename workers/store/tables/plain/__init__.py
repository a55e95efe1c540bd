"""The plain tables that statements are made of: columns and primary keys, without indexes.

Written from the classes by `python -m tests.plain_tables`; a test compares the two. Commands that only read import no
SQLModel: that would take longer than all the rest of them.
"""

from workers.store.tables.plain.access import BULK, BULK_FAILURE, JOB, TOKEN
from workers.store.tables.plain.acts import ACT
from workers.store.tables.plain.arrivals import CALLBACK, FORGED, REJECTED
from workers.store.tables.plain.drift import DRIFT, DRIFT_INVOICE
from workers.store.tables.plain.events import ATTEMPT, DELIVERY, ENDPOINT, EVENT, LOG, POSITION
from workers.store.tables.plain.invoices import EVIDENCE, INVOICE, PAYMENT
from workers.store.tables.plain.people import ATTEMPTED, LINK, PERSON, SESSION
from workers.store.tables.plain.processes import PROCESS
from workers.store.tables.plain.work import AGENDA, CLOCK, KEPT, RESTORATION

__all__ = [
    "ACT",
    "AGENDA",
    "ATTEMPT",
    "ATTEMPTED",
    "BULK",
    "BULK_FAILURE",
    "CALLBACK",
    "CLOCK",
    "DELIVERY",
    "DRIFT",
    "DRIFT_INVOICE",
    "ENDPOINT",
    "EVENT",
    "EVIDENCE",
    "FORGED",
    "INVOICE",
    "JOB",
    "KEPT",
    "LINK",
    "LOG",
    "PAYMENT",
    "PERSON",
    "POSITION",
    "PROCESS",
    "REJECTED",
    "RESTORATION",
    "SESSION",
    "TOKEN",
]
