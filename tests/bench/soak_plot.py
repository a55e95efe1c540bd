"""A soak as a picture: a small chart for each group of figures, over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from tests.bench.report import number

WIDTH, HEIGHT, COLUMNS = 540, 190, 2
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 44, 26
COLOURS = ("#2e7d4f", "#b3412e", "#33658a", "#8a6d1f", "#6b4c9a", "#5b6770")
PLAIN = "#5b6770"
MOST_POINTS = 240


class Chart(NamedTuple):
    """Lines over one axis that begins at 0: (label, key)."""

    title: str
    lines: tuple[tuple[str, str], ...]
    by_minute: bool = False


CHARTS = (
    Chart("memory, MiB", tuple((name, f"{name}.rss") for name in ("intake", "worker", "worker2", "beat", "valkey"))),
    Chart("open files", tuple((name, f"{name}.files") for name in ("intake", "worker", "worker2", "beat"))),
    Chart("agenda: rows", (("live", "agenda.live"), ("dead", "agenda.dead"))),
    Chart("agenda: size, MiB", (("table", "agenda.heap"), ("indexes", "agenda.indexes"))),
    Chart("dead rows of all, %", tuple((t, f"{t}.dead_share") for t in ("invoice", "event", "delivery", "evidence"))),
    Chart("tables with indexes, MiB", tuple((t, f"{t}.size") for t in ("invoice", "event", "delivery", "evidence"))),
    Chart("published -> provider called, ms", (("p50", "call.p50"), ("p99", "call.p99")), True),
    Chart("change written -> webhook received, ms", (("p50", "hook.p50"), ("p99", "hook.p99")), True),
    Chart("expires_at -> webhook received, ms", (("p50", "expiry.p50"), ("p99", "expiry.p99")), True),
    Chart("messages in the broker, open invoices", (("messages", "broker.messages"), ("open", "open"))),
)


def plot(samples: Sequence[Mapping[str, float]], minutes: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write the SVG."""
    rows = -(-len(CHARTS) // COLUMNS)
    width, height = WIDTH * COLUMNS, HEIGHT * rows
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11"><rect width="{width}" height="{height}" fill="#fff"/>'
    ]
    thinned = samples[:: max(1, len(samples) // MOST_POINTS)]
    for place, chart in enumerate(CHARTS):
        x, y = WIDTH * (place % COLUMNS), HEIGHT * (place // COLUMNS)
        parts += [
            f'<g transform="translate({x},{y})">',
            *_chart(chart, minutes if chart.by_minute else thinned),
            "</g>",
        ]
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def _chart(chart: Chart, samples: Sequence[Mapping[str, float]]) -> list[str]:
    keys = [key for _, key in chart.lines]
    most = max((sample[key] for sample in samples for key in keys if key in sample), default=0.0) or 1.0
    last = max((sample["seconds"] for sample in samples), default=0.0) or 1.0
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [
        f'<text x="{LEFT}" y="18" font-size="13">{escape(chart.title)}</text>',
        f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#ccc"/>',
        f'<text x="{LEFT - 6}" y="{TOP + 4}" text-anchor="end" fill="{PLAIN}">{number(most)}</text>',
        f'<text x="{LEFT - 6}" y="{bottom + 4}" text-anchor="end" fill="{PLAIN}">0</text>',
        f'<text x="{right}" y="{bottom + 15}" text-anchor="end" fill="{PLAIN}">{last / 60:.0f} min</text>',
    ]
    for place, (label, key) in enumerate(chart.lines):
        colour = COLOURS[place]
        points = " ".join(
            f"{LEFT + sample['seconds'] / last * (right - LEFT):.1f},{bottom - sample[key] / most * (bottom - TOP):.1f}"
            for sample in samples
            if key in sample
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{LEFT + place * 88}" y="34" fill="{colour}">{escape(label)}</text>')
    return parts
