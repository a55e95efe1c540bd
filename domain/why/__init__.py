"""Why nothing happens: the first cause that holds for an order, and whether the system as a whole works. Pure."""

from domain.why.cause import Cause, Why, why_fields
from domain.why.causes import first_cause
from domain.why.verdict import Late, Verdict, assess_health

__all__ = ["Cause", "Late", "Verdict", "Why", "assess_health", "first_cause", "why_fields"]
