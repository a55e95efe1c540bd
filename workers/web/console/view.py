"""Draws pages: Jinja templates, everything escaped, in the person's language."""

from __future__ import annotations

import functools
import gzip
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response

from domain.permissions import Action
from workers.web.console.amounts import amount_parts
from workers.web.console.assets import Assets
from workers.web.console.open_pages import MOST_OF_ONE
from workers.web.console.person import Person
from workers.web.console.pulse import Pulse
from workers.web.console.times import duration, format_instant, short_seconds
from workers.web.console.words import COOKIE, LANGUAGES, choose, say_in, translate

FOLDER = Path(__file__).parent / "templates"
HTML = "text/html; charset=utf-8"
#: Smaller pages than this gain nothing from being packed.
PACKED_FROM = 1024


@dataclass(frozen=True, slots=True)
class Scene:
    """What every page shows beside its own content."""

    person: Person | None
    pulse: Pulse | None


class View:
    """The templates, once for each language."""

    def __init__(self, assets: Assets, installation: str) -> None:
        self._installation = installation
        self._environments = {language: _environment(language, assets) for language in LANGUAGES}

    def page(self, request: Request, template: str, scene: Scene, status: int = 200, **content: object) -> Response:
        """A whole page. ``content`` goes to the template, which extends ``base.html``."""
        text = self.text(language_of(request), template, {**self._around(request, scene), **content})
        return _answer(request, text, status)

    def text(self, language: str, template: str, content: Mapping[str, object]) -> str:
        """A template drawn: a page, or a part of one that goes out by itself."""
        return self._environments[language].get_template(template).render(content)

    def part(self, language: str, template: str, macro: str, *arguments: object) -> str:
        """One macro of a template drawn: a table's row, say, for those who watch it live."""
        module = self._environments[language].get_template(template).module
        return str(getattr(module, macro)(*arguments))

    def _around(self, request: Request, scene: Scene) -> Mapping[str, object]:
        return {
            "person": scene.person,
            "pulse": scene.pulse,
            "language": language_of(request),
            "languages": LANGUAGES,
            "path": request.url.path,
            "query": request.url.query,
            "installation": self._installation,
            "live_url": getattr(request.state, "live_url", None),
            "most_pages": MOST_OF_ONE,
            "nonce": secrets.token_urlsafe(16),  # tells htmx which attributes are the page's own
            "now": datetime.now(UTC),  # for the eye only: what is late is judged by the database's clock
        }


def language_of(request: Request) -> str:
    """What this request is answered in."""
    return choose(request.cookies.get(COOKIE), request.headers.get("accept-language", ""))


@functools.cache  # a process compiles each template once for each language, however many consoles it builds
def _environment(language: str, assets: Assets) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.do"],
    )
    environment.globals |= {
        "_": functools.partial(translate, language),
        "asset": assets.url,
        "Action": Action,
        "amount_parts": amount_parts,
    }
    environment.filters |= {
        "instant": format_instant,
        "duration": functools.partial(duration, language),
        "seconds": functools.partial(short_seconds, language),
        "said": functools.partial(say_in, language),
        "fill": fill,
    }
    return environment


def fill(sentence: str, **values: object) -> Markup:
    """A translated sentence with what belongs into it: text is escaped, what a macro drew is not."""
    return escape(sentence).format(**values)


def _answer(request: Request, text: str, status: int) -> Response:
    content = text.encode("utf-8", "replace")  # somebody's JSON may hold a lone surrogate
    headers = {"content-type": HTML, "cache-control": "no-store", "vary": "accept-encoding, accept-language, cookie"}
    if len(content) >= PACKED_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["content-encoding"] = (
            gzip.compress(content, 5, mtime=0),
            "gzip",
        )  # a secret is on one page once: no length tells it
    return Response(content, status, headers)
