"""A release: its version, and where its files are that are no modules: Procfile, migrations, alerts' rules, documents.

An installed wheel has copies of them in this folder (``deploy/packaging/build_py.py``); a clone has the real ones.
"""

from __future__ import annotations

from pathlib import Path

#: Not asked of the installed package: an installation that is made anew under a running process has none for a moment.
VERSION = "0.1.0"

_COPIES = Path(__file__).with_name("files")

#: Named as in a clone: ``ROOT / "deploy" / "migrations"``.
ROOT = _COPIES if _COPIES.is_dir() else Path(__file__).resolve().parents[2]
