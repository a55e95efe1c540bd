"""Runs the `invoices` command in this process, on a home of the test's own."""

from __future__ import annotations

import json
from dataclasses import dataclass

from workers.cli.main import run


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def lines(self):
        """Standard output as JSON Lines; fails on anything else."""
        return [json.loads(line) for line in self.out.splitlines()]


class Invoices:
    """`invoices("list", "--json")`."""

    def __init__(self, capsys, home):
        self._capsys = capsys
        self.home = home

    def __call__(self, *arguments):
        self._capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = self._capsys.readouterr()
        return Ran(code, captured.out, captured.err)
