"""Which endpoints may want an event, as a condition."""

from domain.event import INVOICE_EVENTS


def interest(event_type: str) -> str:
    """The condition, in SQL, of endpoints that may want this type: an index of each type's own holds just these.

    It may find a few more than want it; their filters decide.
    """
    named = "events LIKE '%{}%'".format(event_type.replace("'", "''"))
    return f"events IS NULL OR {named}" if event_type.startswith(INVOICE_EVENTS) else named
