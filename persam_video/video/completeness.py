"""Whether a video file is whole, from the sizes and end marks in its container."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_SEEK_HEAD, _CUES = 0x114D9B74, 0x1C53BB6B
_TS_SYNC = 0x47
_TS_LAYOUTS = ((188, 0), (192, 4), (204, 0))  # bytes of a packet, and of them before its sync byte


def is_riff_cut(file: BinaryIO) -> bool:
    """Whether the last RIFF chunk of an AVI or WebP file goes beyond its end; large AVI files have several chunks."""
    size = file.seek(0, os.SEEK_END)
    end = 0
    while end + 8 <= size:
        file.seek(end)
        header = file.read(8)
        if header[:4] != b"RIFF":
            break
        end += 8 + int.from_bytes(header[4:], "little")
    return end > size


def is_fragment_cut(file: BinaryIO) -> bool:
    """Whether a fragment of an MP4 or MOV file goes beyond its end; the fragments after it are missing too."""
    size = file.seek(0, os.SEEK_END)
    position = 0
    is_fragmented = False
    kind = b""
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        is_fragmented |= kind == b"moof"
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:  # 0: up to the end of the file; otherwise something appended
            return False
        position += length
    return position > size and is_fragmented and kind in (b"moof", b"mdat")


def is_matroska_cut(file: BinaryIO) -> bool | None:
    """Whether frames are missing at the end of a Matroska or WebM file.

    None: its segment goes beyond its end, but all that it has is whole: either frames are missing, or only what comes
    after them, such as the index for seeking.
    """
    size = file.seek(0, os.SEEK_END)
    position, segment_end, cues = 0, None, None
    while position < size:
        file.seek(position)
        name, length = _ebml_number(file, keep_marker=True), _ebml_number(file)
        if name is None or length is None:  # something appended, or the element's header is cut
            break
        start = file.tell()
        if name == _SEGMENT:
            segment_start, segment_end = start, None if length < 0 else start + length
            position = start
            continue
        if segment_end is not None and position >= segment_end:
            break
        if name == _SEEK_HEAD and 0 <= length < 1 << 16:
            cues = _cues_position(file.read(length), segment_start)
        if length < 0:  # of a live recording: its elements follow
            position = start
            continue
        position = start + length
        if position > size:
            return cues is None or size < cues
    if segment_end is None or segment_end <= size:
        return False
    return None if cues is None else size < cues


def gif_images(file: BinaryIO) -> tuple[int, bool]:
    """Number of the whole images in a GIF file, and whether its end mark follows."""
    file.seek(10)
    flags = file.read(3)
    if len(flags) < 3:
        return 0, False
    file.seek(_colour_table(flags[0]), os.SEEK_CUR)
    images = 0
    while kind := file.read(1):
        if kind == b";":
            return images, True
        if kind == b"!":
            file.seek(1, os.SEEK_CUR)
        elif kind == b",":
            descriptor = file.read(9)
            if len(descriptor) < 9:
                return images, False
            file.seek(_colour_table(descriptor[8]) + 1, os.SEEK_CUR)
        elif kind != b"\0":  # empty blocks may be repeated
            return images, False
        if kind != b"\0" and not _skip_blocks(file):
            return images, False
        images += kind == b","
    return images, False


def is_transport_stream_cut(file: BinaryIO) -> bool:
    """Whether the last packet of an MPEG transport stream is not whole."""
    size = file.seek(0, os.SEEK_END)
    for length, prefix in _TS_LAYOUTS:
        wanted = min(size, 6 * length)
        file.seek(size - wanted)
        tail = file.read(wanted)
        packets = wanted // length - 1
        for rest in range(length):  # bytes after the last whole packet
            last = len(tail) - rest - length
            if packets > 1 and all(tail[last + prefix - i * length] == _TS_SYNC for i in range(packets)):
                return rest > prefix and tail[last + length + prefix] == _TS_SYNC
    return False


def _colour_table(flags: int) -> int:
    """Bytes of a GIF's colour table."""
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def _skip_blocks(file: BinaryIO) -> bool:
    """Skip data blocks up to the empty one; False where the file ends before that."""
    while length := file.read(1):
        if length == b"\0":
            return True
        if len(file.read(length[0])) < length[0]:
            return False
    return False


def _ebml_number(file: BinaryIO, *, keep_marker: bool = False) -> int | None:
    """Number of variable length; -1: unknown size; None: the file ends within it, or it is none.

    Args:
        keep_marker: as in the names of elements, which include the bits that tell the length.
    """
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()  # as many bytes as there are leading zeros, and one
    rest = file.read(length - 1)
    if len(rest) < length - 1:
        return None
    bits = int.from_bytes(first + rest, "big")
    if keep_marker:
        return bits
    number = bits & ~(1 << 7 * length)
    return -1 if number == (1 << 7 * length) - 1 else number


def _cues_position(seek_head: bytes, segment_start: int) -> int | None:
    """Position in the file of the index for seeking, from the table of the segment's parts."""
    name = _CUES.to_bytes(4, "big")
    found = seek_head.find(b"\x53\xab\x84" + name)
    if found < 0:
        return None
    position = io.BytesIO(seek_head[found + 7 :])
    if position.read(2) != b"\x53\xac":
        return None
    length = _ebml_number(position)
    return segment_start + int.from_bytes(position.read(length), "big") if length and 0 < length <= 8 else None
