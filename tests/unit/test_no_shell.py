"""No command of a process of ours goes through a shell, changes its user, or runs a program that a setting names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for folder in ("workers", "domain", "config") for path in (ROOT / folder).rglob("*.py"))
#: What hands a text to a shell, replaces the process, or changes who it is.
NEVER = {
    "system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell", "subprocess_shell",
    "setuid", "setgid", "seteuid", "setegid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups",
    "initgroups", "chroot", "forkpty", "execl", "execle", "execlp", "execlpe", "execv", "execve", "execvp",
    "execvpe", "spawnl", "spawnlp", "spawnv", "spawnvp", "posix_spawn", "posix_spawnp",
}  # fmt: skip
RUNS = {"run", "Popen", "call", "check_call", "check_output", "create_subprocess_exec", "execv", "execvp"}
MODULES = {"os", "pty", "subprocess", "asyncio"}
#: The embedded default starts its own servers and the Procfile's lines, split into words, and `invoices worker` becomes
#: such a line; nothing else starts anything.
STARTS = ("workers/embedded/", "workers/cli/roles.py")


def faults(path: Path, text: str) -> list[str]:
    """What stands there and must not."""
    allowed = RUNS if str(path).startswith(STARTS) else set()
    return [f"{path}:{line}: {what}" for line, what in _uses(ast.parse(text)) if what not in allowed]


def _uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if module in MODULES and name in NEVER | RUNS:
                # asyncio.run starts no program.
                if (module, name) != ("asyncio", "run"):
                    yield node.lineno, name
            case ast.ImportFrom(module=module, names=names) if module in MODULES:
                yield from ((node.lineno, f"from {module}") for one in names if one.name in NEVER | RUNS)
            case ast.Call(keywords=keywords):
                yield from ((node.lineno, "shell=") for keyword in keywords if keyword.arg == "shell")


def test_there_is_no_shell_and_no_change_of_user_in_the_product():
    assert len(FILES) > 300
    found = [one for path in FILES for one in faults(path.relative_to(ROOT), path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.system('x')",
        "import subprocess\nsubprocess.run('x', shell=True)",
        "import subprocess\nsubprocess.getoutput('x')",
        "import subprocess\nsubprocess.Popen(['x'])",
        "from os import system",
        "from subprocess import run",
        "import os\nos.setuid(0)",
    ],
)
def test_each_way_would_be_found(text):
    assert faults(Path("workers/queue/x.py"), text)
