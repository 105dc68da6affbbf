"""Text files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from persam_video.errors import OutputError


def write_whole(path: Path, text: str) -> None:
    """Write a text file under a temporary name and rename it; its folder is made if need be.

    Raises:
        OutputError: it cannot be written; what was under the name before is left as it is.
    """
    unfinished = path.with_name(f".{path.name}-{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error}); give another file") from error
