"""Reader of a video file, or of images, as a stream of upright RGB frames."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from persam_video.errors import DamagedVideoError, VideoError
from persam_video.frame import Frame
from persam_video.messages import parameter
from persam_video.video.content_hash import content_sha256
from persam_video.video.frames_in_memory import FramesInMemory
from persam_video.video.media_file import MediaFile
from persam_video.video.sources import Source, open_source
from persam_video.video.span import Span


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video, known before it is read through.

    Args:
        path: the video file, or the folder of the images; ``frames`` for those in memory, the name of an open file.
        width: of the upright frames, pixels.
        height: of the upright frames, pixels.
        time_base: seconds per unit of ``Frame.pts``.
        frame_rate: average of the frames that the reader yields (a ``stride`` of 2 halves it), per second;
            None where unknown.
        frame_count: how many frames the reader will yield. Where the container does not count them it is estimated
            from the duration, good for a progress bar; None where even that is unknown.
        is_images: whether the frames are single images, in files or in memory, not those of a video file.
        pixel_aspect: width of a pixel divided by its height, upright; 1 where unknown. Frames are not stretched for it:
            a video of 360×272 with 4:3 is shown as 480×272.
        starts_late: whether the reader was asked to leave out frames at the beginning (``start``).
        ends_early: the same of the end (``end``).
        stream: index of the video stream among all streams of the file; None for images.
        media: bytes of the file, as its audio is read from it; None for images.
        in_memory: whether the frames are in memory: then ``path`` is no file.
        image_suffix: of the image files; of other videos that of images made of their frames.
    """

    path: Path
    width: int
    height: int
    time_base: Fraction
    frame_rate: Fraction | None
    frame_count: int | None
    is_images: bool
    pixel_aspect: Fraction = Fraction(1)
    starts_late: bool = False
    ends_early: bool = False
    stream: int | None = None
    media: MediaFile | None = field(default=None, repr=False, compare=False)
    in_memory: bool = False
    image_suffix: str = ".jpg"


class VideoReader:
    """The wanted frames of a video, one at a time; can be iterated once, and is closed by `close` or a ``with`` block.

    Frames are RGB, uint8, H×W×3, contiguous, upright, and all of the size in ``info``. Memory does not grow with
    the length of the video. Not thread-safe: close it in the thread that reads, or after that one has ended.

    Iterating raises:
        DamagedVideoError: the video is damaged or truncated; every frame before that was yielded.
    """

    info: VideoInfo

    def __init__(self, source: Source, span: Span) -> None:
        self._source = source
        self._frames = source.frames(span)
        self._was_iterated = self._is_closed = False
        try:
            self._first: Frame | None = self._read_first(span)
        except BaseException:
            self.close()
            raise
        rate = source.frame_rate
        self.info = VideoInfo(
            path=source.path,
            width=self._first.width,
            height=self._first.height,
            time_base=source.time_base,
            frame_rate=rate / span.stride if rate else None,
            frame_count=span.count(source.total, rate),
            is_images=source.is_images,
            starts_late=span.start > 0,
            ends_early=span.end is not None,
            pixel_aspect=source.pixel_aspect,
            stream=source.stream_index,
            media=source.media,
            in_memory=isinstance(source, FramesInMemory),
            image_suffix=next((path.suffix for path in source.paths[1:]), ".jpg") if source.is_images else ".jpg",
        )

    @property
    def paths(self) -> Sequence[Path]:
        """Files and folders that are read; none where the frames are in memory."""
        return self._source.paths

    def content_sha256(self) -> str | None:
        """SHA-256 of the video file, or of the names and sizes of the image files; None for frames in memory.

        Raises:
            OSError: a file cannot be read.
        """
        return content_sha256(self._source.media, self._source.paths)

    @property
    def total(self) -> int | None:
        """Number of all frames of the source, wanted or not; None where unknown."""
        return self._source.total

    def index_of(self, name: str) -> int | None:
        """Index of the frame of a name (`Frame.name`), or of a number where no image file is named by one; None: there
        is none."""
        if name in self._indices:
            return self._indices[name]
        is_number = re.fullmatch("[0-9]{1,12}", name) and not any(map(str.isdecimal, self._indices))
        return int(name) if is_number else None

    @cached_property
    def _indices(self) -> dict[str, int]:
        """Indices of image files by their frames' names."""
        return {name: index for index, name in enumerate(self._source.names or ())}

    def name_of(self, index: int) -> str | None:
        """Name of a frame (`Frame.name`); None: there is no image file of this index."""
        names = self._source.names
        if names is None:
            return f"{index:05d}"
        return names[index] if index < len(names) else None

    @property
    def first(self) -> Frame:
        """The first frame; RuntimeError once frames are read."""
        if self._first is None:
            reason = "the video reader is closed" if self._is_closed else "the first frame was read already"
            raise RuntimeError(f"{reason}; open the video again")
        return self._first

    def __iter__(self) -> Iterator[Frame]:
        if self._was_iterated:
            raise RuntimeError("a video reader can be iterated only once; open the video again")
        self._was_iterated = True
        return self._iterate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; nothing more can be read. May be repeated."""
        self._first, self._is_closed = None, True
        self._frames.close()
        self._source.close()

    def _iterate(self) -> Iterator[Frame]:
        if self._first is not None:
            first, self._first = self._first, None
            yield first
            del first  # only the caller decides how long an image is kept
        yield from self._frames

    def _read_first(self, span: Span) -> Frame:
        try:
            frame = next(self._frames, None)
        except DamagedVideoError as error:
            raise VideoError(
                str(error) + (f"; {parameter('start')} must be below {error.frame_index}" if error.frame_index else "")
            ) from error
        if frame is not None:
            return frame
        path, count = self._source.path, self._source.count
        if count == 0:
            raise VideoError(f"{path}: holds no frame; give a video with at least one")
        if span.was_passed:
            raise VideoError(
                f"{path}: no frame lies between {parameter('start', span.start)} and {parameter('end', span.end)}; "
                "move them apart"
            )
        seconds = f" ({float(count / self._source.frame_rate):.2f} s)" if self._source.frame_rate else ""
        limit = "the end" if isinstance(span.start, float) else str(count)
        raise VideoError(
            f"{path}: has only {count} frames{seconds}; {parameter('start')} must be below {limit}, not {span.start}"
        )


def open_video(
    source: object,
    *,
    start: int | float = 0,
    end: int | float | None = None,
    stride: int = 1,
    image_frame_rate: Fraction | int = 24,
    hwaccel: str | None = None,
    stream: int | None = None,
    max_pixels: int | None = None,
) -> VideoReader:
    """Open a video file, image files, or frames in memory.

    The first wanted frame is read at once, so that unreadable videos are refused here and not later.

    Args:
        source: one of

            - a file: mp4, mov, mkv, webm, avi, MPEG-TS, gif, animated WebP, raw streams (.h264, .mjpeg) and others.
              Files that it names are not opened; of an ``.m3u8`` playlist all must be in its own folder;
            - a folder of images, or a pattern such as ``frames/*.jpg``, ``frames/**/*.jpg`` or ``frames/%05d.jpg``: in
              natural order;
            - a list of image files, read in its order;
            - frames in memory: an array or torch tensor of T×H×W×3 or T×3×H×W, or a list or iterator of arrays, Pillow
              images or tensors, values 0 to 255;
            - an open binary file that can be sought, which is left open.
        start: first frame wanted; an int is its index, a float is seconds after the first frame.
        end: first frame no longer wanted, in the same way; None is the end of the video.
        stride: 1 for every frame, 2 for every other one.
        image_frame_rate: frames per second of images.
        hwaccel: the kind of device that decodes a video file, such as ``cuda``; None for the CPU.
        stream: index of the video stream among all streams of the file; None: the one that players show (no cover or
            preview, then the largest), which a warning names where there are several.
        max_pixels: limit of a frame's pixels; None: 67 million (8192×8192). Larger frames are refused before they are
            decoded.

    Raises:
        VideoError: the source does not exist, is not a video, or holds no frame, or ``start``, ``end``, ``stride``
            leave none.
        DeviceError: the device of ``hwaccel`` cannot decode the video.
    """
    span = Span(start, end, stride)
    if image_frame_rate <= 0:
        raise VideoError(f"{parameter('image_frame_rate', image_frame_rate)}: it must be above 0")
    rate = Fraction(image_frame_rate)
    return VideoReader(
        open_source(source, frame_rate=rate, hwaccel=hwaccel, stream=stream, max_pixels=max_pixels), span
    )
