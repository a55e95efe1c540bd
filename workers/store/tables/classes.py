"""The classes, by the names of their plain tables. Migrations are compared with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.store.tables.access import AccessToken, BulkFailure, BulkJob, ReplayJob
from workers.store.tables.acts import OperatorAct
from workers.store.tables.arrivals import Callback, ForgedCallback, RejectedMessage
from workers.store.tables.drift import DriftInvoice, ProviderDrift
from workers.store.tables.events import Delivery, DeliveryAttempt, Endpoint, Event, EventLog, EventPosition
from workers.store.tables.invoices import EvidenceRecord, Invoice, PaymentRow
from workers.store.tables.people import ConsoleAttempt, ConsoleLink, ConsolePerson, ConsoleSession
from workers.store.tables.processes import ProcessSeen
from workers.store.tables.work import Agenda, DatabaseClock, KeptAnswer, Restoration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlmodel import SQLModel

CLASSES: Final[Mapping[str, type[SQLModel]]] = {
    "INVOICE": Invoice,
    "EVIDENCE": EvidenceRecord,
    "PAYMENT": PaymentRow,
    "AGENDA": Agenda,
    "CLOCK": DatabaseClock,
    "KEPT": KeptAnswer,
    "RESTORATION": Restoration,
    "EVENT": Event,
    "LOG": EventLog,
    "POSITION": EventPosition,
    "ENDPOINT": Endpoint,
    "DELIVERY": Delivery,
    "ATTEMPT": DeliveryAttempt,
    "CALLBACK": Callback,
    "FORGED": ForgedCallback,
    "REJECTED": RejectedMessage,
    "DRIFT": ProviderDrift,
    "DRIFT_INVOICE": DriftInvoice,
    "ACT": OperatorAct,
    "TOKEN": AccessToken,
    "JOB": ReplayJob,
    "BULK": BulkJob,
    "BULK_FAILURE": BulkFailure,
    "PROCESS": ProcessSeen,
    "PERSON": ConsolePerson,
    "SESSION": ConsoleSession,
    "LINK": ConsoleLink,
    "ATTEMPTED": ConsoleAttempt,
}
