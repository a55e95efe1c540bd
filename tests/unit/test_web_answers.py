"""What leaves a connection of the web process: an answer is one write, and nothing is kept without bound."""

from __future__ import annotations

import asyncio

import pytest

from workers.web.answers import MOST_KEPT, Together


class Wire:
    """A transport that remembers."""

    def __init__(self):
        self.written: list[bytes] = []
        self.closed = self.ended = False

    def write(self, data):
        assert not self.closed
        assert not self.ended
        self.written.append(data)

    def write_eof(self):
        self.ended = True

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed


@pytest.fixture
def wire():
    return Wire()


def in_a_turn(wire, do, lingers=False):
    """The writes that had gone out at the end of it, and those after the next one."""

    async def run():
        do(Together(wire, asyncio.get_running_loop(), lambda: lingers))
        before = list(wire.written)
        await asyncio.sleep(0)
        return before, wire.written

    return asyncio.run(run())


def test_what_is_written_in_one_turn_leaves_as_one_in_the_next(wire):
    def answer(together):
        for part in (b"head", b"body", b""):
            together.write(part)

    assert in_a_turn(wire, answer) == ([], [b"headbody"])


def test_more_than_the_bound_is_handed_on_at_once(wire):
    large = b"a" * MOST_KEPT

    def stream(together):
        together.write(b"head")
        together.write(large)
        together.write(b"more")

    assert in_a_turn(wire, stream) == ([b"head" + large], [b"head" + large, b"more"])


def test_what_was_written_leaves_before_the_connection_is_closed(wire):
    def end(together):
        together.write(b"bye")
        together.close()

    assert in_a_turn(wire, end) == ([b"bye"], [b"bye"])
    assert wire.closed


def test_a_connection_that_is_gone_is_not_written_to(wire):
    def leave(together):
        together.write(b"too late")
        wire.closed = True

    assert in_a_turn(wire, leave) == ([], [])


def test_one_that_lingers_only_stops_writing_until_it_is_closed_again(wire):
    def refuse(together):
        together.write(b"answer")
        together.close()
        assert (wire.written, wire.ended, wire.closed, together.is_closing()) == ([b"answer"], True, False, True)
        together.close()

    in_a_turn(wire, refuse, lingers=True)
    assert (wire.written, wire.closed) == ([b"answer"], True)
