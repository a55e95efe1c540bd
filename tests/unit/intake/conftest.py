"""The intake's desk over a store in memory."""

from __future__ import annotations

import pytest

from tests.unit.intake.intake_cases import SHOP, Checker, MemoryStore
from workers.intake.desk import Desk


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def desk(store):
    return Desk(store, {"shop": SHOP}, {"nebulox": Checker()})
