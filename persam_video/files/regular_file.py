"""Check that a path names a file that can be read to its end: no folder, FIFO or device."""

from __future__ import annotations

import stat
from pathlib import Path

from persam_video.errors import PersamError
from persam_video.messages import one_line


def check_regular_file(path: str | Path, error_type: type[PersamError], *, wanted: str) -> None:
    """Raise unless a path names a regular file; opening a FIFO would wait for ever, a device may never end.

    Args:
        path: of the file; a link is followed.
        error_type: raised with a message of one line.
        wanted: what the file should be, as ``a JSON file``.
    """
    try:
        mode = Path(path).stat().st_mode if str(path) else None
    except (FileNotFoundError, NotADirectoryError):
        if Path(path).is_symlink():
            raise error_type(f"{path}: is a link to a file that does not exist; give {wanted}") from None
        raise error_type(f"{path}: no such file; it should be {wanted}") from None
    except (OSError, ValueError) as error:  # no permission, a name that is too long; a name with a null byte
        raise error_type(f"{path}: cannot be read ({one_line(error)}); give {wanted}") from error
    if mode is None:
        raise error_type(f"the name of a file is empty; give {wanted}")
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "FIFO" if stat.S_ISFIFO(mode) else "device or socket"
        raise error_type(f"{path}: is a {kind}; give {wanted}")
