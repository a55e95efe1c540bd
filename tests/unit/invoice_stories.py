"""Where the stories of an invoice begin, and the words they use."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from domain import evidence as said
from domain.decision import Stage
from domain.evidence import ClockRanOut, Created, InDoubt, Seen
from tests.invoice_world import START, World, new_invoice, new_policy

HOUR = 3600.0
EXPIRES_AT = START + timedelta(seconds=HOUR)
MADE = Created(provider_ref="110816020", pay_amount=Decimal("0.0358619204"), expires_at=EXPIRES_AT)
UNREACHABLE = said.Unreachable(reason="connection refused")
REFUSED_KEY = said.CredentialsRefused(reason="HTTP 406: This gateway is not active")
TURNED_AWAY = said.ProviderRefused(reason="HTTP 404: a web page")
LOST = InDoubt(reason="no answer within the time-out")


def queued(**policy):
    """A queued order, its CREATE row due at once."""
    return World(new_invoice(), new_policy(**policy))


def pending(**policy):
    """An invoice that was just made and expires in an hour."""
    world = queued(**policy)
    world.take(MADE, Stage.CREATE)
    return world


def at_expiry(**policy):
    """A pending invoice at the moment its time runs out; the clock has just rung."""
    world = pending(**policy)
    world.pass_time(HOUR)
    world.take(ClockRanOut(), Stage.CLOCK)
    return world


def look(world, status, **fields):
    """A look-up of this moment that finds a status."""
    return world.take(Seen(status=status, word=str(status), asked_at=world.now, **fields), Stage.CHECK)


def story(world):
    """What the shop was told."""
    return [event.removeprefix("invoice.") for _, event, _ in world.told]
