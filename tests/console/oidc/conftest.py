"""The console on a public address that has an issuer, a stand-in for a real one."""

from __future__ import annotations

import pytest

from tests.console.doorstep import PUBLIC, Doorstep
from tests.console.stand_in_issuer import CLIENT_ID, ISSUER, SECRET, StandInIssuer
from workers.delivery.secretbox import SecretBox, new_key
from workers.web.console.client import Client
from workers.web.console.entrance import IssuersWord
from workers.web.console.gate import Doors


@pytest.fixture
def issuer():
    return StandInIssuer()


@pytest.fixture
def box():
    return SecretBox([new_key()])


@pytest.fixture
def doorstep(store, issuer, box):
    """The console on a public address that has an issuer."""
    client = Client(ISSUER, CLIENT_ID, SECRET, "roles")
    word = IssuersWord(client, lambda: box, PUBLIC, issuer.transport)
    doorstep = Doorstep(store, Doors(is_public=True, issuer=client.host), word=word)
    yield doorstep
    doorstep.close()


@pytest.fixture
def browser(doorstep):
    return doorstep.browser(PUBLIC)
