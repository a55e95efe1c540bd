"""`make bench-check`: what counts as worse, what is refused, what a cut run keeps."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.bench.comparison import IncomparableError, compare, kept_rows, unmatched, worse
from tests.bench.report import plot, table
from tests.bench.results import Row, load, results_path, rows_of, save


def row(key="create", ours=(60.0,), theirs=(100.0,), goal=0.6, better="more", **more):
    return Row(key, f"what {key} does", "bare", "calls/s", goal, better, list(ours), list(theirs), **more)


@pytest.mark.parametrize(
    ("before", "now", "share"),
    [
        (row(ours=[60]), row(ours=[45]), 0.25),
        (row(ours=[60]), row(ours=[49]), None),  # by less than a fifth
        (row(ours=[60]), row(ours=[90]), None),
        (row(ours=[1], theirs=[], goal=1.3, better="less"), row(ours=[1.5], theirs=[], goal=1.3, better="less"), 0.5),
        (row(ours=[1], theirs=[], goal=1.3, better="less"), row(ours=[0.5], theirs=[], goal=1.3, better="less"), None),
        # 0.1 and 0.5 MiB of 10 that are allowed: noise
        (row(ours=[0.1], theirs=[], goal=10, better="less"), row(ours=[0.5], theirs=[], goal=10, better="less"), None),
        (row(ours=[-0.2], theirs=[], goal=10, better="less"), row(ours=[4], theirs=[], goal=10, better="less"), 1.0),
        (row(ours=[0], theirs=[], goal=0, better="less"), row(ours=[3], theirs=[], goal=0, better="less"), 1.0),
        # without a goal (CPU-milliseconds)
        (row(ours=[2], theirs=[], goal=None, better="less"), row(ours=[3], theirs=[], goal=None, better="less"), 0.5),
        # judged by itself, whatever stands beside it
        (row(ours=[300], theirs=[600], judged="ours"), row(ours=[300], theirs=[1200], judged="ours"), None),
    ],
)
def test_worse_is_what_lost_more_than_a_fifth(before, now, share):
    found = worse([before], [now])
    assert [one.share for one in found] == ([] if share is None else [pytest.approx(share)])


def test_it_is_told_whether_the_spreads_are_apart():
    kept = row(ours=[60, 62, 64], theirs=[100] * 3)
    (apart,) = worse([kept], [row(ours=[40, 41, 42], theirs=[100] * 3)])
    (within,) = worse([kept], [row(ours=[30, 31, 90], theirs=[100] * 3)])
    assert apart.apart
    assert not within.apart


def test_rows_of_one_side_are_no_comparison():
    assert worse([row("old")], [row("new")]) == []
    assert unmatched([row("old")], [row("new"), row("old")]) == ["new"]


def test_other_sizes_are_refused_before_anything_is_measured(tmp_path):
    path = tmp_path / "results.json"
    save([row()], "default", path)
    with pytest.raises(IncomparableError, match="of default sizes, these would be of tiny sizes"):
        kept_rows(load(path), "tiny", [])
    with pytest.raises(IncomparableError, match="make bench"):
        kept_rows(None, "tiny", [])
    with pytest.raises(ValueError, match="holds rows of default sizes"):
        save([row()], "tiny", path)


def test_sizes_have_files_of_their_own(monkeypatch, tmp_path):
    monkeypatch.delenv("BENCH_RESULTS", raising=False)
    assert len({results_path(name) for name in ("default", "full", "tiny")}) == 3
    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "mine.json"))
    assert results_path("tiny") == tmp_path / "mine.json"


def test_a_cut_run_keeps_what_it_measured_beside_the_earlier_rows(tmp_path):
    path = tmp_path / "results.json"
    save([row("a", commit="1"), row("b", commit="1")], "default", path)
    save([row("a", ours=[80], commit="2")], "default", path)
    kept = {one.key: one for one in rows_of(load(path))}
    assert (kept["a"].ratio, kept["a"].commit) == (0.8, "2")
    assert (kept["b"].ratio, kept["b"].commit) == (0.6, "1")
    assert load(path)["rows"]["a"]["met"] is True


@pytest.mark.parametrize(
    ("before", "now", "code", "says"),
    [
        ([row()], [row()], 0, "nothing got worse"),
        ([row()], [row(ours=[30])], 1, "worse by 50%"),
        ([row("old")], [row("new")], 2, "nothing kept to compare with: new"),
    ],
)
def test_the_exit_code_says_whether_something_got_worse(before, now, code, says):
    shown = io.StringIO()
    assert compare(Console(file=shown, width=200), before, now) == code
    assert says in shown.getvalue()


def test_table_and_picture_tell_goal_and_verdict_of_every_row(tmp_path):
    rows = [row("met"), row("missed", ours=[30]), row("zero", ours=[0], theirs=[], goal=0, better="less")]
    assert table(rows, "tiny").row_count == 3
    plot(rows, tmp_path / "plot.svg")
    drawn = (tmp_path / "plot.svg").read_text()
    assert [drawn.count(f": {word}") for word in ("met", "missed")] == [2, 1]
