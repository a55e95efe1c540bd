"""What an issuer's ID token says of somebody, once it is sure that the issuer says it, to us, and now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from joserfc.jwt import Token

from domain.permissions import Role
from domain.visible import why_meaningless
from workers.store.people import key_of
from workers.web.console.issuer import Issuer, Json

#: By which the issuer's clock and ours may differ.
LEEWAY_SECONDS = 60
LONGEST_TOKEN, LONGEST_NAME = 64 * 1024, 100
#: The highest last. Roles are compared as words, whatever their case.
RANKS = (Role.VIEWER, Role.OPERATOR, Role.FINANCE, Role.ADMIN)


class TokenRefused(Exception):  # noqa: N818 - reads as what happened
    """The token proves nothing. One line for the log."""


@dataclass(frozen=True, slots=True)
class Known:
    """Who somebody is by the issuer's word. ``role`` None: none of ours."""

    subject: str
    name: str
    role: Role | None


async def read_person(issuer: Issuer, answer: Json, nonce: str) -> Known:
    """Who a token is for. Raises TokenRefused, IssuerAway."""
    claims = await _claims(issuer, answer, nonce)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise TokenRefused("the ID token has no subject")
    roles, more = find_claim(claims, issuer.client.roles_claim), {}
    access_token = answer.get("access_token")
    if roles is None and isinstance(access_token, str):
        more = dict(await issuer.userinfo(access_token))
        if more and more.get("sub") != subject:
            raise TokenRefused("userinfo is about somebody else")
        roles = find_claim(more, issuer.client.roles_claim)
    return Known(subject, name_of({**more, **claims}), role_of(roles))


async def _claims(issuer: Issuer, answer: Json, nonce: str) -> Mapping[str, object]:
    text = answer.get("id_token")
    if not isinstance(text, str) or len(text) > LONGEST_TOKEN:
        raise TokenRefused("there is no ID token")
    algorithms = (await issuer.places()).algorithms
    try:
        try:
            token = _decode(text, await issuer.keys(), algorithms)
        except InvalidKeyIdError:  # the issuer may have changed its keys
            token = _decode(text, await issuer.keys(anew=True), algorithms)
        return _validated(issuer, token, nonce, answer.get("access_token"))
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise TokenRefused(f"the ID token proves nothing: {type(error).__name__}: {error}"[:300]) from None


def _decode(text: str, keys: KeySet, algorithms: tuple[str, ...]) -> Token:
    return jwt.decode(text, keys, registry=JWSRegistry(algorithms=list(algorithms), strict_check_header=False))


def _validated(issuer: Issuer, token: Token, nonce: str, access_token: object) -> Mapping[str, object]:
    client = issuer.client
    options = {
        "iss": {"essential": True, "value": client.issuer},
        "aud": {"essential": True, "value": client.client_id},
        "exp": {"essential": True},
        "iat": {"essential": True},
    }
    params = {"nonce": nonce, "client_id": client.client_id, "access_token": access_token}
    claims = CodeIDToken(token.claims, token.header, options, params)
    claims.validate(leeway=LEEWAY_SECONDS)
    return dict(claims)


def find_claim(claims: Json, name: str) -> object:
    """A claim; by its whole name, or by the points in it from object to object. None: there is none."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def role_of(claim: object) -> Role | None:
    """The highest of our roles in a claim: a word, words with spaces or commas between, or a list of words."""
    words = claim.replace(",", " ").split() if isinstance(claim, str) else claim
    if not isinstance(words, list):
        return None
    given = {word.lower() for word in words if isinstance(word, str)}
    return next((role for role in reversed(RANKS) if role.value in given), None)


def name_of(claims: Json) -> str:
    """What somebody is called: the first that can be shown as it is."""
    for claim in ("preferred_username", "email", "sub"):
        value = claims.get(claim)
        if isinstance(value, str) and why_meaningless(value) is None and _is_name(value.strip()[:LONGEST_NAME]):
            return value.strip()[:LONGEST_NAME]
    return "somebody"


def _is_name(text: str) -> bool:
    try:
        key_of(text)
    except ValueError:
        return False
    return True
