"""Private parts of Celery, kombu and amqp are used in one module, which notices a release it does not know."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
import structlog

from workers.transport import private
from workers.transport.private import MissingHookError, check_versions

WORKERS = Path(private.__file__).parents[1]


def test_the_installed_releases_are_those_that_were_read():
    with structlog.testing.capture_logs() as logs:
        check_versions()

    assert logs == []


def test_another_minor_is_one_warning_that_names_both_releases(monkeypatch):
    monkeypatch.setitem(private.READ_AGAINST, "kombu", "5.2.9")

    with structlog.testing.capture_logs() as logs:
        check_versions()

    (line,) = logs
    assert line["log_level"] == "warning"
    assert line["installed"] == f"kombu {version('kombu')} (read: 5.2.9)"


def test_another_patch_of_the_same_minor_is_nothing(monkeypatch):
    monkeypatch.setitem(private.READ_AGAINST, "kombu", version("kombu").rsplit(".", 1)[0] + ".99")

    with structlog.testing.capture_logs() as logs:
        check_versions()

    assert logs == []


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("kombu.transport.redis:Channel", "kombu.transport.redis:Channel._gone"),
        ("celery.worker.consumer:Nobody", "celery.worker.consumer:Nobody"),
    ],
)
def test_a_hook_that_is_gone_is_one_line_that_names_it(monkeypatch, place, named):
    monkeypatch.setitem(private.HOOKS, place, ("_gone",))

    with pytest.raises(MissingHookError) as caught:
        check_versions()

    assert str(caught.value) == f"{named} is gone, and workers depend on it"


def test_a_worker_without_a_hook_ends_with_one_line(monkeypatch):
    from workers.app import _claim_atomically

    monkeypatch.setitem(private.HOOKS, "kombu.transport.redis:Channel", ("_gone",))

    with pytest.raises(SystemExit, match=r"^invoices: kombu.transport.redis:Channel._gone is gone"):
        _claim_atomically()


def test_no_other_module_of_ours_touches_a_private_part_of_theirs():
    """Attributes with an underscore of anything but ``self`` and ``cls``, in modules that import one of them."""
    theirs = re.compile(r"^\s*(?:from|import) (?:celery|kombu|amqp)\b", re.MULTILINE)
    foreign = re.compile(r"(?<!self)(?<!cls)(?<!\w\.self)\._[a-z]\w*|super\(\)\._[a-z]\w*|import _\w+")
    found = [
        f"{path.relative_to(WORKERS)}: {match.group()}"
        for path in WORKERS.rglob("*.py")
        if path.name != "private.py" and theirs.search(text := path.read_text())
        for match in foreign.finditer(text)
    ]

    assert found == []
