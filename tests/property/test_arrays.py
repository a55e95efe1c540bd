"""A list goes to PostgreSQL as the driver would write it, byte for byte."""

from __future__ import annotations

from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.array import ListBinaryDumper

from workers.store.arrays import FlatListDumper

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
items = (
    texts,
    st.text("0123456789abcdef", min_size=36, max_size=36),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=40),
    st.booleans(),
    st.datetimes(timezones=st.just(UTC)),
)
columns = st.one_of(*(st.lists(one | st.none()) | st.lists(one, min_size=1) for one in items))


def written(kind, column):
    return bytes(kind(list, Transformer()).upgrade(column, PyFormat.BINARY).dump(column))


@given(columns)
def test_a_list_is_written_as_the_driver_writes_it(column):
    assert written(FlatListDumper, column) == written(ListBinaryDumper, column)


@given(st.lists(st.lists(texts, min_size=2, max_size=2), min_size=1))
def test_lists_of_lists_are_left_to_the_driver(columns):
    assert written(FlatListDumper, columns) == written(ListBinaryDumper, columns)
