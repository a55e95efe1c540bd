"""No test gives up a process or a server before a slow machine has imported everything that these need."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
LEAST_SECONDS = 60
#: What waits for somebody else, by the last word of the call.
WAITING = {"run", "communicate", "check_output", "urlopen", "Client", "AsyncClient", "get", "post", "delete", "stream"}
#: httpx gives up after five seconds where nothing else is said.
ASKING = {"get", "post", "put", "delete", "request", "stream", "Client"}


def hasty(file: Path) -> Iterator[str]:
    """Calls that give up sooner."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name, given = node.func.attr, {one.arg: one.value for one in node.keywords}
        seconds = given.get("timeout")
        place = f"{file.relative_to(TESTS)}:{node.lineno}"
        if name in WAITING and isinstance(seconds, ast.Constant) and isinstance(seconds.value, int | float):
            if seconds.value < LEAST_SECONDS:
                yield f"{place}: {name} gives up after {seconds.value} s"
        elif name in ASKING and ast.unparse(node.func.value) == "httpx" and not {"timeout", "transport"} & set(given):
            yield f"{place}: httpx gives up after five seconds"


def test_no_test_gives_up_sooner_than_a_slow_machine_answers():
    files = [file for file in TESTS.rglob("*.py") if "bench" not in file.parts]
    assert len(files) > 500
    assert [one for file in files for one in hasty(file)] == []
