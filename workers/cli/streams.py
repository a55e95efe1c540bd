"""Standard output and error that take any text on any terminal."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from domain.visible import escape


class SafeStream:
    """A stream that makes invisible characters visible and replaces what its encoding can't write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")

    @property
    def encoding(self) -> str:
        """The stream's own. Not ASCII: click takes that for a mistake, bypasses this class and writes UTF-8."""
        encoding = self._stream.encoding or "ascii"
        return "latin-1" if codecs.lookup(encoding).name == "ascii" else encoding

    def write(self, text: str) -> int:
        """Write the text, escaped; its length."""
        self._stream.write(escape(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextmanager
def safe_streams() -> Iterator[None]:
    """Inside the block ``sys.stdout`` and ``sys.stderr`` are such streams."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = SafeStream(before[0]), SafeStream(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
