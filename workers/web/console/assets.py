"""The console's style sheets, scripts and icons: read once, named by their content, kept by browsers for good."""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).parent / "static"
PLACE = "/console/static"
#: What is served under one name: all style sheets together, in the order of their names.
SHEET = "console.css"
#: And one script for live pages. htmx begins a moment after it was read, and its extensions and whoever listens to them
#: must be there by then, however slowly files arrive.
BUNDLE, BUNDLED = "watch.js", ("htmx.min.js", "hx-csp.min.js", "hx-sse.min.js", "live.js")
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FOR_GOOD = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    content: bytes
    packed: bytes
    kind: str
    digest: str = field(default="")


class Assets:
    """All of them."""

    def __init__(self, folder: Path = FOLDER) -> None:
        files = {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.suffix in TYPES}
        sheets = [name for name in files if name.endswith(".css")]
        files[SHEET] = b"".join(files.pop(name) for name in sheets)
        files[BUNDLE] = b";\n".join(files.pop(name) for name in BUNDLED)
        self._files: Mapping[str, Asset] = {name: _asset(name, content) for name, content in files.items()}

    def url(self, name: str) -> str:
        """Where a page finds it; another content is another address."""
        return f"{PLACE}/{name}?{self._files[name].digest}"

    def routes(self) -> list[Route]:
        """What the application serves of it; nobody has to sign in for it."""
        return [Route(f"{PLACE}/{{name}}", self.answer)]

    async def answer(self, request: Request) -> Response:
        """One file."""
        asset = self._files.get(request.path_params["name"])
        if asset is None:
            return Response(status_code=404)
        headers = {
            "cache-control": FOR_GOOD if request.url.query == asset.digest else "no-cache",
            "content-type": asset.kind,
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
        }
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(asset.packed, headers={**headers, "content-encoding": "gzip"})
        return Response(asset.content, headers=headers)


@functools.cache
def read_assets() -> Assets:
    """This release's, read once by a process."""
    return Assets()


def _asset(name: str, content: bytes) -> Asset:
    digest = hashlib.sha256(content).hexdigest()[:16]
    return Asset(content, gzip.compress(content, mtime=0), TYPES[Path(name).suffix], digest)
