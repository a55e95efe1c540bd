"""A webhook sent by hand, once, to see whether a receiver answers: it is in no event log, and is never repeated."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from domain.event import TEST_TYPE, new_id, notice
from workers.delivery.attempt import Attempt, Outgoing
from workers.delivery.webhook import WebhookSender
from workers.http.address import AddressGuard


def trial_of(
    endpoint_id: str, url: str, secrets: tuple[str, ...], headers: Mapping[str, str], now: datetime
) -> Outgoing:
    """An `invoices.test` event for this endpoint."""
    event_id = new_id("evt")
    body = notice(event_id, TEST_TYPE, now, {"endpoint": endpoint_id}, subject=endpoint_id)
    return Outgoing(url, secrets, event_id, body, headers)


async def send_trial(guard: AddressGuard, trial: Outgoing) -> Attempt:
    """Send it once."""
    async with WebhookSender(guard) as sender:
        return await sender.send(trial)
