"""Which providers the sandbox plays: each is a file or folder beside this one, and a line here."""

from __future__ import annotations

from workers.embedded.sandbox.providers.nebulox.stand_in import Nebulox
from workers.embedded.sandbox.providers.zeroxhost import Zeroxhost
from workers.embedded.sandbox.stand_in import StandIn

#: Routes, control address, options and demo follow from these.
STAND_INS: tuple[type[StandIn], ...] = (
    Nebulox,
    Zeroxhost,
)
