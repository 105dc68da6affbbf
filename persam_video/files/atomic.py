"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from persam_video.errors import OutputError


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file, of text in UTF-8 or of bytes, under a temporary name and rename it; its folder is made if need be.

    Raises:
        OutputError: it cannot be written; what was under the name before is left as it is.
    """
    check_writable(path)
    path = path.resolve()  # a link stays one
    unfinished = path.with_name(f".{path.name}-{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error}); give another file") from error


def check_writable(path: Path, *, overwrite: bool = True) -> None:
    """Tell before long work what `write_atomic` would say after it.

    Args:
        overwrite: whether there may be such a file already.
    Raises:
        OutputError: there is something else than a file, or no file can be made there.
    """
    if not overwrite and path.is_file():
        raise OutputError(f"{path} exists already; give --overwrite to replace it")
    if not path.name or (path.exists() and not path.is_file()):
        raise OutputError(f"{path} cannot be written (it is no file); give a file's name")
    folder = path.resolve().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OutputError(f"{path} cannot be written ({folder} is no folder one can write to); give another file")
