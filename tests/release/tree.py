"""What goes into a release: the files that git tracks, as they are now, the same on every machine."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True, text=True).stdout


def release_time() -> int:
    """Epoch seconds that every file of the release bears: SOURCE_DATE_EPOCH, or when the newest commit was made."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct"))


def uncommitted() -> list[str]:
    """Paths that no commit has as they are."""
    return [line[3:] for line in _git("status", "--porcelain").splitlines()]


def copy_tree(target: Path, epoch: int) -> None:
    """Copy what git tracks, with modes that don't depend on the umask and the release's time."""
    for entry in filter(None, _git("ls-files", "-s", "-z").split("\0")):
        mode, name = entry[:6], entry.partition("\t")[2]
        if not (ROOT / name).is_file():
            continue  # deleted, not committed yet
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy)
        copy.chmod(0o755 if mode == "100755" else 0o644)
        os.utime(copy, (epoch, epoch))


def pack(tree: Path, target: Path, top: str, epoch: int) -> None:
    """A source distribution: a tar of ``tree`` under the folder ``top``; the same bytes for the same files."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(path for path in tree.rglob("*") if path.is_file()):
            member = archive.gettarinfo(path, f"{top}/{path.relative_to(tree)}")
            member.mode = 0o755 if member.mode & 0o100 else 0o644
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = epoch
            with path.open("rb") as content:
                archive.addfile(member, content)
    with open(target, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=epoch) as zipped:
        zipped.write(plain.getvalue())
