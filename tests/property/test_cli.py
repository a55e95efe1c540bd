"""Whatever stands on the command line: exit code 0, 1 or 2, and a failure is one line that shows no password."""

from __future__ import annotations

import io
import os
import sys

import click
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from workers.cli.main import cli, run

SECRET = "hunter2-secret"
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#: What starts servers, plays orders for minutes, or follows for ever.
#: Their exit code is a verdict, which is printed like any other answer.
VERDICTS = {"health", "why"}
NEVER_RUN = {"up", "web", "intake", "worker", "beat", "demo", "watch", "doctor", "--follow"}

WORDS = [
    *("", "-", "--", "-x", "--json", "0", "-1", "9" * 30, "1" * 400, "1e5", "nan", "é", "\udcff", "\n", "a\nb"),
    *("{}", "[]", "null", "/", "/dev/null", "/nowhere", "@file", "inv_1", "ep_1", "paid", "invoice.*", "'; DROP"),
    *("tomorrow", "2026-11-22", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "9999999999d", "-1h"),
    *("http://h/", "http://[", "http://127.0.0.1/", f"https://u:{SECRET}@example.com/", "A: b", "A: \n", "Host: x"),
    *("\x1b[31m", "x" * 5000),
]  # fmt: skip
words = st.sampled_from(WORDS) | st.text(max_size=10)


def commands(group, path=()):
    """Every command with its path."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if name not in NEVER_RUN:
            yield (*path, name), command
            if isinstance(command, click.Group):
                yield from commands(command, (*path, name))


COMMANDS = dict(commands(cli))


@st.composite
def command_lines(draw):
    """A command, some of its options with values of any kind, and arguments."""
    path = draw(st.sampled_from(sorted(COMMANDS)))
    line = list(path)
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Argument):
            line += draw(st.lists(words, max_size=2 if parameter.nargs < 0 else 1))
        elif draw(st.booleans()) and not NEVER_RUN & set(parameter.opts):
            line += [parameter.opts[0]] if parameter.is_flag else [parameter.opts[0], draw(words)]
    return line + draw(st.lists(words, max_size=1))


inputs = st.sampled_from(
    [
        b"",
        b"{}\n",
        b"\xff\n",
        b"[1]\n" * 3,
        b'{"account":"nebulox"}\n',
        b"\0",
        b"[" * 100_000,
        b'{"price":1e999999999}\n',
    ]
)


@pytest.fixture(scope="module", autouse=True)
def migrated_home(tmp_path_factory):
    """A database, and a broker and a Redis that are away."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("INVOICES_")]:
            patch.delenv(name)
        patch.chdir(home)
        patch.setenv("INVOICES_HOME", str(home))
        patch.setenv("INVOICES_DATABASE_URL", f"sqlite:///{home}/invoices.db")
        patch.setenv("INVOICES_BROKER_URL", "redis+socket:///nowhere/x")
        patch.setenv("INVOICES_SECRET_KEY", KEY)
        assert run(["migrate"]) == 0
        yield


@given(line=command_lines(), given_in=inputs)
@example(line=["show", "\udcff"], given_in=b"")
@example(line=["endpoints", "test", "x" * 5000], given_in=b"")
@example(line=["events", "--limit", "a\nb"], given_in=b"")
@example(line=["redrive", "rejected", "9" * 30], given_in=b"")
@example(line=["drift", "accept", str(2**63), "--reason", "x"], given_in=b"")
@example(line=["unmatched", "dismiss", str(2**63), "--reason", "x"], given_in=b"")
@example(line=["show", f"https://u:{SECRET}@example.com/"], given_in=b"")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_failure_is_one_line_and_no_surprise(capsysbinary, monkeypatch, line, given_in):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given_in)))
    capsysbinary.readouterr()

    code = run(line)

    printed = capsysbinary.readouterr()
    told = printed.err.decode()
    assert code in {0, 1, 2}
    assert SECRET not in told
    if code and not (printed.out and VERDICTS.intersection(line[:1])):
        assert told.endswith("\n")
        assert told[:-1].isprintable()  # one line, that is
        assert len(told) < 1000
        assert not told.startswith("invoices: unexpected")


def test_no_number_that_is_an_argument_is_larger_than_a_row_s_number_can_be():
    numbers = [
        one.type
        for command in COMMANDS.values()
        for one in command.params
        if isinstance(one, click.Argument) and isinstance(one.type, click.types.IntParamType)
    ]
    assert numbers
    assert all(isinstance(one, click.IntRange) and one.max is not None for one in numbers)
