"""Where the files of the embedded default are kept when ``INVOICES_HOME`` does not say."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

#: Where this code lies. A clone has its Procfile there, an installed wheel has not.
_ROOT = Path(__file__).resolve().parents[1]
#: What helps where it can't be made or written.
ANOTHER_HOME = "set INVOICES_HOME to a folder that you may write to"
_NO_HOME = "/"  #: of a user whom the machine does not know, as container runtimes set it


def default_home(environ: Mapping[str, str]) -> Path:
    """The same one whatever folder a command is run from: ``var`` of the clone that the code runs from; otherwise
    ``invoices`` among the user's data, as the XDG base directories have it (``~/.local/share``)."""
    if (_ROOT / "Procfile").is_file():
        return _ROOT / "var"
    data = Path(environ.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():  # such a one is to be ignored, says the specification
        data = Path(environ.get("HOME") or _home_of_user(), ".local", "share")
    return data / "invoices"


def _home_of_user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return _NO_HOME
