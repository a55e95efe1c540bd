"""Where the files of a release are that are no modules of it: Procfile, migrations, alerts' rules, examples, documents.

An installed wheel has copies of them in this folder (``deploy/packaging/build_py.py``); a clone has the real ones.
"""

from __future__ import annotations

from pathlib import Path

_COPIES = Path(__file__).with_name("files")

#: Named as in a clone: ``ROOT / "deploy" / "migrations"``.
ROOT = _COPIES if _COPIES.is_dir() else Path(__file__).resolve().parents[2]
