"""Which functions a change touches, as the patterns that mutmut names their mutants by."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

#: What is mutated; mutmut's own list stands in pyproject.toml.
PLACES = ("domain", "workers/store/judging")
_HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@")


def changed_functions(root: Path, since: str) -> list[str]:
    """Patterns of all functions with a line that differs from that commit; none where there is no such commit."""
    command = ["git", "diff", "--unified=0", "--no-color", "--no-ext-diff", since, "--", *PLACES]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    found: list[str] = []
    for path, lines in read_changes(done.stdout).items():
        source = root / path
        if source.exists():
            found += patterns(path, source.read_text(), lines)
    return sorted(set(found))


def read_changes(diff: str) -> dict[str, set[int]]:
    """File -> numbers of its lines that are new or differ. A line that went is where it was."""
    changed: dict[str, set[int]] = defaultdict(set)
    path = ""
    for line in diff.splitlines():
        if line.startswith("+++ "):
            path = line.removeprefix("+++ ").removeprefix("b/")
        elif (hunk := _HUNK.match(line)) and path.endswith(".py"):
            begin, count = int(hunk[1]), int(hunk[2] or 1)
            changed[path] |= set(range(begin, begin + max(count, 1)))
    return changed


def patterns(path: str, source: str, lines: set[int]) -> list[str]:
    """The functions of a file that hold one of these lines, as mutmut spells them."""
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return [
        f"{module}.{name}__mutmut_*"
        for name, first, last in _functions(ast.parse(source))
        if not lines.isdisjoint(range(first, last + 1))
    ]


def _functions(tree: ast.Module) -> Iterator[tuple[str, int, int]]:
    """(mangled name, first line, last line) of functions and methods; inner ones belong to theirs."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"x_{node.name}", node.lineno, node.end_lineno or node.lineno
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    yield f"xǁ{node.name}ǁ{inner.name}", inner.lineno, inner.end_lineno or inner.lineno
