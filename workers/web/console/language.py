"""Choosing the language, kept in a cookie of the browser's."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from workers.web.console.console import Console
from workers.web.console.cookies import is_plain
from workers.web.console.redirects import local_place
from workers.web.console.refusals import Refused
from workers.web.console.words import COOKIE, LANGUAGES

YEAR = 365 * 24 * 3600


class LanguageChoice:
    """The form at the foot of every page. It is a GET, since nothing changes but what this browser is shown: a viewer's
    pages hold no form that changes anything."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it; nobody has to sign in for it."""
        return [self._console.open_route("/console/language", self.choose)]

    async def choose(self, request: Request) -> Response:
        """Back to the page, in that language from now on."""
        given = request.query_params
        language = given.get("language")
        if language not in LANGUAGES:
            raise Refused(400, "The form can't be used", "There is no such language here.")
        response = RedirectResponse(local_place(given.get("next"), doors=True), 303)
        secure = not is_plain(request)
        response.set_cookie(COOKIE, language, YEAR, path="/console", secure=secure, httponly=True, samesite="lax")
        return response
