"""A setting as it may be shown. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Where a value came from; ``decided``: nobody gave it, and it follows from others.
Origin = Literal["environment", "file", "default", "decided"]


@dataclass(frozen=True, slots=True)
class ToldSetting:
    """``value`` holds no secret: what is one is ``***``. None: there is none."""

    name: str
    value: str | None
    origin: Origin
    is_secret: bool = False
