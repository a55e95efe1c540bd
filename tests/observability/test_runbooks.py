"""A page says what it means, how to see it and what to do, with commands that exist."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from tests.observability.rules import FOLDER, ROOT, RUNBOOKS, alerts, dashboards
from workers.cli.main import COMMANDS, cli

#: The pages of alerts; the others have their own test, tests/unit/test_runbooks.py.
PAGES = sorted(RUNBOOKS / f"{name}.md" for name in {alert.name for alert in alerts()})
HEADINGS = ["What it means", "How to see", "What to do"]


def commands_of(text):
    """Every `invoices …`: in a block of its own, or within a sentence."""
    blocks = [
        line for block in re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE) for line in block.splitlines()
    ]
    spans = re.findall(r"`(invoices [^`]+)`", re.sub(r"^```\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    return [shlex.split(line.partition("#")[0]) for line in [*blocks, *(" ".join(span.split()) for span in spans)]]


ALL = [(path, command) for path in [*PAGES, FOLDER / "README.md"] for command in commands_of(path.read_text())]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_has_its_three_parts_and_at_least_one_command(path):
    text = path.read_text()
    assert text.startswith(f"# {path.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert all(part.strip() for part in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:])
    assert commands_of(text)


@pytest.mark.parametrize(("path", "command"), ALL, ids=[f"{path.stem}: {' '.join(command)}" for path, command in ALL])
def test_a_command_is_one_that_can_be_given(path, command):
    assert command[0] == "invoices"
    assert command[1] in COMMANDS, command[1]
    parent = click.Context(cli, info_name="invoices")
    found, arguments = cli.get_command(parent, command[1]), command[2:]
    while isinstance(found, click.Group):
        name, found, arguments = found.resolve_command(parent, arguments)
        assert name
    assert found is not None
    # Reads the options, their types and what is required; runs nothing.
    found.make_context(" ".join(command), arguments, parent=parent)


@pytest.mark.parametrize("path", [*PAGES, FOLDER / "README.md"], ids=lambda path: path.stem)
def test_what_a_page_points_at_is_there(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target
    titles = {dashboard["title"] for dashboard in dashboards().values()}
    for title in re.findall(r"dashboards? \*(\w+)\*", path.read_text()):
        assert f"Invoices: {title}" in titles, title


def test_settings_that_pages_name_are_settings():
    known = (ROOT / "deploy" / "SETTINGS.md").read_text()
    for path in PAGES:
        for name in re.findall(r"INVOICES_[A-Z_]+|`([a-z]+_[a-z_]+)`", path.read_text()):
            assert not name or f"`{name}`" in known or name in WORDS, (path.stem, name)


#: Words that are no settings of ours: outcomes, reasons, statuses, fields, and PostgreSQL's own.
WORDS = {
    "provider_slots", "provider_rate", "timed_out", "in_doubt", "idempotency_key", "create_before", "fallback_accounts",
    "create_many", "default_transaction_read_only",
}  # fmt: skip
