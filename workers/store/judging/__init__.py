"""Evidence becomes truth: one transaction re-reads the invoices under lock, decides, writes change, event, agenda.

``transaction.judge`` is the way in; the other modules are its parts.
"""

from workers.store.judging.transaction import judge
from workers.store.judging.work import Judged, Judgement, Outcome, Times

__all__ = ["Judged", "Judgement", "Outcome", "Times", "judge"]
