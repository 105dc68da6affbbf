"""The bytes of a video: of a file, of an open binary file, or of the segments of a playlist."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any, BinaryIO

from persam_video.errors import VideoError
from persam_video.video.playlist import PLAYLIST_SUFFIXES, JoinedFiles, Segment, read_playlist


class MediaFile:
    """The bytes of a video; they can be read several times, also at once and after the file was removed.

    Args:
        source: a file, an .m3u8 playlist of files in its folder, or an open binary file, which is read from its
            beginning and left open.

    Raises:
        VideoError: the playlist cannot be used.
        OSError: the file cannot be opened.
    """

    def __init__(self, source: Path | BinaryIO) -> None:
        self.path = source if isinstance(source, Path) else _path_of(source)
        """The file, or the name of the open one: it need not exist."""
        self.is_path = isinstance(source, Path)
        self._segments: list[Segment] = []
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()
        if not isinstance(source, Path):
            self._file = source
        elif source.suffix.lower() in PLAYLIST_SUFFIXES:
            self._segments = read_playlist(source)
        else:
            self._file = source.open("rb")

    @property
    def paths(self) -> list[Path]:
        """Files that are read."""
        return [self.path, *dict.fromkeys(each.path for each in self._segments)] if self.is_path else []

    @property
    def url(self) -> str | None:
        """Name of the file for FFmpeg; None where only `reader` gives its bytes."""
        return f"file:{self.path}" if self.is_path and not self._segments else None

    @property
    def size(self) -> int:
        """Bytes, now."""
        return self.reader().seek(0, os.SEEK_END)

    def reader(self) -> io.RawIOBase:
        """All bytes, from the beginning, as an open file with a position of its own."""
        if self._segments:
            return JoinedFiles(self._segments)
        assert self._file is not None
        return _SharedReader(self._file, self._lock, str(self.path))

    def buffered(self) -> io.BufferedReader:
        """The same, buffered."""
        return io.BufferedReader(self.reader(), 1 << 16)

    def head(self, size: int = 1024) -> bytes:
        """The first bytes."""
        return self.buffered().read(size)

    def close(self) -> None:
        """Close the file, if it was opened here. May be repeated."""
        if self.is_path and self._file is not None:
            self._file.close()


class _SharedReader(io.RawIOBase):
    """A position of its own in an open file."""

    def __init__(self, file: BinaryIO, lock: threading.Lock, name: str) -> None:
        self.name = name  # FFmpeg looks at the suffix where the content is ambiguous
        self._file, self._lock, self._position = file, lock, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        with self._lock:
            try:
                self._file.seek(self._position)
                content = self._file.read(len(buffer))[: len(buffer)]
            except OSError:
                raise
            except Exception as error:  # of any class that behaves like a file
                raise OSError(f"{type(error).__name__}: {error}") from error
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            with self._lock:
                self._file.seek(0, os.SEEK_END)
                offset += self._file.tell()
        self._position = max(offset, 0)
        return self._position

    def tell(self) -> int:
        return self._position


def open_media(source: object) -> MediaFile:
    """Media of a path or of an open file.

    Raises:
        VideoError: an open file is closed, no binary one, or cannot be sought.
    """
    if isinstance(source, Path):
        return MediaFile(source)
    file: Any = source
    name = f"the file {_path_of(file)}"
    if getattr(file, "closed", False):
        raise VideoError(f"{name} is closed; give it open")
    try:
        file.seek(0)
        start = file.read(0)
    except Exception as error:
        raise VideoError(
            f"{name} cannot be read from its beginning; give a path, or a file that can be sought, such as "
            "io.BytesIO(file.read())"
        ) from error
    if not isinstance(start, bytes):
        raise VideoError(f'{name} is open as text; open it with the mode "rb"')
    return MediaFile(file)


def _path_of(file: object) -> Path:
    name = getattr(file, "name", None)
    return Path(name) if isinstance(name, str) and name else Path(type(file).__name__)
