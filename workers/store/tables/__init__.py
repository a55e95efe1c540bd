"""The tables, each declared once as an SQLModel class and once, here, as what statements are made of.

No relationships, no lazy loading: rows are read and written by the statements of ``workers/store``.
"""

from typing import Final

from sqlalchemy import Table
from sqlmodel import SQLModel

from workers.store.tables.access import AccessToken, ReplayJob
from workers.store.tables.acts import OperatorAct
from workers.store.tables.arrivals import Callback, ForgedCallback, RejectedMessage
from workers.store.tables.drift import DriftInvoice, ProviderDrift
from workers.store.tables.events import Delivery, DeliveryAttempt, Endpoint, Event, EventLog, EventPosition
from workers.store.tables.invoices import EvidenceRecord, Invoice, PaymentRow
from workers.store.tables.processes import ProcessSeen
from workers.store.tables.work import Agenda, DatabaseClock, KeptAnswer, Restoration


def table_of(model: type[SQLModel]) -> Table:
    """What SQLModel has made of a class."""
    return model.metadata.tables[str(model.__tablename__)]


INVOICE: Final = table_of(Invoice)
EVIDENCE: Final = table_of(EvidenceRecord)
PAYMENT: Final = table_of(PaymentRow)
AGENDA: Final = table_of(Agenda)
CLOCK: Final = table_of(DatabaseClock)
KEPT: Final = table_of(KeptAnswer)
RESTORATION: Final = table_of(Restoration)
EVENT: Final = table_of(Event)
LOG: Final = table_of(EventLog)
POSITION: Final = table_of(EventPosition)
ENDPOINT: Final = table_of(Endpoint)
DELIVERY: Final = table_of(Delivery)
ATTEMPT: Final = table_of(DeliveryAttempt)
CALLBACK: Final = table_of(Callback)
FORGED: Final = table_of(ForgedCallback)
REJECTED: Final = table_of(RejectedMessage)
DRIFT: Final = table_of(ProviderDrift)
DRIFT_INVOICE: Final = table_of(DriftInvoice)
ACT: Final = table_of(OperatorAct)
TOKEN: Final = table_of(AccessToken)
JOB: Final = table_of(ReplayJob)
PROCESS: Final = table_of(ProcessSeen)
