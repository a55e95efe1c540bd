"""Which endpoints may want an event, as a condition."""

from domain.event import INVOICE_EVENTS


def interest(event_type: str) -> str:
    """The condition, in SQL, of endpoints that may want this type; each type has a partial index of just these.

    It may hold for a few that don't want it: their filters decide.
    """
    named = "events LIKE '%{}%'".format(event_type.replace("'", "''"))
    return f"events IS NULL OR {named}" if event_type.startswith(INVOICE_EVENTS) else named
