"""An OIDC issuer of the tests' own: a Starlette application that says what a test wants it to say."""

from __future__ import annotations

import base64
import hashlib
import time
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ISSUER = "https://id.example/realms/shop"
CLIENT_ID, SECRET = "invoices", "client-s%cret"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
NEXT_KEY = ECKey.generate_key("P-256", {"kid": "two", "use": "sig"})


class StandInIssuer:
    """What it says can be changed: claims, header, keys, addresses, whole answers."""

    def __init__(self) -> None:
        self.claims: dict[str, object] = {"preferred_username": "j.brandt", "roles": ["operator"]}
        self.document: dict[str, object] = {}
        self.info: dict[str, object] = {}
        self.key: RSAKey | ECKey = KEY
        self.alg = "RS256"
        self.kid: str | None = "one"
        self.published: list[RSAKey | ECKey] = [KEY]
        self.answers: dict[str, Response | Exception] = {}  #: by path, instead of ours
        self.asked: list[tuple[str, Request]] = []
        self.sent: dict[str, str] = {}  #: the parameters of the newest authorization
        self.token_fields: dict[str, list[str]] = {}
        self.application = Starlette(
            routes=[
                Route("/realms/shop/.well-known/openid-configuration", self._around(self._document)),
                Route("/keys", self._around(self._keys)),
                Route("/token", self._around(self._token), methods=["POST"]),
                Route("/userinfo", self._around(self._info)),
            ]
        )

    @property
    def transport(self) -> httpx.ASGITransport:
        return httpx.ASGITransport(self.application)

    def authorize(self, location: str) -> dict[str, str]:
        """What the issuer's own page does: the parameters that the browser comes back with."""
        self.sent = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        return {"code": "a-code", "state": self.sent["state"]}

    def _around(self, answer):
        async def asked(request: Request) -> Response:
            path = request.url.path
            self.asked.append((path, request))
            given = self.answers.get(path.rpartition("/")[2])
            if isinstance(given, Exception):
                raise given
            return given if given is not None else await answer(request)

        return asked

    async def _document(self, _: Request) -> Response:
        base = "https://id.example"
        document = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{base}/authorize?tenant=7",
            "token_endpoint": f"{base}/token",
            "jwks_uri": f"{base}/keys",
            "userinfo_endpoint": f"{base}/userinfo",
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none"],
        }
        return JSONResponse(document | self.document)

    async def _keys(self, _: Request) -> Response:
        return JSONResponse({"keys": [key.as_dict(private=False) for key in self.published]})

    async def _info(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer an-access-token"
        return JSONResponse({"sub": "user-7"} | self.info)

    async def _token(self, request: Request) -> Response:
        self.token_fields = parse_qs((await request.body()).decode())
        verifier = self.token_fields["code_verifier"][0]
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if challenge != self.sent["code_challenge"] or self.token_fields["code"] != ["a-code"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse({"token_type": "Bearer", "access_token": "an-access-token", "id_token": self.id_token()})

    def id_token(self) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": "user-7",
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": self.sent["nonce"],
        }
        claims = {name: value for name, value in (claims | self.claims).items() if value is not None}
        header = {"alg": self.alg} | ({} if self.kid is None else {"kid": self.kid})
        return jwt.encode(header, claims, self.key, algorithms=[self.alg])
