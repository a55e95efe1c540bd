"""The Procfile reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.embedded.errors import EmbeddedError
from workers.embedded.procfile import ProcessSpec, read_procfile


def test_names_and_words_are_read_in_order(tmp_path):
    procfile = tmp_path / "Procfile"
    procfile.write_text("# what runs\n\nintake: celery -n 'a b'@%h\nbeat:celery beat\n")

    assert read_procfile(procfile) == [
        ProcessSpec("intake", ("celery", "-n", "a b@%h")),
        ProcessSpec("beat", ("celery", "beat")),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("worker celery", "line 1: expected `name: command`"),
        ("\na b: celery", "line 2: expected `name: command`"),
        ("worker:  ", "line 1: worker has no command"),
        ("worker: say 'hello", "line 1: the command of worker can't be split into words"),
        ("a: x\na: y", "line 2: there are two processes named a"),
        ("# nothing\n", "names no process"),
    ],
)
def test_a_line_that_can_not_be_used_is_named(tmp_path, text, message):
    procfile = tmp_path / "Procfile"
    procfile.write_text(text)

    with pytest.raises(EmbeddedError, match=message):
        read_procfile(procfile)


def test_a_missing_procfile_is_named(tmp_path):
    with pytest.raises(EmbeddedError, match=r"can't read .*Procfile: No such file"):
        read_procfile(tmp_path / "Procfile")


def test_the_project_s_own_procfile_is_usable():
    names = [process.name for process in read_procfile(Path(__file__).parents[2] / "Procfile")]

    assert names == ["intake", "worker", "beat", "web"]
