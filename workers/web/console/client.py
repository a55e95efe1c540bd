"""What an OIDC issuer knows us by. Apart from what talks to it: its libraries are imported only where one is set."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Client:
    """What we are to the issuer."""

    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    roles_claim: str

    @property
    def host(self) -> str:
        """What people know it by."""
        return urlsplit(self.issuer).netloc
