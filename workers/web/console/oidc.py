"""Signing in by an issuer's word: authorization code with PKCE. State and nonce are bound to the browser by a sealed
cookie, so that nothing is kept here for somebody who never comes back."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import structlog
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from workers.delivery.secretbox import SecretBox, SecretUnreadable
from workers.store.operate.sessions import SignIn, begin
from workers.store.operate.sign_in_attempts import Attempts
from workers.store.passwords import new_secret
from workers.web.console.console import SIGN_IN, Console, read_filter
from workers.web.console.cookies import ATTEMPT, drop_cookie, read_cookie, session_of, set_cookie
from workers.web.console.gate import address_of
from workers.web.console.id_token import Known, TokenRefused, read_person
from workers.web.console.issuer import Issuer, IssuerAway
from workers.web.console.redirects import HOME, local_place
from workers.web.console.refusals import Refused
from workers.web.console.sign_in import welcome

log = structlog.get_logger()

START, BACK = f"{SIGN_IN}/oidc", f"{SIGN_IN}/oidc/back"
SCOPE = "openid profile email"
ATTEMPT_SECONDS = 600
#: A cookie has 4 KiB, and sealing takes a third.
LONGEST_PLACE = 1000
LONGEST_CODE = 4096
MOST_UNDER_WAY = 16


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that has gone to the issuer, as its browser keeps it."""

    state: str
    nonce: str
    verifier: str
    place: str
    at: float  #: Unix time


class IssuerPages:
    """The way to the issuer, and back."""

    def __init__(
        self,
        console: Console,
        issuer: Issuer,
        box: Callable[[], SecretBox],
        attempts: Attempts,
        public_url: str | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._console = console
        self._issuer = issuer
        self._box = box
        self._attempts = attempts
        self._public_url = public_url
        self._clock = clock
        self._under_way = 0

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [self._console.open_route(START, self.start), self._console.open_route(BACK, self.back)]

    async def start(self, request: Request) -> Response:
        """To the issuer."""
        place = local_place(read_filter(request, ("next",)).get("next"))
        attempt = Attempt(
            new_secret(), new_secret(), new_secret(), place if len(place) <= LONGEST_PLACE else HOME, self._clock()
        )
        try:
            places = await self._issuer.places()
        except IssuerAway as error:
            raise self._away(error) from None
        url = prepare_grant_uri(
            places.authorization,
            self._issuer.client.client_id,
            "code",
            redirect_uri=self._redirect_url(request),
            scope=SCOPE,
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        response = RedirectResponse(url, 303)
        set_cookie(request, response, ATTEMPT, self._box().seal(json.dumps(asdict(attempt))), ATTEMPT_SECONDS)
        return response

    async def back(self, request: Request) -> Response:
        """From the issuer, with a code for a token or with the reason why there is none."""
        response = await self._answer(request)
        drop_cookie(request, response, ATTEMPT)
        return response

    async def _answer(self, request: Request) -> Response:
        try:
            attempt, code = self._read(request)
            known = await self._exchange(request, attempt, code)
            return await self._welcome(request, known, attempt.place)
        except IssuerAway as error:
            refused = self._away(error)
        except TokenRefused as error:
            log.warning("console.issuer_refused", client=address_of(request), reason=str(error))
            refused = _unproven()
        except Refused as error:
            refused = error
        return await self._console.draw(
            request, None, "no_sign_in.html", refused.status, refused=refused, start=START, doors=None
        )

    def _read(self, request: Request) -> tuple[Attempt, str]:
        """The attempt that this ends, and the code. Raises Refused."""
        attempt, query = self._attempt(request), request.query_params
        if attempt is None or not hmac.compare_digest(attempt.state.encode(), query.get("state", "").encode()):
            raise _not_begun_here()
        if self._is_anothers(query.getlist("iss")):
            raise _unproven()
        if "error" in query:
            log.warning("console.issuer_refused", client=address_of(request), reason=query["error"][:100])
            raise _sent_back()
        code = query.get("code", "")
        if not 0 < len(code) <= LONGEST_CODE:
            raise _unproven()
        return attempt, code

    def _is_anothers(self, named: list[str]) -> bool:
        """Whether the answer is another issuer's. One that says that it names itself must (checked where its document
        is known, which it is once it was asked)."""
        return bool(named) and named != [self._issuer.client.issuer]

    def _attempt(self, request: Request) -> Attempt | None:
        sealed = read_cookie(request, ATTEMPT)
        if not sealed:
            return None
        try:
            attempt = Attempt(**json.loads(self._box().open(sealed)))
        except (SecretUnreadable, ValueError, TypeError):
            return None
        return attempt if 0 <= self._clock() - attempt.at < ATTEMPT_SECONDS else None

    async def _exchange(self, request: Request, attempt: Attempt, code: str) -> Known:
        """Raises TokenRefused, IssuerAway, Refused."""
        if (await self._issuer.places()).names_itself and not request.query_params.get("iss"):
            raise TokenRefused("the answer does not name its issuer")
        if self._under_way >= MOST_UNDER_WAY:
            raise _busy()
        self._under_way += 1
        try:
            if await self._console.ask(self._attempts.take, None, address_of(request)) > 0:
                raise _busy()
            answer = await self._issuer.exchange(code, attempt.verifier, self._redirect_url(request))
            if "error" in answer:
                raise TokenRefused(f"the code is refused: {str(answer['error'])[:100]}")
            known = await read_person(self._issuer, answer, attempt.nonce)
        finally:
            self._under_way -= 1
        await self._console.ask(self._attempts.give_back, None, address_of(request))
        return known

    async def _welcome(self, request: Request, known: Known, place: str) -> Response:
        if known.role is None:
            log.warning("console.no_role", client=address_of(request), subject=known.subject[:100])
            raise Refused(
                403,
                "You have no role here",
                "The issuer knows you, but gives you none of the roles viewer, operator, finance and admin. "
                "Whoever manages people there can.",
            )
        request_of = SignIn(
            known.name, known.role, None, "oidc", address_of(request), session_of(request), known.subject
        )
        secret = await self._console.ask(begin, self._console.store, request_of)
        return welcome(request, secret, place)

    def _redirect_url(self, request: Request) -> str:
        base = self._public_url or f"{request.url.scheme}://{request.url.netloc}"
        return base + BACK

    def _away(self, error: IssuerAway) -> Refused:
        log.warning("console.issuer_away", issuer=self._issuer.client.host, reason=str(error))
        return Refused(
            503,
            "The sign-in service does not answer",
            "Nobody is signed in by it for now; whoever is signed in already stays so. Try again in a few seconds.",
        )


def _not_begun_here() -> Refused:
    return Refused(
        400,
        "This sign-in did not begin in this browser",
        "Or it began more than ten minutes ago, or another one has begun since.",
    )


def _unproven() -> Refused:
    detail = "What is wrong with it stands in the log. Nobody was signed in."
    return Refused(403, "The sign-in service's word could not be trusted", detail)


def _sent_back() -> Refused:
    detail = "It says so itself; the reason stands in the log."
    return Refused(403, "The sign-in service signed nobody in", detail)


def _busy() -> Refused:
    return Refused(429, "Too many sign-ins from here", "Try again in a minute.")
