"""Passwords as they are kept."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from workers.store.passwords import LANES, MEMORY_KIB, NOBODYS, PASSES, hash_password, is_password, new_password


@pytest.fixture(autouse=True)
def light_passwords():
    """Passwords are hashed here as in earnest."""


def test_a_password_is_kept_as_argon2id_with_a_salt_of_its_own():
    password = new_password()
    first, second = hash_password(password), hash_password(password)

    assert first.startswith(f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$")
    assert first != second
    assert is_password(first, password)
    assert not is_password(first, password + " ")
    assert not is_password("not a hash", password)


def test_a_name_that_nobody_has_costs_what_a_wrong_password_costs():
    now = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)

    assert not now.check_needs_rehash(NOBODYS)
    assert not is_password(NOBODYS, "")


def test_whatever_somebody_types_is_no_error():
    kept = hash_password("pässwörd")

    assert is_password(kept, "pässwörd")
    assert not is_password(kept, "\ud800")
