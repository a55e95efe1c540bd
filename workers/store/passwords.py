"""Passwords of the console's people, and secrets of sessions and links. Of none of them more than a hash is kept."""

from __future__ import annotations

import functools
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

#: RFC 9106's second choice on one lane: 64 MiB and about 0.2 s a check.
PASSES, MEMORY_KIB, LANES = 3, 64 * 1024, 1
PASSWORD_BYTES, SECRET_BYTES = 18, 32
#: Of a password that nobody knows: a sign-in with an unknown name takes as long as one with a wrong password.
NOBODYS = "$argon2id$v=19$m=65536,t=3,p=1$TqgMX8oUpczjKLN+Bf05Mw$blx8r4iAiO8bBroB/HvFgP+Qgo/ZopiZ0RY+8TdIMzc"


def new_password() -> str:
    """One that nobody can guess."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def new_secret() -> str:
    """For a session or a link. It has 256 random bits: SHA-256 is enough to keep of it."""
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_password(password: str) -> str:
    """What is kept of a password. Takes a while, and memory."""
    return _hasher().hash(_bytes(password))


def is_password(kept: str, password: str) -> bool:
    """Whether this is the password. Takes as long as hashing it; not for an event loop."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(kept, _bytes(password))
    except (VerificationError, InvalidHashError):
        return False


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


@functools.cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher  # few commands need it

    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
