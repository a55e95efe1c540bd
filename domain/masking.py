"""Hides secrets in other people's text, however often and in whatever way they are escaped or encoded there.

The text is decoded in every way (percent signs, JSON's and HTML's escapes, one in another), and each of these views is
searched. What is found is hidden at its place in the original text. Runs of base64 and hexadecimal are decoded and
searched the same way, and hidden whole.
"""

from __future__ import annotations

import base64
import binascii
import functools
import html
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

HIDDEN = "***"

#: How many characters are searched. Of a longer text only what is MARGIN before this bound is kept: a secret that the
#: bound cuts in two would not be recognised.
WINDOW = 48 * 1024
MARGIN = 8 * 1024

MAX_DEPTH = 6  #: escapes in escapes
MAX_VIEWS = 48  #: of one text
MAX_NESTED = 3  #: base64 in base64

#: A shorter secret is searched for as text only: a few bytes are found in nearly everything that is decoded.
MIN_ENCODED = 6

_BASE64_LINES = re.compile(
    r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}+(?:[ \t]*+\r?\n[ \t]*+[A-Za-z0-9+/_-]++)++"
)  # a mail's
_HEX_RUN = re.compile(rf"[0-9A-Fa-f]{{{MIN_ENCODED * 2},}}")
_STRETCH = re.compile(
    rf"[^\N{{REPLACEMENT CHARACTER}}]{{{MIN_ENCODED * 4 // 3},}}"
)  # none is encoded in fewer characters
_URL_SAFE = str.maketrans("-_", "+/")
_FOR_URLS = str.maketrans("+/", "-_")

_SIMPLE_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "0": "\0"}


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret in it replaced by ``***``; a very long one is cut to 40 Ki."""
    return _mask_of(tuple(secrets)).hide(text)


def mask_bytes(content: bytes, secrets: Iterable[str]) -> bytes:
    """``mask`` for bytes that may be text."""
    return mask(content.decode("utf-8", "surrogateescape"), secrets).encode("utf-8", "surrogateescape")


@functools.lru_cache(256)
def _mask_of(secrets: tuple[str, ...]) -> Mask:
    return Mask(secrets)


def header_secrets(values: Iterable[str]) -> tuple[str, ...]:
    """The secrets in values of HTTP headers: each value, its last word, and the decoded ``Basic`` credentials."""
    found: list[str] = []
    for value in values:
        words = value.split()
        found += [value, *words[-1:]]
        if len(words) == 2 and words[0].lower() == "basic":
            with_password = _decode_base64(words[1], 0).decode("utf-8", "replace")
            found += [with_password, with_password.partition(":")[2]]
    return tuple(dict.fromkeys(secret for secret in found if len(secret) >= MIN_ENCODED))


def usual_forms(secret: str) -> frozenset[str]:
    """What a secret looks like in a text, in the usual ways of writing it: for a quick search.

    In base64 that is the part that depends only on the secret, for each of its three possible places in a group.
    """
    content = secret.encode()
    forms = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], html.escape(secret), content.hex()}
    for place in range(3):
        encoded = base64.b64encode(b"\0" * place + content).rstrip(b"=")
        whole = (len(content) + place) * 8 // 6  # the last character may hold bits of what follows
        forms.add(encoded[-(-place * 8 // 6) : whole].decode())
    return frozenset(forms | {form.translate(_FOR_URLS) for form in forms if form.isascii() and form != secret})


class Mask:
    """Knows some secrets and hides them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(sorted({secret for secret in secrets if secret}, key=len, reverse=True))
        plain = "|".join(re.escape(secret) for secret in self._secrets)
        self._plain = re.compile(plain or r"(?!)")
        encoded = [secret for secret in self._secrets if len(secret.encode()) >= MIN_ENCODED]
        self._bytes = tuple(secret.encode() for secret in encoded)
        pairs = (r"[\s:-]?(?:\\x|0x)?".join(secret.encode().hex(" ").split()) for secret in encoded)
        self._hex = re.compile("|".join(pairs) or r"(?!)", re.IGNORECASE)
        shortest_run = min((-(-len(secret) * 4 // 3) for secret in self._bytes), default=0)
        self._base64_run = re.compile(rf"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{{{max(shortest_run, 1)},}}+")
        self._shortest = min((len(secret) for secret in self._secrets), default=0)
        self._decoders = _DECODERS if any(" " in secret for secret in self._secrets) else _DECODERS[:-1]

    def __repr__(self) -> str:
        return f"Mask({len(self._secrets)} secrets)"

    def hide(self, text: str) -> str:
        """The text with every secret in it replaced by ``***``."""
        if not self._secrets or len(text) < self._shortest:  # no way of writing a secret makes it shorter
            return text
        seen = text[:WINDOW]
        spans = self._spans(seen, 0) if self._may_hold(seen) else []
        kept = seen if len(text) <= WINDOW else seen[: WINDOW - MARGIN]
        return _without(kept, spans) if spans else kept

    def finds(self, text: str) -> bool:
        """Whether a secret is in the text, in any form."""
        return bool(self._spans(text[:WINDOW], 0))

    def _may_hold(self, text: str) -> bool:
        """False for a text in which ``_spans`` would find nothing: nothing in it is escaped, and nothing looks like a
        secret. Most texts are such."""
        if "\n" in text:
            return True
        for mark, _, _ in self._decoders:
            if mark in text:
                return True
        return bool(
            self._plain.search(text) or self._hex.search(text) or (self._bytes and self._base64_run.search(text))
        )

    def _spans(self, text: str, nested: int) -> list[tuple[int, int]]:
        runs: dict[str, bool] = {}  # most runs are in every view
        return [view.place(*span) for view in self._views(text) for span in self._found_in(view.text, nested, runs)]

    def _views(self, text: str) -> Iterator[_View]:
        """The text, and what decoding makes of each view, in every way."""
        views, known = [_View(text)], {text}
        for view in views:  # the list grows meanwhile
            yield view
            if view.depth == MAX_DEPTH:
                continue
            for mark, pattern, decode in self._decoders:
                decoded = _decode(view, pattern, decode) if mark in view.text else None
                if decoded is not None and decoded.text not in known and len(views) < MAX_VIEWS:
                    known.add(decoded.text)
                    views.append(decoded)

    def _found_in(self, text: str, nested: int, runs: dict[str, bool]) -> Iterator[tuple[int, int]]:
        for pattern in (self._plain, self._hex):
            yield from (match.span() for match in pattern.finditer(text))
        if not self._bytes or nested == MAX_NESTED:
            return
        for pattern in (self._base64_run, _BASE64_LINES) if "\n" in text else (self._base64_run,):
            for match in pattern.finditer(text):
                run = match[0]
                if run not in runs:
                    runs[run] = self._is_in_run(run, nested)
                if runs[run]:
                    yield match.span()

    def _is_in_run(self, run: str, nested: int) -> bool:
        for content in _decoded_run(run):
            if any(secret in content for secret in self._bytes):
                return True
            if self._spans(_legible(content), nested + 1):
                return True
        return False


@dataclass(frozen=True, slots=True)
class _View:
    """A text that decoding made. ``tokens``: where each decoded part begins and ends, here and in ``origin``."""

    text: str
    origin: _View | None = None
    tokens: tuple[tuple[int, int, int, int], ...] = ()
    depth: int = 0

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where a part of it is in the original text."""
        view = self
        while view.origin is not None:
            start, end = view._outer(start)[0], view._outer(end - 1)[1]
            view = view.origin
        return start, end

    def _outer(self, position: int) -> tuple[int, int]:
        """Start and end, in ``origin``, of the part that became the character at this position."""
        index = bisect_right(self.tokens, position, key=lambda token: token[0]) - 1
        if index < 0:
            return position, position + 1
        _, end, outer_start, outer_end = self.tokens[index]
        if position < end:
            return outer_start, outer_end
        return outer_end + position - end, outer_end + position - end + 1


def _decode(view: _View, pattern: re.Pattern[str], decode: Callable[[str], str]) -> _View | None:
    """The view, decoded in one way; None if nothing in it is encoded that way."""
    pieces: list[str] = []
    tokens: list[tuple[int, int, int, int]] = []
    done = length = 0
    for match in pattern.finditer(view.text):
        said = decode(match[0])
        length += match.start() - done
        pieces += [view.text[done : match.start()], said]
        tokens.append((length, length + len(said), match.start(), match.end()))
        done, length = match.end(), length + len(said)
    if not tokens:
        return None
    return _View("".join([*pieces, view.text[done:]]), view, tuple(tokens), view.depth + 1)


def _decode_percent(token: str) -> str:
    return unquote_to_bytes(token).decode("utf-8", "replace")


def _decode_unicode(token: str) -> str:
    """Decode a run of ``\\u0026``: two of them may be one character."""
    units = bytes.fromhex(token.replace("\\u", "").replace("\\U", ""))
    return units.decode("utf-16-be", "replace")


def _decode_json(token: str) -> str:
    if token[1] in "uU" and len(token) > 2:
        return _decode_unicode(token)
    if token[1] in "xX" and len(token) > 2:
        return bytes.fromhex(token.replace("\\x", "").replace("\\X", "")).decode("utf-8", "replace")
    return _SIMPLE_ESCAPES.get(token[1], token[1])


def _decoded_run(run: str) -> Iterator[bytes]:
    """What a run may decode to. As base64 it may begin at each of four places, as hexadecimal at each of two: other
    characters may stand before it."""
    joined = "".join(run.split())
    for skipped in range(4):
        yield _decode_base64(joined, skipped)
    for digits in _HEX_RUN.findall(joined):
        for skipped in range(2):
            yield bytes.fromhex(digits[skipped : len(digits) - (len(digits) - skipped) % 2])


def _legible(content: bytes) -> str:
    """What is text among these bytes. Of bytes that are mostly none, only stretches in which a secret has room."""
    text = content.decode("utf-8", "replace")
    is_text = text.count("\N{REPLACEMENT CHARACTER}") * 8 <= len(text)
    return text if is_text else "\0".join(_STRETCH.findall(text))


def _decode_base64(run: str, skipped: int) -> bytes:
    whole = run[skipped:].translate(_URL_SAFE)
    whole = whole[:-1] if len(whole) % 4 == 1 else whole
    try:
        return base64.b64decode(whole + "=" * (-len(whole) % 4))
    except (binascii.Error, ValueError):
        return b""


#: Each with the character that no text can do without that is written so.
_DECODERS: tuple[tuple[str, re.Pattern[str], Callable[[str], str]], ...] = (
    ("%", re.compile(r"(?:%[0-9A-Fa-f]{2})+"), _decode_percent),
    ("\\", re.compile(r"(?:\\u[0-9A-Fa-f]{4})+|(?:\\x[0-9A-Fa-f]{2})+|\\.", re.DOTALL | re.IGNORECASE), _decode_json),
    ("&", re.compile(r"&(?:#[0-9]{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[^\t\n\f <&#;]{1,32};?)"), html.unescape),
    ("+", re.compile(r"\+"), lambda _: " "),  # as in forms; needed only if a secret holds a space
)


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    pieces: list[str] = []
    done = 0
    for start, end in sorted(spans):
        if start >= done and start < len(text):
            pieces += [text[done:start], HIDDEN]
        done = max(done, end)
    return "".join([*pieces, text[done:]])
