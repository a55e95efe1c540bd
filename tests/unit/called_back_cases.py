"""An invoice of a provider that calls back, and what callbacks and look-ups say of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from domain.decision import Stage
from domain.evidence import CalledBack, Created, Seen
from domain.status import Status
from tests.invoice_world import World, new_invoice, new_policy

REF, CODE = "9a1c", "100061"


def made(**given):
    """A Nebulox invoice that was made: it can't be asked until a callback brings its tracking code."""
    policy = {"asked_by_reference": True, **given.pop("policy", {})}
    order = {"price": Decimal("12.50"), "currency": "EUR"}
    world = World(new_invoice(**order | given), new_policy(**policy))
    world.take(Created(provider_ref=REF), held=Stage.CREATE)
    return world


def called(word="COMPLETED", status=Status.PAID, reference=CODE, **fields):
    return CalledBack(status=status, word=word, reference=reference, **fields)


def verified(word="COMPLETED", status=Status.PAID, **fields):
    given: dict[str, Any] = {"provider_ref": REF, "order_id": "order-1", "price": Decimal("12.5"), "currency": "EUR"}
    return Seen(status=status, word=word, **given | fields)
