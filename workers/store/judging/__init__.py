"""Evidence becomes truth: one transaction reads the invoices under lock, decides, writes change, event and agenda.

``transaction.judge`` is the entry point; the other modules are its parts.
"""

from workers.store.judging.transaction import judge
from workers.store.judging.work import Judged, Judgement, Outcome, Times

__all__ = ["Judged", "Judgement", "Outcome", "Times", "judge"]
