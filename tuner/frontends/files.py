"""The one check that a path names a readable file, with its message."""

from __future__ import annotations

import os
from pathlib import Path

from tuner.errors import UserError


def require_file(path: Path, remedy: str = "") -> None:
    """Refuse a path that is no readable file.

    Args:
        path: What the user named.
        remedy: What to name instead, appended to the message.

    Raises:
        UserError: If nothing is there, or a folder, or it may not be read.
    """
    try:
        if path.is_dir():
            problem = "a folder, not a file"
        elif not path.is_file():
            problem = "no such file"
        elif not os.access(path, os.R_OK):
            problem = "permission denied"
        else:
            return
    except OSError as error:  # a folder on the way that may not be searched, a name that is too long
        problem = str(error.strerror).lower()
    raise UserError(f"cannot read {str(path)!r}: {problem}{remedy}")
