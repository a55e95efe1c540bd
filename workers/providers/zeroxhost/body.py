"""The body of a create: which fields of an order are sent depends on the account's profile."""

from __future__ import annotations

from collections.abc import Mapping

from domain.account import Account
from domain.order import Order, OrderError
from domain.ports import CreateRequest
from domain.visible import one_line, why_meaningless

#: The body's fields by profile: the two of the API page, and the five of a sister site.
PROFILES: Mapping[str, tuple[str, ...]] = {
    "server": ("user_id", "server_id"),
    "order": ("user_id", "order_id", "currency", "pay_currency", "network"),
}
DEFAULT_PROFILE = "server"
#: Fields that are taken from the order itself if ``params`` leaves them out.
FROM_ORDER = frozenset({"order_id", "currency", "pay_currency", "network"})
MAX_PARAM = 255


def write_body(order: Order | CreateRequest, account: Account) -> dict[str, str]:
    """The body: exactly the profile's fields, each a text that is sent as it is. Raises OrderError."""
    profile = account.profile or DEFAULT_PROFILE
    names = PROFILES.get(profile)
    if names is None:
        raise OrderError(f"account: its profile must be one of {', '.join(sorted(PROFILES))}")
    unknown = sorted(set(order.params) - set(names))
    if unknown:
        raise OrderError(
            f"params.{one_line(unknown[0], 64)}: unknown field, profile {profile} takes {', '.join(names)}"
        )
    return {name: _read_param(name, order, profile) for name in names}


def _read_param(name: str, order: Order | CreateRequest, profile: str) -> str:
    value = order.params.get(name)
    if value is None and name in FROM_ORDER:
        value = getattr(order, name)
    if value is None:
        raise OrderError(f"params.{name}: is required, a text (profile {profile})")
    if not isinstance(value, str) or not value.strip():
        raise OrderError(f"params.{name}: must be a text that is not empty")
    hidden = why_meaningless(value)
    if hidden is not None:
        raise OrderError(f"params.{name}: must not contain {hidden}")
    if len(value) > MAX_PARAM:
        raise OrderError(f"params.{name}: must be at most {MAX_PARAM} characters")
    return value
