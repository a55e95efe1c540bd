"""Tables fit: ids stay whole, a row is a line, and nothing is cut or left out without a word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.cli.table import CUT, GAP, YEAR, Cell, Column, lay_out

ID = "inv_01a2268b114271c3b0b3e2a363329d53"


def lines(columns, rows, width):
    laid = lay_out(columns, rows, width)
    return [GAP.join(laid.heading), *(GAP.join(cell.text for cell in line) for line in laid.lines)], laid.left_out


def test_prose_is_cut_with_a_mark_before_anything_is_left_out():
    columns = [Column("ID"), Column("WHY", text=5), Column("AT", rank=1)]
    assert lines(columns, [(1, "a long reason", "noon")], 18) == (
        ["ID  WHY       AT", f"1   a long {CUT}  noon"],
        [],
    )


def test_columns_are_left_out_the_highest_rank_first_and_are_named():
    columns = [Column("ID"), Column("A", rank=2), Column("B", rank=1), Column("C", rank=3)]
    row = (ID, "a" * 10, "b" * 10, "c" * 10)
    assert lines(columns, [row], 72)[1] == []
    assert lines(columns, [row], 71)[1] == ["C"]
    assert lines(columns, [row], 59)[1] == ["A", "C"]
    assert lines(columns, [row], 47) == (["ID", ID], ["A", "B", "C"])


def test_a_time_goes_without_its_year_before_it_is_left_out():
    columns = [Column("ID"), Column("AT", lead=YEAR, rank=1)]
    assert lines(columns, [("1", "2026-11-29 09:02:57")], 23)[0][1] == "1   2026-11-29 09:02:57"
    assert lines(columns, [("1", "2026-11-29 09:02:57")], 22)[0] == ["ID  AT", "1   11-29 09:02:57"]


def test_somebody_else_s_id_is_cut_only_when_all_else_is_gone_and_ours_never():
    columns = [Column("ID"), Column("ORDER", key=8), Column("AT", rank=1)]
    row = (ID, "594948ab-1234-4c5d", "noon")
    assert lines(columns, [row], 56) == ([f"{'ID':36}  ORDER", f"{ID}  594948ab-1234-4c5d"], ["AT"])
    assert lines(columns, [row], 50)[0][1] == f"{ID}  594948ab-12{CUT}"
    assert lines(columns, [row], 20)[0][1] == f"{ID}  594948a{CUT}"


def test_without_a_width_nothing_is_cut():
    assert lines([Column("A", text=3), Column("B")], [("x" * 500, "y")], None)[0][1] == "x" * 500 + "  y"


def test_a_row_is_one_line_whatever_is_in_it():
    assert lines([Column("A")], [("one\ntwo\x1b[31m",)], 80)[0][1] == "one two\\x1b[31m"


def test_wide_characters_count_as_the_cells_they_take():
    laid, _ = lines([Column("A", text=4), Column("B")], [("注文番号", "x")], 9)
    assert laid[1] == f"注文{CUT} x"[:3] + "   x"


def test_a_style_stays_with_its_cell():
    laid = lay_out([Column("A", text=3)], [(Cell("pending", "cyan"),)], 4)
    assert laid.lines == [[Cell(f"pen{CUT}", "cyan")]]


TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


@given(st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 10**9)), max_size=5), st.integers(1, 200))
def test_every_line_fits_where_what_must_stay_does(rows, width):
    laid, left_out = lines([Column("A", text=1, rank=1), Column("B", key=1), Column("C")], rows, width)
    least = len("B") + len(GAP) + max([1, *(len(str(row[2])) for row in rows)])
    assert max(map(len, laid)) <= max(width, least)
    assert all(str(row[2]) in line for row, line in zip(rows, laid[1:], strict=True))
    for (prose, order, _), line in zip(rows, laid[1:], strict=True):
        assert order in line or CUT in line
        assert prose in line or CUT in line or left_out == ["A"]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_an_empty_table_has_its_heading(width):
    assert lines([Column("A"), Column("B", rank=1)], [], width) == (["A  B"], [])
