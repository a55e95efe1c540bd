"""Log lines that a thread holds back and writes together: writing one costs as much as making it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from select import PIPE_BUF

#: Writes a text of whole lines.
Write = Callable[[str], None]


class _Held(threading.local):
    """The lines, each with what writes it; None: nothing is held back."""

    lines: list[tuple[Write, str]] | None = None


_HELD = _Held()


@contextlib.contextmanager
def lines_together() -> Iterator[None]:
    """Hold back what this thread logs in the block, and write it at the end."""
    if _HELD.lines is not None:
        yield
        return
    held = _HELD.lines = []
    try:
        yield
    finally:
        _HELD.lines = None
        for write, piece in _pieces(held):
            write(piece)


def write_or_hold(write: Write, line: str) -> None:
    """Write the line, or hold it back where the thread is in such a block."""
    if _HELD.lines is None:
        write(line)
    else:
        _HELD.lines.append((write, line))


def _pieces(lines: Iterable[tuple[Write, str]]) -> Iterator[tuple[Write, str]]:
    """Lines put together, as far as a pipe that several processes share keeps them whole."""
    piece, size, last = "", 0, None
    for write, line in lines:
        length = len(line.encode(errors="replace"))
        if last is not None and (write != last or size + length > PIPE_BUF):
            yield last, piece
            piece, size = "", 0
        piece, size, last = piece + line, size + length, write
    if last is not None:
        yield last, piece
