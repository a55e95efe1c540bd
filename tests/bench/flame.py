"""Stacks of a sampling profiler as a flame graph: a small SVG without script; module paths, never a machine's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from zlib import crc32

WIDTH, LINE, TOP = 1200, 16, 30
#: A frame with less than this share of the samples is left out: it would be thinner than two points.
LEAST_SHARE = 0.002
#: A function and where it stands: `name (path:line)` or `name (path)`.
_FRAME = re.compile(r"^(?P<name>.*) \((?P<path>[^()]*?)(?::\d+)?\)$")
_OWN = ("workers", "domain", "config", "tests")


@dataclass(slots=True)
class Frame:
    """A function called from its parent's; ``samples`` in it and in what it called."""

    name: str
    samples: int = 0
    callees: dict[str, Frame] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """Levels below and including this one."""
        return 1 + max((callee.depth for callee in self.callees.values()), default=0)


def read_stacks(lines: Iterable[str]) -> Frame:
    """A tree of `outer;inner;innermost count` lines."""
    root = Frame("all")
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if not stack:
            continue
        root.samples += int(count)
        frame = root
        for name in map(plain_name, stack.split(";")):
            frame = frame.callees.setdefault(name, Frame(name))
            frame.samples += int(count)
    return root


def plain_name(text: str) -> str:
    """`function module/path.py`: the path from its package on. Threads lose their number."""
    if text.startswith("thread "):
        return "thread " + re.sub(r"^thread \([^)]*\):? ?", "", text)
    found = _FRAME.match(text)
    if found is None:
        return text
    return f"{found['name']} {_from_package(found['path'])}"


def _from_package(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    for place, part in enumerate(parts):
        if part in _OWN:
            return "/".join(parts[place:])
        if part in ("site-packages", "dist-packages"):
            return "/".join(parts[place + 1 :])
    return "/".join(parts[-2:]) if path.startswith("/") else path


def pruned(frame: Frame, least: float) -> Frame:
    """Without what has fewer samples than ``least``."""
    kept = {name: pruned(callee, least) for name, callee in frame.callees.items() if callee.samples >= least}
    return Frame(frame.name, frame.samples, kept)


def drawing(root: Frame, title: str) -> str:
    """The SVG's text: outermost functions at the top; a frame's share of all samples stands in its tooltip."""
    shown = pruned(root, root.samples * LEAST_SHARE)
    height = TOP + LINE * shown.depth + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" '
        f'font-size="11"><rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="8" y="19" font-size="13" font-family="sans-serif">{escape(title)}</text>',
    ]
    _draw(parts, shown, 0.0, TOP, WIDTH / max(root.samples, 1), root.samples)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _draw(parts: list[str], frame: Frame, left: float, top: int, scale: float, total: int) -> None:
    width = frame.samples * scale
    text = escape(frame.name)
    label = escape(frame.name[: int(width / 6.8)]) if width > 30 else ""
    parts.append(
        f'<g><title>{text}, {frame.samples / max(total, 1):.1%}</title><rect x="{left:.1f}" y="{top}" '
        f'width="{max(width - 0.4, 0.4):.1f}" height="{LINE - 1}" fill="{_colour(frame.name)}"/>'
        + (f'<text x="{left + 2:.1f}" y="{top + 11}">{label}</text>' if label else "")
        + "</g>"
    )
    for callee in sorted(frame.callees.values(), key=lambda one: -one.samples):
        _draw(parts, callee, left, top + LINE, scale, total)
        left += callee.samples * scale


def _colour(name: str) -> str:
    """Ours stand out; the same function has the same colour everywhere."""
    path = name.rpartition(" ")[2]
    hue = 25 if path.startswith(tuple(f"{package}/" for package in _OWN)) else 205
    return f"hsl({hue},{55 + crc32(name.encode()) % 30}%,{70 + crc32(name.encode()) // 97 % 14}%)"
