"""An OIDC issuer: its addresses and keys, the exchange of a code for a token, and what it says of somebody.

Everything it answers is bounded in time and size; redirects are not followed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote_plus, urlsplit

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from workers.web.console.client import Client

CALL_SECONDS = 10.0
MOST_BYTES = 256 * 1024
#: How long its addresses, and its keys, are kept; and how often a missing key is looked for, at most.
METADATA_SECONDS, KEYS_SECONDS, SEEK_SECONDS = 3600.0, 600.0, 30.0
DISCOVERY = "/.well-known/openid-configuration"
#: Signatures by a key pair only: with a shared secret whoever knows ours could sign.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})

Json = Mapping[str, object]


class IssuerAway(Exception):  # noqa: N818 - reads as what happened
    """It does not answer, or not as an issuer does. One line of our own words."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Its addresses, and what it can do."""

    authorization: str
    token: str
    keys: str
    userinfo: str | None
    posts_secret: bool  #: takes the client's secret in the body only
    names_itself: bool  #: in every answer that it sends a browser back with (RFC 9207)
    algorithms: tuple[str, ...]


class Issuer:
    """Asked over one shared client. Used on one event loop."""

    def __init__(self, client: Client, http: httpx.AsyncClient, clock: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self._http = http
        self._clock = clock
        self._lock = asyncio.Lock()
        self._places: Addresses | None = None
        self._keys: KeySet | None = None
        self._failures, self._why = 0, ""  #: how often its addresses were asked for in vain, and the last answer
        self._places_at = self._keys_at = float("-inf")

    async def places(self) -> Addresses:
        """Its addresses. Raises IssuerAway. Whoever waits while another asks gets that one's failure too: asking one
        after the other, they would hold their connections for ten seconds each."""
        failures = self._failures
        async with self._lock:
            if self._places is None or self._clock() - self._places_at > METADATA_SECONDS:
                if self._failures > failures:
                    raise IssuerAway(self._why)
                try:
                    found = await self._get(self.client.issuer.rstrip("/") + DISCOVERY)
                    self._places, self._places_at = _read_places(self.client.issuer, found), self._clock()
                except IssuerAway as away:
                    self._failures, self._why = self._failures + 1, str(away)
                    raise
            return self._places

    async def keys(self, *, anew: bool = False) -> KeySet:
        """What it signs with; ``anew``: a key was missing, look again unless that was just done. Raises IssuerAway."""
        places = await self.places()
        async with self._lock:
            age = self._clock() - self._keys_at
            if self._keys is None or age > (SEEK_SECONDS if anew else KEYS_SECONDS):
                self._keys, self._keys_at = _read_keys(await self._get(places.keys)), self._clock()
            return self._keys

    async def exchange(self, code: str, verifier: str, redirect_url: str) -> Json:
        """The token for a code that a browser brought; with ``error`` where it refuses. Raises IssuerAway."""
        places, client = await self.places(), self.client
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_url,
            "code_verifier": verifier,
            "client_id": client.client_id,
        }
        headers: dict[str, str] = {}
        if client.client_secret is not None and places.posts_secret:
            fields["client_secret"] = client.client_secret
        elif client.client_secret is not None:
            del fields["client_id"]
            pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return await self._ask(self._http.build_request("POST", places.token, data=fields, headers=headers), (400, 401))

    async def userinfo(self, access_token: str) -> Json:
        """What it says of whoever the token is for; nothing where it tells nothing more. Raises IssuerAway."""
        places = await self.places()
        if places.userinfo is None:
            return {}
        headers = {"authorization": f"Bearer {access_token}"}
        return await self._ask(self._http.build_request("GET", places.userinfo, headers=headers))

    async def close(self) -> None:
        """No more calls."""
        await self._http.aclose()

    async def _get(self, url: str) -> Json:
        return await self._ask(self._http.build_request("GET", url))

    async def _ask(self, request: httpx.Request, refusals: tuple[int, ...] = ()) -> Json:
        request.headers["accept"] = "application/json"
        request.headers["accept-encoding"] = "identity"  # nothing unpacks without a bound
        where = request.url.host
        try:
            async with asyncio.timeout(CALL_SECONDS):
                status, content = await self._read(request)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise IssuerAway(f"{where} does not answer ({type(error).__name__})") from None
        if status != httpx.codes.OK and status not in refusals:
            raise IssuerAway(f"{where} answered {status}")
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            raise IssuerAway(f"{where} answered something else than JSON") from None
        if not isinstance(answer, dict):
            raise IssuerAway(f"{where} answered no JSON object")
        return answer

    async def _read(self, request: httpx.Request) -> tuple[int, bytes]:
        response = await self._http.send(request, stream=True, follow_redirects=False)
        content = bytearray()
        try:
            async for piece in response.aiter_raw():
                content += piece
                if len(content) > MOST_BYTES:
                    raise IssuerAway(f"{request.url.host} answered more than {MOST_BYTES} bytes")
        finally:
            await response.aclose()
        return response.status_code, bytes(content)


def _read_places(issuer: str, found: Json) -> Addresses:
    if found.get("issuer") != issuer:
        raise IssuerAway(
            "the issuer's document names another issuer: INVOICES_OIDC_ISSUER must be exactly its own name"
        )
    methods = found.get("token_endpoint_auth_methods_supported")
    signing = found.get("id_token_signing_alg_values_supported")
    usable = tuple(one for one in ALGORITHMS if isinstance(signing, list) and one in signing)
    return Addresses(
        authorization=_address(issuer, found, "authorization_endpoint"),
        token=_address(issuer, found, "token_endpoint"),
        keys=_address(issuer, found, "jwks_uri"),
        userinfo=_address(issuer, found, "userinfo_endpoint") if "userinfo_endpoint" in found else None,
        posts_secret=isinstance(methods, list) and "client_secret_basic" not in methods,
        names_itself=found.get("authorization_response_iss_parameter_supported") is True,
        algorithms=usable or ("RS256",),
    )


def _address(issuer: str, found: Json, name: str) -> str:
    """No less guarded than the issuer's own."""
    value = found.get(name)
    scheme = urlsplit(value).scheme if isinstance(value, str) and value.isascii() and value.isprintable() else ""
    if not isinstance(value, str) or scheme not in {"https", urlsplit(issuer).scheme}:
        raise IssuerAway(f"the issuer's document has no usable {name}")
    return value


def _read_keys(found: Json) -> KeySet:
    """Its public keys, without kinds that nothing is checked with."""
    keys = found.get("keys")
    pairs = (
        [one for one in keys if isinstance(one, dict) and one.get("kty") in _KEY_TYPES]
        if isinstance(keys, list)
        else []
    )
    try:
        return KeySet.import_key_set({"keys": [one for one in pairs if one.get("use", "sig") == "sig"]})
    except (JoseError, ValueError, TypeError, KeyError):
        raise IssuerAway("the issuer's keys can't be read") from None
