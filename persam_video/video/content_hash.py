"""Hash of a video's content, by which it is recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from persam_video.files.hashes import file_sha256, stream_sha256
from persam_video.video.media_file import MediaFile


def content_sha256(media: MediaFile | None, paths: Sequence[Path]) -> str | None:
    """SHA-256, in hexadecimal, of a file's bytes, or of the names and sizes of image files; None for frames in memory.

    Args:
        media: the video file; None: frames are images.
        paths: files and folders that are read.
    Raises:
        OSError: a file cannot be read.
    """
    if media is not None:
        with media.reader() as file:
            return stream_sha256(file)
    if len(paths) == 1 and paths[0].is_file():
        return file_sha256(paths[0])
    files = [f"{path.name}\t{path.stat().st_size}\n" for path in paths if not path.is_dir()]
    return hashlib.sha256("".join(files).encode(errors="surrogateescape")).hexdigest() if files else None
