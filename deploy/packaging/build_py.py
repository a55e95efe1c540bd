"""The step of a build that puts into the wheel what is no module of ours: see ``workers/shipped``.

setuptools reads its name from pyproject.toml and imports it by itself, so it may import setuptools only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from setuptools.command.build_py import build_py

#: What a wheel carries, by the paths of a clone. Whoever needs more of deploy/ (its pictures, benchmarks) has a clone.
CARRIED = (
    "CHANGELOG.md",
    "LICENSE",
    "Procfile",
    "README.md",
    "SECURITY.md",
    "deploy/*.md",
    "deploy/*.toml",
    "deploy/*.yaml",
    "deploy/decisions/*.md",
    "deploy/migrations/**/*.py",
    "deploy/observability/**/*.json",
    "deploy/observability/**/*.md",
    "deploy/observability/**/*.yaml",
    "deploy/pgbouncer/*",
    "deploy/proof/*",
    "deploy/proxies/*",
    "deploy/receivers/*",
    "deploy/redis/*",
    "deploy/requirements/otel.txt",
    "deploy/requirements/run.txt",
    "deploy/runbooks/*.md",
    "deploy/senders/*",
    "deploy/sql/*",
    "deploy/systemd/**/*",
)
PLACE = Path("workers", "shipped", "files")


def carried(root: Path) -> Iterator[Path]:
    """The files' paths under ``root``, in one order everywhere."""
    found = {path.relative_to(root) for pattern in CARRIED for path in root.glob(pattern) if path.is_file()}
    yield from sorted(path for path in found if path.name != "check.sh" and "__pycache__" not in path.parts)


class BuildPy(build_py):
    """setuptools' own, and the copies. An editable install needs none: the clone is there."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for path in carried(Path()):
                target = Path(self.build_lib) / PLACE / path
                self.mkpath(str(target.parent))
                self.copy_file(str(path), str(target))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs: list[str] = super().get_outputs(include_bytecode)
        if self.editable_mode:
            return outputs
        return outputs + [str(Path(self.build_lib) / PLACE / path) for path in carried(Path())]
