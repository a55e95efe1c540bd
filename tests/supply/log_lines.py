"""``deploy/LOGS.md``, read from the source: ``python -m tests.supply.log_lines > deploy/LOGS.md``.

Finds every call of a logger, its event's name, level and fields. What a line gets from a variable is looked for where
that is set, in the same function; what comes from further away stands in ``NAMED`` and ``GIVEN``.
"""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from domain.event import INVOICE_TYPES
from domain.status import Status
from tests.supply.log_words import HEAD, WORDS
from workers.engine.observer import _BUGS, _LEVELS, Trouble
from workers.intake.orders import EVENTS
from workers.stages.last_answers import PROVIDER_EVENTS

ROOT = Path(__file__).resolve().parents[2]
LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")
#: A logger by the name it has in the source.
LOGGERS = frozenset({"log", "_log", "logger", "self._log"})
_CHANGES = sorted(INVOICE_TYPES - {"invoice.contradiction"})
#: By file and expression: the names that it may have.
NAMED = {
    ("workers/stages/judging.py", "outcome.event_type"): _CHANGES,
    ("workers/stages/judging.py", "event"): [f"invoice.{status}" for status in Status if status is not Status.QUEUED],
    ("workers/stages/last_answers.py", "event"): sorted({*PROVIDER_EVENTS.values(), "provider.failed"}),
    ("workers/intake/direct.py", "EVENTS[one.outcome]"): sorted(EVENTS.values()),
    ("workers/intake/orders.py", "EVENTS[result.outcome]"): sorted(EVENTS.values()),
}
#: By file and expression: fields that callers give.
GIVEN = {("workers/web/api/absence.py", "about"): ["following", "waiting"]}
#: What ``ErrorRenderer`` makes of these: the error in one line and its type; the traceback at level debug.
_RENDERED = {"exc_info": ("error", "exc_type"), "traceback": ()}


@dataclass
class Line:
    """An event of the log."""

    levels: set[str] = field(default_factory=set)
    fields: dict[str, None] = field(default_factory=dict)  #: in the order in which they were found
    files: set[str] = field(default_factory=set)

    def add(self, level: str, fields: Sequence[str], file: str) -> None:
        """One more place that writes it."""
        self.levels.add(level)
        self.fields |= dict.fromkeys(name for given in fields for name in _RENDERED.get(given, (given,)))
        self.files.add(file)


class Unnamed(Exception):  # noqa: N818 - reads as what is the matter
    """An event's name, or a field's, that can't be found in the source."""


def find_lines(root: Path = ROOT) -> dict[str, Line]:
    """Every event by its name. Raises Unnamed."""
    lines: dict[str, Line] = defaultdict(Line)
    for path in sorted([*root.glob("workers/**/*.py"), *root.glob("config/*.py")]):
        file = path.relative_to(root).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function, call in _calls(tree):
            _read_call(lines, file, function, call)
    return dict(lines)


def _calls(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.Call]]:
    """Each call with the innermost function that it stands in."""
    stack: list[tuple[ast.AST, ast.AST]] = [(tree, tree)]
    while stack:
        function, node = stack.pop()
        if isinstance(node, ast.Call):
            yield function, node
        inside = node if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        stack += [(inside, child) for child in ast.iter_child_nodes(node)]


def _read_call(lines: dict[str, Line], file: str, function: ast.AST, call: ast.Call) -> None:
    troubles = [name for one in call.args[:1] for name in _troubles(one, function)]
    if troubles:
        fields = _trouble_fields(call, function)
        for trouble in troubles:
            level = _LEVELS.get(trouble, "warning")
            error = ("exc_info",) if trouble in _BUGS else ("error",) if _has_error(call) else ()
            lines[trouble.value].add(level, [*fields, "stage", *error], file)
        return
    for method in _methods(call.func, function):
        args = call.args[1:] if method == "log" else call.args
        if not args:
            continue
        level = "error" if method in {"exception", "log"} else method
        fields = [name for keyword in call.keywords for name in _keys(keyword, function, file)]
        fields += ["exc_info"] if method == "exception" else []
        for name in _names(args[0], file):
            lines[name].add(level, fields, file)


@functools.lru_cache(64)  # asked for at each call that stands in the function
def _assigned(function: ast.AST) -> Mapping[str, list[ast.expr]]:
    """What each variable of a function is set to."""
    found: dict[str, list[ast.expr]] = defaultdict(list)
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name].append(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found[name].append(value)
    return found


def _methods(node: ast.expr | None, function: ast.AST) -> list[str]:
    """Which methods of a logger are called: by name, or as one that a variable of this function was set to."""
    match node:
        case ast.Attribute(value=value, attr=attr) if attr in LEVELS and _is_logger(value):
            return [attr]
        case ast.IfExp():
            return _methods(node.body, function) + _methods(node.orelse, function)
        case ast.Name(id=name):
            return [method for value in _assigned(function).get(name, ()) for method in _methods(value, ast.Pass())]
    return []


def _is_logger(node: ast.expr) -> bool:
    name = ast.unparse(node)
    return name in LOGGERS or name.startswith("structlog.get_logger(")


def _names(node: ast.expr, file: str) -> Sequence[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    try:
        return NAMED[file, ast.unparse(node)]
    except KeyError:
        raise Unnamed(f"{file}:{node.lineno}: say in tests/supply/log_lines.py what names this may be") from None


def _keys(keyword: ast.keyword, function: ast.AST, file: str) -> list[str]:
    if keyword.arg is not None:
        return [keyword.arg]
    found = GIVEN.get((file, ast.unparse(keyword.value))) or _dict_keys(keyword.value, function)
    if found is None:
        raise Unnamed(f"{file}:{keyword.value.lineno}: say in tests/supply/log_lines.py which fields these may be")
    return found


def _dict_keys(node: ast.expr | None, function: ast.AST, depth: int = 3) -> list[str] | None:
    """The keys of a dictionary: written out, of a variable of this function, or of a parameter's own name."""
    match node:
        case ast.Dict():
            keys: list[str] = []
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant):
                    keys.append(str(key.value))
                else:
                    keys += _dict_keys(value, function, depth - 1) or []
            return keys
        case ast.IfExp():
            return [*(_dict_keys(node.body, function) or []), *(_dict_keys(node.orelse, function) or [])]
        case ast.BinOp():
            return [*(_dict_keys(node.left, function) or []), *(_dict_keys(node.right, function) or [])]
        case ast.Name() if depth > 0:
            found = [_dict_keys(value, function, depth - 1) for value in _assigned(function).get(node.id, ())]
            return None if not found else [key for some in found for key in some or ()]
    return None


# --- the engine's troubles ----------------------------------------------------------------------------------------


def _troubles(node: ast.expr, function: ast.AST) -> list[Trouble]:
    match node:
        case ast.Attribute(value=ast.Name(id="Trouble"), attr=name):
            return [Trouble[name]]
        case ast.IfExp():
            return [*_troubles(node.body, function), *_troubles(node.orelse, function)]
        case ast.Name(id=name):
            return [found for value in _assigned(function).get(name, ()) for found in _troubles(value, ast.Pass())]
    return []


def _trouble_fields(call: ast.Call, function: ast.AST) -> list[str]:
    """Of ``tell(Trouble.X, error, field=…)`` and ``Failure(Trouble.X, stage, error, fields)``."""
    if ast.unparse(call.func) != "Failure":
        return [keyword.arg for keyword in call.keywords if keyword.arg is not None]
    given = call.args[3:4] + [keyword.value for keyword in call.keywords if keyword.arg == "fields"]
    return [key for one in given for key in _dict_keys(one, function) or []]


def _has_error(call: ast.Call) -> bool:
    return len(call.args) > 1 or any(keyword.arg == "error" for keyword in call.keywords)


# --- the page -----------------------------------------------------------------------------------------------------


def render(lines: dict[str, Line] | None = None) -> str:
    """The page."""
    found, text, area = lines or find_lines(), HEAD, ""
    for name in sorted(found):
        line = found[name]
        if name.partition(".")[0] != area:
            area = name.partition(".")[0]
            text += f"\n## {area}\n\n| event | level | fields | |\n|---|---|---|---|\n"
        fields = ", ".join(f"`{one}`" for one in line.fields)
        levels = ", ".join(sorted(line.levels, key=LEVELS.index))
        text += f"| `{name}` | {levels} | {fields} | {WORDS.get(name, '')} |\n"
    return text


if __name__ == "__main__":
    print(render(), end="")
