"""The providers that the sandbox plays: each is a file or folder here, and a line below."""

from __future__ import annotations

from workers.embedded.sandbox.providers.nebulox.stand_in import Nebulox
from workers.embedded.sandbox.providers.zeroxhost import ZeroxHost
from workers.embedded.sandbox.stand_in import StandIn

#: Routes, the control address, options and the demo's orders are made from these.
STAND_INS: tuple[type[StandIn], ...] = (
    Nebulox,
    ZeroxHost,
)
