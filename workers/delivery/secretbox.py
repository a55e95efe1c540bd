"""Encrypts endpoints' secrets and header values at rest, with Fernet (AES-128-CBC and HMAC-SHA256).

The keys are those of ``INVOICES_SECRET_KEY``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from domain.exact_json import read_json, write_json


class SecretUnreadable(Exception):  # noqa: N818 - reads as what happened
    """A stored secret opens with none of the keys: it was sealed with another one, or is damaged."""


def new_key() -> str:
    """A fresh value for ``INVOICES_SECRET_KEY``: 32 random bytes in URL-safe base64."""
    return Fernet.generate_key().decode()


class SecretBox:
    """Seals with the first key, opens with any. To rotate: put a new key first, ``renew`` all, drop the old one."""

    def __init__(self, keys: Sequence[str]) -> None:
        """``keys``: the items of ``INVOICES_SECRET_KEY``. Raises ValueError if there are none or one is malformed."""
        if not keys:
            raise ValueError("INVOICES_SECRET_KEY: no key given; it encrypts the endpoints' secrets")
        self._fernet = MultiFernet([_fernet_of(key, place) for place, key in enumerate(keys, start=1)])
        self._key_count = len(keys)

    def __repr__(self) -> str:
        return f"SecretBox({self._key_count} keys)"

    def seal(self, text: str) -> str:
        """The text encrypted under the first key (ASCII, about 4/3 of its length plus 100)."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """The text that was sealed. Raises SecretUnreadable."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except (InvalidToken, UnicodeError):
            raise SecretUnreadable(_UNREADABLE) from None

    def renew(self, sealed: str) -> str:
        """The same text sealed anew under the first key. Raises SecretUnreadable."""
        try:
            return self._fernet.rotate(sealed.encode()).decode()
        except (InvalidToken, UnicodeError):
            raise SecretUnreadable(_UNREADABLE) from None

    def seal_headers(self, headers: Mapping[str, str]) -> str | None:
        """Headers as they are stored: JSON, each value encrypted. None where there are none."""
        return write_json({name: self.seal(value) for name, value in headers.items()}) if headers else None

    def open_headers(self, sealed: str | None, clear: str) -> dict[str, str]:
        """The sealed headers, and those that an earlier release stored in the clear. Raises SecretUnreadable."""
        opened = {name: self.open(value) for name, value in read_json(sealed).items()} if sealed else {}
        return {**read_json(clear), **opened}

    def renew_headers(self, sealed: str | None, clear: str) -> str | None:
        """The same headers, all sealed anew under the first key. Raises SecretUnreadable."""
        return self.seal_headers(self.open_headers(sealed, clear))


_UNREADABLE = (
    "a stored endpoint secret opens with no key of INVOICES_SECRET_KEY: add the key it was sealed with behind the first"
)


def _fernet_of(key: str, place: int) -> Fernet:
    try:
        return Fernet(key.strip())
    except ValueError:
        raise ValueError(f"INVOICES_SECRET_KEY: key {place} is not 32 bytes in URL-safe base64") from None
