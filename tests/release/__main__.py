"""`make dist`: a wheel, its source, its pinned requirements, its SBOM and their hashes, in dist/."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.release import sbom, tree

PINS = tree.ROOT / "deploy" / "requirements"
SUMS = "SHA256SUMS"
#: What is beside the wheel for pip, by the pins it is made from, with the wheel's extra.
REQUIREMENTS = {"requirements.txt": ("run.txt", ""), "requirements-otel.txt": ("otel.txt", "[otel]")}


def build_wheel(source: Path, target: Path, epoch: int) -> Path:
    """Build it from ``source``, with the setuptools of this environment and nothing fetched."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
    ]
    command += ["--no-build-isolation", "--wheel-dir", str(target), str(source)]
    built = subprocess.run(
        command,
        env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch)},
        capture_output=True,
        text=True,
        check=False,
        umask=0o022,
    )
    if built.returncode:
        raise SystemExit(f"the wheel can't be built:\n{built.stdout}{built.stderr}")
    (wheel,) = target.glob("*.whl")
    return wheel


def write_source(folder: Path, wheel: Path, target: Path, epoch: int) -> Path:
    """Pack the tree with the wheel's metadata, which makes it a source distribution."""
    name, version = wheel.name.split("-")[:2]
    with zipfile.ZipFile(wheel) as archive:
        (folder / "PKG-INFO").write_bytes(archive.read(f"{name}-{version}.dist-info/METADATA"))
    packed = target / f"{name}-{version}.tar.gz"
    tree.pack(folder, packed, f"{name}-{version}", epoch)
    return packed


def write_requirements(wheel: Path) -> None:
    """Files for pip, which installs by them this wheel and what it needs, each only with the right hash."""
    for name, (pins, extra) in REQUIREMENTS.items():
        ours = f"./{wheel.name}{extra} --hash=sha256:{sha256(wheel)}\n"
        told = f"# In this folder: pip install --require-hashes --no-deps -r {name}\n"
        wheel.with_name(name).write_text(told + ours + (PINS / pins).read_text())


def sha256(path: Path) -> str:
    """In hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(target: Path, epoch: int) -> None:
    """Everything, into the empty folder ``target``."""
    with tempfile.TemporaryDirectory(prefix="invoices-dist-") as work:
        source, building = Path(work, "source"), Path(work, "building")
        tree.copy_tree(source, epoch)
        shutil.copytree(source, building)  # the build leaves files behind
        wheel = build_wheel(building, target, epoch)
        write_source(source, wheel, target, epoch)
    write_requirements(wheel)
    sbom.write(wheel, sha256(wheel), PINS / "run.txt", PINS / "otel.txt", epoch)
    lines = [f"{sha256(path)}  {path.name}\n" for path in sorted(target.iterdir())]
    (target / SUMS).write_text("".join(lines))


def main() -> None:
    """Into dist/, which is made anew, or the folder that is named."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else tree.ROOT / "dist"
    if target == tree.ROOT / "dist":
        shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    make(target, tree.release_time())
    if changed := tree.uncommitted():
        print(f"note: {len(changed)} paths are not as committed; what git does not track is left out", file=sys.stderr)
    print((target / SUMS).read_text(), end="")


if __name__ == "__main__":
    main()
