"""Where the files of a release are that are no modules of it: Procfile, migrations, alerts' rules, examples, documents.

An installed wheel has copies of them in this folder (``deploy/packaging/build_py.py``); a clone has the real ones.
"""

from __future__ import annotations

from pathlib import Path

_COPIES = Path(__file__).with_name("files")
_CLONE = Path(__file__).resolve().parents[2]

#: Named as in a clone: ``ROOT / "deploy" / "migrations"``.
ROOT = _COPIES if _COPIES.is_dir() else _CLONE


def clone() -> Path | None:
    """The clone that this code runs from; None for an installed wheel."""
    return None if ROOT == _COPIES else _CLONE
