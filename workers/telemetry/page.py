"""Prints ``deploy/METRICS.md``: ``python -m workers.telemetry.page > deploy/METRICS.md``."""

from __future__ import annotations

from collections.abc import Iterator

from workers.telemetry.families import FAMILIES, Family

_HEAD = """# Metrics

Made from `workers/telemetry/families.py` by `python -m workers.telemetry.page`; a test fails when they differ.

Every process declares every metric. The web process serves them at `/metrics` to the addresses in
`INVOICES_METRICS_ALLOW` (loopback by default). Every other process serves them on a port of its own if
`INVOICES_METRICS_PORT` names one: `9400` is that port, `9400+` the next free one from there on, which is logged
(`metrics.listening`). It listens on loopback unless `INVOICES_METRICS_ALLOW` names other addresses.

What comes from the database's rows is read by web processes only, at most every five seconds; with several of them take
`max`. While the database can't be read within two seconds, these metrics are left out and `invoices_store_readable` is
0; all others are served. Counts of rows end at 10,000.

No order, invoice, address, URL or secret is ever a label. An endpoint is named by its id (`ep_…`).

| metric | type | labels | filled by | |
|---|---|---|---|---|
"""


def render() -> str:
    """The page."""
    return _HEAD + "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels) or ""
        yield f"| `{family.name}` | {family.kind} | {labels} | {family.by} | {_text(family)} |"


def _text(family: Family) -> str:
    return f"{family.help} **Goal: {family.goal}.**" if family.goal else family.help


if __name__ == "__main__":
    print(render(), end="")  # noqa: T201 - its product
