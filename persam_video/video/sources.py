"""What a video can be read from: told apart here, and refused in words where it is something else."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Generator, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, cast

import PIL.Image

from persam_video.arrays import as_array
from persam_video.errors import VideoError
from persam_video.files.images import IMAGE_SUFFIXES
from persam_video.frame import Frame
from persam_video.messages import one_line, parameter
from persam_video.video.animated_webp import AnimatedWebp, is_webp
from persam_video.video.frames_in_memory import FramesInMemory
from persam_video.video.image_sequence import ImageSequence, is_numbered
from persam_video.video.media_file import MediaFile, open_media
from persam_video.video.span import Span
from persam_video.video.video_file import VideoFile

_WANTED = "give a video file, a folder of images, or a pattern of image files"
_KINDS = (
    "give a path, a list of image files, an open binary file, or frames as a list, an iterator, an array or a tensor "
    "of T×H×W×3"
)
_CHANNELS = (1, 3, 4)


class Source(Protocol):
    """Frames of a video, read once. Attributes are as those of `VideoInfo`, known once the first frame was read."""

    path: Path
    time_base: Fraction
    frame_rate: Fraction | None
    total: int | None
    """Number of all frames; None where unknown."""
    count: int
    """Of the frames passed, wanted or not."""
    media: MediaFile | None
    """The file, where it may have audio."""
    stream_index: int | None
    """Of the video stream among all streams of the file."""

    @property
    def names(self) -> Sequence[str] | None:
        """Of all frames, where they are image files; None: frames are named by their index."""

    @property
    def paths(self) -> Sequence[Path]:
        """Files and folders that are read."""

    @property
    def is_images(self) -> bool:
        """Whether the frames are single images, not those of a video file."""

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel divided by its height."""

    def frames(self, span: Span) -> Generator[Frame, None, None]:
        """The wanted frames, in presentation order."""

    def close(self) -> None:
        """Close files. May be repeated."""


def open_source(
    source: object, *, frame_rate: Fraction, hwaccel: str | None, stream: int | None, max_pixels: int | None
) -> Source:
    """Frames of a source; the parameters are those of `open_video`.

    Raises:
        VideoError: it is none of those that `open_video` takes, or cannot be read.
        DeviceError: the device cannot decode it.
        OSError: a file or folder may not be read.
    """
    if isinstance(source, (str, os.PathLike)):
        found = _of_path(os.fspath(source), frame_rate, hwaccel=hwaccel, stream=stream, max_pixels=max_pixels)
    elif hasattr(source, "read") and hasattr(source, "seek") and not isinstance(source, PIL.Image.Image):
        found = _of_media(open_media(source), hwaccel=hwaccel, stream=stream, max_pixels=max_pixels)
    else:
        found = _of_memory(source, frame_rate, max_pixels)
    for name, value, what in (("hwaccel", hwaccel, "are decoded"), ("stream", stream, "have streams")):
        if value is not None and found.stream_index is None:
            found.close()
            raise VideoError(f"{found.path}: {parameter(name, value)}: only video files {what}; leave it out")
    return found


def _of_path(
    name: str | bytes, frame_rate: Fraction, *, hwaccel: str | None, stream: int | None, max_pixels: int | None
) -> Source:
    if not isinstance(name, str):
        raise VideoError(f"a path in bytes is not understood; {_KINDS}")
    if not name:
        raise VideoError(f"the name of the video is empty; {_WANTED}")
    path = Path(name)
    mode = _mode(path)
    if mode is None:
        is_pattern = is_numbered(path.name) or any(character in name for character in "*?[")
        if is_pattern and not _is_address(name):
            return ImageSequence(path, frame_rate, max_pixels)
        raise VideoError(_why_missing(name, path))
    if stat.S_ISDIR(mode):
        return ImageSequence(path, frame_rate, max_pixels)
    if not stat.S_ISREG(mode):
        kind = "pipe" if stat.S_ISFIFO(mode) else "device or socket"
        raise VideoError(f"{path}: is a {kind}, which cannot be read twice; save the video in a file first")
    return _of_media(MediaFile(path), hwaccel=hwaccel, stream=stream, max_pixels=max_pixels)


def _mode(path: Path) -> int | None:
    """Kind of a file; None where it does not exist."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:  # a null byte
        raise VideoError(f"{path}: is not the name of a file ({one_line(error)}); {_WANTED}") from error


def _why_missing(name: str, path: Path) -> str:
    if name == "-":
        return "-: video is not read from the standard input; save it in a file first"
    if _is_address(name):
        return f"{name}: is an address, and no file of this name exists; download or record the video first"
    if name.isdecimal():
        return f"{name}: no such file; cameras are not read: record a video first"
    if path.is_symlink():
        return f"{name}: is a link to a file that does not exist; {_WANTED}"
    return f"{name}: no such file; {_WANTED}"


def _is_address(name: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", name) is not None


def _of_media(media: MediaFile, *, hwaccel: str | None, stream: int | None, max_pixels: int | None) -> Source:
    try:
        head = media.head()
        if is_webp(head) and b"ANIM" in head:
            return AnimatedWebp(media, max_pixels)
        suffix = media.path.suffix
        if suffix.lower() in IMAGE_SUFFIXES and not (head.startswith(b"\x89PNG") and b"acTL" in head):
            raise VideoError(f'{media.path}: is a single image; give its folder, or a glob pattern like "*{suffix}"')
        return VideoFile(media, hwaccel=hwaccel, stream_index=stream, max_pixels=max_pixels)
    except BaseException:
        media.close()
        raise


def _of_memory(source: Any, frame_rate: Fraction, max_pixels: int | None) -> Source:
    kind = type(source).__name__
    if isinstance(source, PIL.Image.Image):
        raise VideoError(f"a video cannot be read from a single image; {_KINDS}")
    if isinstance(source, (list, tuple)):
        if not source:
            raise VideoError(f"the {kind} of frames is empty; give at least one")
        paths = [Path(each) for each in source if isinstance(each, (str, os.PathLike))]
        if len(paths) == len(source):
            return ImageSequence(_checked(paths), frame_rate, max_pixels)
        if paths:
            raise VideoError(f"a {kind} of paths and of other things cannot be read; {_KINDS}")
        if any(isinstance(each, (bool, int, float, list, tuple)) for each in source):
            return FramesInMemory(_stack(source, kind), frame_rate)
        return FramesInMemory(source, frame_rate)
    if hasattr(source, "shape"):
        return FramesInMemory(_stack(source, kind), frame_rate)
    if isinstance(source, (bytes, bytearray, memoryview, dict, set, frozenset)) or not isinstance(source, Iterable):
        raise VideoError(f"a video cannot be read from an object of the type {kind}; {_KINDS}")
    return FramesInMemory(source, frame_rate)


def _checked(paths: list[Path]) -> list[Path]:
    for path in paths:
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise VideoError(f"{path}: is in a list of image files, but is none by its name; give a video by itself")
    return paths


def _stack(source: Any, kind: str) -> Iterable[object]:
    """Array or tensor of T×H×W×3 or T×3×H×W, whose frames are then taken one by one."""
    stacked = source if hasattr(source, "shape") else as_array(source)
    shape = tuple(getattr(stacked, "shape", ()))
    if len(shape) == 4 and shape[0] == 0:
        raise VideoError(f"the {kind} of frames is empty; give at least one")
    if len(shape) != 4 or (shape[3] not in _CHANNELS and shape[1] not in _CHANNELS):
        raise VideoError(f"a video cannot be read from a {kind} of the shape {shape}; {_KINDS}")
    return cast(Iterable[object], stacked)
