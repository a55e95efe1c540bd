"""Whether a provider can be asked about an invoice, and by what. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from domain.exact_json import read_json


class Asked(Protocol):
    """The fields of an invoice that a provider could be asked by."""

    @property
    def provider_ref(self) -> str | None: ...
    @property
    def asked_by(self) -> str | None:
        """JSON list of the references that callbacks brought, oldest first."""
        ...

    @property
    def twins(self) -> str | None:
        """JSON list of the order's other invoices, which repeated creates made: the provider's ids."""
        ...


class Asking(Protocol):
    """How a provider is asked: its adapter tells, and an account's policy repeats it."""

    @property
    def can_be_asked(self) -> bool: ...
    @property
    def asked_by_reference(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Known:
    """What an invoice will know once a decision is written: its row does not have it yet."""

    provider_ref: str | None
    asked_by: str | None
    twins: str | None = None


def asks_by(invoice: Asked, provider: Asking) -> list[str]:
    """What the provider is asked by: its own ids of the invoice and its twins, or the references that callbacks
    brought. Empty: it can't be asked."""
    if not provider.can_be_asked:
        return []
    if provider.asked_by_reference:
        return references_of(invoice)
    return [invoice.provider_ref, *twins_of(invoice)] if invoice.provider_ref else []


def can_be_asked(invoice: Asked, provider: Asking) -> bool:
    """Whether the provider can be asked about this invoice as it is now."""
    return bool(asks_by(invoice, provider))


def waits_for_callback(invoice: Asked, provider: Asking) -> bool:
    """Whether the provider can't be asked before a callback brings a reference, and none has come."""
    return provider.can_be_asked and provider.asked_by_reference and not invoice.asked_by


def references_of(invoice: Asked) -> list[str]:
    """The references that callbacks brought, oldest first."""
    return [str(reference) for reference in read_json(invoice.asked_by)] if invoice.asked_by else []


def twins_of(invoice: Asked) -> list[str]:
    """The provider's ids of the order's other invoices: a payment to one of them pays the order, too."""
    return [str(reference) for reference in read_json(invoice.twins)] if invoice.twins else []
