"""The image, built as deploy/image.sh does by buildah on a base of Debian's packages. Base and wheels are kept between
runs, in `INVOICES_TEST_CACHE` or ~/.cache/invoices-tests."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("INVOICES_TEST_CACHE") or Path.home() / ".cache" / "invoices-tests")
TOOLS = ("buildah", "debootstrap", "runc")
PACKAGES = "python3,python3-venv,ca-certificates,tzdata"
BASE = "localhost/invoices-test-base"
#: Debian's Python is older than the one that runs this test, and pip downloads for the latter.
OLDER_PYTHON = " ; python_full_version < '3.11.3'"
PIP_CONF = "[global]\nno-index = true\nfind-links = /wheels\n"


class CannotBuildError(Exception):
    """What is missing here, in a sentence."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image, unpacked: its root folder, and what it says of itself."""

    root: Path
    config: dict[str, Any]  #: User, Entrypoint, Healthcheck … as Docker names them


@contextlib.contextmanager
def built_image(folder: Path) -> Iterator[Image]:
    """Build it; removed afterwards, except for what the next run uses too. Raises CannotBuildError."""
    places = f"{os.environ['PATH']}:/usr/sbin"
    missing = [name for name in TOOLS if shutil.which(name, path=places) is None]
    if sys.platform != "linux" or os.geteuid() != 0 or missing:
        what = f"{', '.join(missing)} (`.ci/engines` installs them)" if missing else "root on a Linux"
        raise CannotBuildError(f"an image can't be built here without {what}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock, contextlib.ExitStack() as stack:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one build at a time: buildah's store is shared
        base = _base()
        name = f"localhost/invoices-test:{os.getpid()}"
        _context(folder)
        _build(folder, base, name)
        stack.callback(_buildah, "rmi", "--force", name)
        container = _buildah("from", "--pull-never", name)
        stack.callback(_buildah, "rm", container)
        fcntl.flock(lock, fcntl.LOCK_UN)
        found = json.loads(_buildah("inspect", "--type", "image", name))
        yield Image(Path(_buildah("mount", container)), found["Docker"]["config"])
        _buildah("umount", container)


def _context(folder: Path) -> None:
    """What the build reads, and nothing else of this folder."""
    (folder / "deploy").mkdir()
    for name in ("deploy/Dockerfile", "deploy/image.sh"):
        shutil.copy(ROOT / name, folder / name)
    _run([sys.executable, "-m", "tests.release", str(folder / "dist")])


def _build(folder: Path, base: str, name: str) -> None:
    """By the script that `make image` runs. Packages come from a folder: a chroot may reach no index."""
    (folder / "pip.conf").write_text(PIP_CONF)
    given = ["--isolation", "chroot", "--pull-never", "--secret", f"id=pip.conf,src={folder}/pip.conf"]
    given += ["--volume", f"{_wheels()}:/wheels:ro"]
    environment = _environment() | {"TOOL": "buildah", "BASE": base, "IMAGE": name}
    _run(["sh", str(folder / "deploy" / "image.sh"), *given], environment)


def _base() -> str:
    """The id of a Debian with Python, as small as debootstrap makes it."""
    if not _buildah("images", "--quiet", "--filter", f"reference={BASE}"):
        archive = CACHE / "base.tar"
        if not archive.exists():
            _bootstrap(archive)
        container = _buildah("from", "scratch")
        _buildah("add", "--quiet", container, str(archive), "/")
        _buildah("commit", "--quiet", container, BASE)
        _buildah("rm", container)
    return f"sha256:{_buildah('images', '--quiet', '--no-trunc', BASE).removeprefix('sha256:')}"


def _bootstrap(archive: Path) -> None:
    place, making = CACHE / "base", archive.with_suffix(".making")
    shutil.rmtree(place, ignore_errors=True)
    try:
        _run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(place)], _environment())
    except RuntimeError as error:
        raise CannotBuildError(f"no Debian to build on can be had here: {error}") from None
    leave_out = ["--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "--exclude=./usr/share/doc/*"]
    _run(["tar", "-C", str(place), *leave_out, "-cf", str(making), "."])
    making.rename(archive)
    shutil.rmtree(place)


def _wheels() -> Path:
    """A folder with every pinned package, their hashes checked."""
    pins = (ROOT / "deploy" / "requirements" / "run.txt").read_text()
    place = CACHE / f"wheels-{hashlib.sha256(pins.encode()).hexdigest()[:16]}"
    if not place.exists():
        wanted, making = CACHE / "wanted.txt", place.with_suffix(".making")
        wanted.write_text(pins.replace(OLDER_PYTHON, ""))
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
        try:
            _run([*command, "--only-binary", ":all:", "-r", str(wanted), "-d", str(making)])
        except RuntimeError as error:
            raise CannotBuildError(f"the pinned packages can't be had here: {error}") from None
        making.rename(place)
    return place


def _environment() -> dict[str, str]:
    """buildah with a store of its own, under the cache."""
    settings = CACHE / "storage.conf"
    text = f'[storage]\ndriver = "overlay"\ngraphroot = "{CACHE}/store"\nrunroot = "{CACHE}/run"\n'
    settings.write_text(text)
    path = f"{os.environ['PATH']}:/usr/sbin"
    return {**os.environ, "PATH": path, "CONTAINERS_STORAGE_CONF": str(settings)}


def _buildah(*arguments: str) -> str:
    return _run(["buildah", *arguments], _environment()).strip()


def _run(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Its standard output. Raises RuntimeError with the end of what it said."""
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        said = (done.stdout[-1500:] + done.stderr[-1500:]).decode(errors="replace")
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {said}")
    return done.stdout.decode()
