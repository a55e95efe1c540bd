"""Whether an order can be taken from a caller, and what is answered where it can't."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from domain.findings import Finding
from domain.order import Order, OrderError
from workers.intake.desk import Desk
from workers.intake.orders import check_order
from workers.store.intake import Added
from workers.web.api.access import Caller
from workers.web.problems import Problem


def check(desk: Desk, caller: Caller, fields: Any, trace: str | None = None) -> tuple[Order, str]:
    """The order in these fields, with this trace, and its provider's name. Raises Problem: 403, 422."""
    if isinstance(fields, dict) and isinstance(fields.get("account"), str):
        caller.require_account(fields["account"])
    try:
        order, provider = check_order(desk, fields)
    except OrderError as error:
        raise _unusable(_with_others(desk, fields, error)) from None
    for other in order.fallback_accounts or ():
        caller.require_account(other.account)
    return order.traced(trace), provider


def _with_others(desk: Desk, fields: Any, error: OrderError) -> OrderError:
    """The error, and what the check of the whole order would find: that runs only when each field is right."""
    found = {finding.path[0] for finding in error.findings if finding.path}
    more: list[Finding] = []
    if isinstance(fields, dict):
        account = fields.get("account")
        if "account" not in found and isinstance(account, str) and account not in desk.accounts:
            more.append(Finding(("account",), f"there is no account {account!r}"))
        if "currency" not in found and fields.get("price") is not None and fields.get("currency") is None:
            more.append(Finding(("currency",), "is required with a price"))
    line = "; ".join([str(error), *(one.line for one in more)])
    return OrderError(line, [*error.findings, *more]) if more else error


def with_key(fields: Any, key: str | None) -> Any:
    """The fields with the header's key. Raises Problem 422 where they have another key."""
    if key is None or not isinstance(fields, dict):
        return fields
    own = fields.get("idempotency_key")
    if own is None:
        return fields | {"idempotency_key": key}
    if isinstance(own, str) and own != key:  # the check of the order refuses other types
        raise _unusable(OrderError("idempotency_key: is not the one of the header Idempotency-Key"))
    return fields


def refused(added: Added) -> Problem:
    """The answer to an order that conflicts with another one."""
    reason = added.reason or "refused"
    finding = OrderError(reason).findings[0]
    more: dict[str, Any] = {"errors": _errors([finding]), "existing_invoice": added.invoice_id}
    if added.conflict == "key":
        return Problem(422, reason, kind="idempotency-key-reused", title="The key was used with other content", **more)
    return Problem(409, reason, kind="order-open", title="Another invoice of this order is open", **more)


def _unusable(error: OrderError) -> Problem:
    title = "The order can't be used"
    return Problem(422, str(error), kind="invalid-order", title=title, errors=_errors(error.findings))


def _errors(findings: Sequence[Finding]) -> list[dict[str, str]]:
    return [{"detail": finding.message, "pointer": finding.pointer} for finding in findings]
