"""HLS playlists of files beside them, read as one video."""

from __future__ import annotations

import bisect
import io
import logging
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from persam_video.errors import VideoError

logger = logging.getLogger(__name__)

PLAYLIST_SUFFIXES = frozenset({".m3u8", ".m3u"})
_MAX_BYTES = 1 << 24  # of a playlist: some 100,000 segments
_ADVICE = "give the files themselves, or join them first, for example: ffmpeg -i {name} -c copy joined.mp4"


@dataclass(frozen=True)
class Segment:
    """Bytes of a file: ``length`` from ``start`` on."""

    path: Path
    start: int
    length: int


class ReadingInterruptedError(Exception):
    """A KeyboardInterrupt, its cause, that came while `JoinedFiles` was read. PyAV passes on only an Exception."""


@contextmanager
def raising_interrupts() -> Generator[None, None, None]:
    """Raise the KeyboardInterrupt of a `ReadingInterruptedError`."""
    try:
        yield
    except ReadingInterruptedError as error:
        raise (error.__cause__ or error) from None


class JoinedFiles(io.RawIOBase):
    """Segments one after another, as one file to read; only one of them is open at a time.

    ``read`` raises `ReadingInterruptedError` for a KeyboardInterrupt.
    """

    def __init__(self, segments: list[Segment]) -> None:
        self.name = str(segments[0].path)
        self._segments = segments
        self._starts = [0, *accumulate(segment.length for segment in segments)]
        self._position = 0
        self._open: BinaryIO | None = None
        self._open_index = -1
        # A generator, since a signal is handled where a function is entered, before any ``try`` in it.
        self._generator = self._reads()
        next(self._generator)
        self.read = self._generator.send  # type: ignore[method-assign, assignment]

    def _reads(self) -> Generator[bytes, int, None]:
        try:
            content = b""
            while True:
                content = super().read((yield content)) or b""
        except KeyboardInterrupt as interrupt:
            raise ReadingInterruptedError from interrupt

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self._position >= self._starts[-1]:
            return 0
        index = bisect.bisect_right(self._starts, self._position) - 1
        segment = self._segments[index]
        if index != self._open_index:
            self._close_file()
            self._open, self._open_index = segment.path.open("rb"), index
        assert self._open is not None
        within = self._position - self._starts[index]
        self._open.seek(segment.start + within)
        content = self._open.read(min(len(buffer), segment.length - within))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._starts[-1]}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._generator.close()
        self._close_file()
        super().close()

    def _close_file(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open, self._open_index = None, -1


def read_playlist(path: Path) -> list[Segment]:
    """Segments of an HLS playlist, all of them files in its own folder, in order.

    A master playlist gives those of its variant with the most bits per second. A playlist that is still being written
    gives the segments that it has now.

    Raises:
        VideoError: it is none, or names something that is not in its folder, or that is encrypted.
        OSError: it cannot be read.
    """
    lines = _lines(path)
    variants = _variants(lines)
    if variants:
        variant = _beside(path, max(variants)[1])
        lines = _lines(variant)
        if _variants(lines):
            raise VideoError(f"{variant}: is a list of playlists itself; {_advice(variant)}")
        path = variant
    segments = _segments(path, lines)
    if not segments:
        raise VideoError(f"{path}: names no segment; {_advice(path)}")
    if "#EXT-X-ENDLIST" not in lines:
        logger.warning(f"{path}: has no end (#EXT-X-ENDLIST), as of a live recording; the segments it has now are read")
    return segments


def _lines(path: Path) -> list[str]:
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES)
    lines = [line.strip() for line in content.decode("utf-8-sig", errors="replace").splitlines()]
    if not lines or not lines[0].startswith("#EXTM3U"):
        raise VideoError(f"{path}: is not an HLS playlist (its first line must be #EXTM3U); give a video file")
    return [line for line in lines if line]


def _variants(lines: list[str]) -> list[tuple[int, str]]:
    """Bits per second and name of each playlist in a master playlist."""
    found = []
    for line, following in pairwise(lines):
        if line.startswith("#EXT-X-STREAM-INF") and not following.startswith("#"):
            rate = re.search(r"[:,]BANDWIDTH=(\d{1,18})", line)
            found.append((int(rate[1]) if rate else 0, following))
    return found


def _segments(path: Path, lines: list[str]) -> list[Segment]:
    segments: list[Segment] = []
    byte_range: str | None = None
    header: Segment | None = None  # of fragmented MP4
    for line in lines:
        if line.startswith("#EXT-X-KEY") and "METHOD=NONE" not in line:
            raise VideoError(f"{path}: its segments are encrypted; {_advice(path)}")
        if line.startswith("#EXT-X-MAP"):
            name, part = re.search(r'URI="([^"]*)"', line), re.search(r'BYTERANGE="([^"]*)"', line)
            following = _segment(path, name[1] if name else "", part[1] if part else None, None)
            if following != header:
                header = following
                segments.append(header)
        elif line.startswith("#EXT-X-BYTERANGE:"):
            byte_range = line.partition(":")[2]
        elif not line.startswith("#"):
            segments.append(_segment(path, line, byte_range, segments[-1] if segments else None))
            byte_range = None
    return segments


def _segment(playlist: Path, name: str, byte_range: str | None, before: Segment | None) -> Segment:
    """Segment of a line and of its range ``LENGTH[@START]``; without a start it follows the one before."""
    path = _beside(playlist, name)
    with path.open("rb") as file:
        if file.read(7) == b"#EXTM3U":
            raise VideoError(f"{playlist}: names {name}, a playlist, as a segment; {_advice(playlist)}")
        size = file.seek(0, os.SEEK_END)
    if byte_range is None:
        return Segment(path, 0, size)
    found = re.fullmatch(r"(\d{1,18})(?:@(\d{1,18}))?", byte_range.strip())
    if found is None:
        raise VideoError(f"{playlist}: {byte_range!r} is no range of bytes (LENGTH@START); {_advice(playlist)}")
    if found[2]:
        start = int(found[2])
    else:
        start = before.start + before.length if before is not None and before.path == path else 0
    return Segment(path, min(start, size), min(int(found[1]), max(size - start, 0)))


def _beside(playlist: Path, name: str) -> Path:
    """File that a playlist names, which must lie in the playlist's own folder.

    Links are resolved: a playlist may come from anywhere, and must not make other files be read.
    """
    folder = playlist.resolve().parent
    for spelling in (name, unquote(name)):
        path = folder / spelling if spelling and "\0" not in spelling else folder
        if path.resolve().parent == folder and path.is_file():
            return playlist.parent / path.name
    raise VideoError(f"{playlist}: names {name!r}, which is no file in the playlist's own folder; {_advice(playlist)}")


def _advice(path: Path) -> str:
    return _ADVICE.format(name=path.name)
