"""Size that a video file should have, from the sizes in its container."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def declared_size(path: Path) -> int | None:
    """Bytes that a Matroska, WebM or RIFF (AVI) file should have at least; None where it declares no size."""
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        if start == _EBML:
            return _matroska_size(file)
        if start == b"RIFF":
            return _riff_size(file)
        return None


def _riff_size(file: BinaryIO) -> int:
    """End of the last RIFF chunk: large AVI files have several."""
    end = 0
    while (header := file.read(8))[:4] == b"RIFF" and len(header) == 8:
        end += 8 + int.from_bytes(header[4:], "little")
        file.seek(end)
    return end


def _matroska_size(file: BinaryIO) -> int | None:
    """End of the first segment; None where its size was left open, as in a live recording."""
    while len(name := file.read(4)) == 4:
        first = file.read(1)
        if not first or not first[0]:
            return None
        length = 9 - first[0].bit_length()  # as many bytes as there are leading zeros, and one
        bits = int.from_bytes(first + file.read(length - 1), "big")
        size = bits & ~(1 << 7 * length)
        if name == _SEGMENT:
            return None if size == (1 << 7 * length) - 1 else file.tell() + size
        if name != _EBML:
            return None
        file.seek(size, 1)
    return None
