"""The demo's folder: private, its own, and gone with what was made for it, however many demos begin and end at once."""

from __future__ import annotations

import re
import shutil
import stat
import tempfile

import pytest

from tests.contracts.store_cases import in_threads
from workers.cli.demo.home import fresh_home


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where the demo's folder is made; it is not there yet."""
    monkeypatch.setenv("INVOICES_HOME", str(tmp_path / "var"))
    return tmp_path / "var"


def test_a_demo_that_keeps_nothing_leaves_no_folder(home):
    with fresh_home() as folder:
        assert folder.parent == home / "demo"
        assert [stat.S_IMODE(one.stat().st_mode) for one in (home, home / "demo", folder)] == [0o700] * 3
        shutil.rmtree(folder)
    assert not home.exists()


def test_one_that_was_interrupted_leaves_none_either_and_a_home_that_was_there_stays(home):
    home.mkdir()
    with pytest.raises(KeyboardInterrupt), fresh_home():
        raise KeyboardInterrupt
    assert list(home.iterdir()) == []


def test_what_a_demo_keeps_stays_until_the_next_one(home):
    with fresh_home() as kept:
        (kept / "demo.log").write_text("kept")
    assert kept.exists()
    with fresh_home() as folder:
        assert not kept.exists()
        shutil.rmtree(folder)
    assert list(home.iterdir()) == [], "it was there when this one began"


def test_demos_that_begin_and_end_at_once_take_no_folder_from_each_other(home):
    def demo():
        for _ in range(100):
            with fresh_home() as folder:
                (folder / "mine").write_text("")
                assert (folder / "mine").exists()
                shutil.rmtree(folder, ignore_errors=True)  # as the command does it

    in_threads(demo, demo, demo, demo)
    assert not (home / "demo").exists()


def test_a_folder_that_another_demo_takes_for_a_leftover_is_made_anew(home, monkeypatch):
    make, made = tempfile.mkdtemp, []

    def taken(**how):
        made.append(make(**how))
        if len(made) == 1:
            shutil.rmtree(made[0])
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", taken)
    with fresh_home() as folder:
        assert [str(folder)] == made[1:]


def test_what_is_wrong_for_good_is_raised(home):
    home.symlink_to("nowhere-at-all/deep")
    with pytest.raises(OSError, match=re.escape(str(home))), fresh_home():
        pass
