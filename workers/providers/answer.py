"""What a call brought back, and what may be quoted of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from domain.drift import Told
from domain.evidence import InDoubt, Unreadable
from domain.exact_json import JsonError, read_json
from domain.masking import mask
from domain.visible import one_line

#: Bytes of an answer that are kept as evidence.
MAX_RAW_BYTES = 16 * 1024

#: Characters of a reason: one line, shown to the shop.
MAX_REASON = 300

#: Charsets other than UTF-8 that a Content-Type may name, and Python's names for them; no others are read. Where
#: browsers and servers say ISO-8859-1 they mean Windows' superset of it.
DECLARED_CHARSETS = {
    **dict.fromkeys(("iso-8859-1", "iso8859-1", "latin1", "latin-1", "us-ascii", "windows-1252", "cp1252"), "cp1252"),
    **{f"iso-8859-{part}": f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)},
    **{f"windows-{page}": f"cp{page}" for page in range(1250, 1259) if page != 1252},
    **{
        name: name for name in ("koi8-r", "koi8-u", "gb18030", "gbk", "gb2312", "big5", "shift_jis", "euc-jp", "euc-kr")
    },
}
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No complete answer came. ``never_sent``: surely nothing of the request was received. ``reason``: one line."""

    never_sent: bool
    reason: str
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer, at most 1 MiB. ``secrets`` must not be quoted from it."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    asked_at: datetime
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def succeeded(self) -> bool:
        """Any 2xx."""
        return 200 <= self.status < 300

    def json(self) -> object:
        """The parsed body, its numbers digit for digit; None if it is no JSON."""
        try:
            return read_json(self._utf8() or self.body.decode(self._encoding()))
        except (JsonError, ValueError):
            return None

    def text(self) -> str:
        """The body for people: undecodable bytes are replaced."""
        return self._utf8() or self.body.decode(self._encoding(), "replace")

    def raw(self) -> str:
        """The body's text as it may be stored: no secrets, no NUL characters, at most 16 KiB."""
        return self.keep(self.text())

    def _utf8(self) -> str | None:
        """The body's text, if it begins like a JSON object in UTF-8 and is UTF-8; otherwise None."""
        if self.body[:1] != b"{" or self.body[1:2] == b"\0":
            return None
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            return None

    def _encoding(self) -> str:
        """JSON is UTF-8 (RFC 8259), whatever the server's default says. Only a body that is not counts as declared.

        UTF-16 and UTF-32 are recognised by a byte order mark, or by the zeros around their first characters.
        """
        shown = json.detect_encoding(self.body[:4])
        if shown not in {"utf-8", "utf-8-sig"}:
            return shown
        declared = _CHARSET.search(self.headers.get("content-type", ""))
        if declared is None or declared[1].lower() not in DECLARED_CHARSETS:
            return shown
        try:
            self.body.decode(shown)
        except UnicodeDecodeError:
            return DECLARED_CHARSETS[declared[1].lower()]
        return shown

    def keep(self, text: str) -> str:
        """Any text of the answer, as it may be stored."""
        # Secrets are masked before the cut, which could leave a part of one that is no longer recognised.
        safe = mask(text, self.secrets).replace("\x00", "\N{REPLACEMENT CHARACTER}")
        if safe.isascii():
            return safe[:MAX_RAW_BYTES]
        return safe.encode("utf-8", "replace")[:MAX_RAW_BYTES].decode("utf-8", "ignore")

    def reason(self, *words: str) -> str:
        """``HTTP 406: This gateway is not active``: the status, then ``words``, on one line."""
        said = [one_line(mask(word, self.secrets), MAX_REASON) for word in words]
        return ": ".join([f"HTTP {self.status}", *(word for word in said if word)])[:MAX_REASON]


def read_message(payload: object) -> str:
    """The provider's own words, from ``message`` or ``error``: a text or a list of texts. Empty if there are none."""
    if not isinstance(payload, dict):
        return ""
    for name in ("message", "error"):
        said = payload.get(name)
        words = said if isinstance(said, list) else [said]
        texts = [word for word in words[:5] if isinstance(word, str) and word.strip()]
        if texts:
            return ", ".join(texts)
    return ""


def unreadable(answer: Answer, words: str, told: Told | None) -> Unreadable:
    """A look-up's answer that can't be understood: it counts as none, and says nothing about account or invoice."""
    return Unreadable(reason=answer.reason(words), asked_at=answer.asked_at, raw=answer.raw(), told=told)


def doubt(answer: Answer, *words: str, told: Told | None = None) -> InDoubt:
    """An answer that does not say what became of the order."""
    return InDoubt(reason=answer.reason(*words), asked_at=answer.asked_at, raw=answer.raw(), told=told)
