"""An animated WebP file, read as a video by Pillow: FFmpeg does not decode it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from fractions import Fraction

import numpy as np
import PIL.Image

from persam_video.errors import DamagedVideoError, VideoError
from persam_video.files.images import MAX_PIXELS
from persam_video.frame import Frame
from persam_video.messages import one_line, parameter, pluralize
from persam_video.video.completeness import is_riff_cut
from persam_video.video.media_file import MediaFile
from persam_video.video.span import Span

_DEFAULT_DURATION = 100  # ms, of frames that are to be shown for no time, as browsers do


def is_webp(head: bytes) -> bool:
    """Whether a file that begins like this is a WebP image, animated or not."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


class AnimatedWebp:
    """An animated WebP file; transparent pixels are black.

    Args:
        media: bytes of the file; closed by `close`.
        max_pixels: limit of a frame's pixels; None: `MAX_PIXELS`.

    Raises:
        VideoError: it is truncated from the beginning, too large, or not animated.
    """

    is_images = False
    stream_index: int | None = None
    pixel_aspect = Fraction(1)
    time_base = Fraction(1, 1000)

    def __init__(self, media: MediaFile, max_pixels: int | None = None) -> None:
        self.media: MediaFile | None = None  # there is no audio
        self.path, self.paths = media.path, media.paths
        self.names: Sequence[str] | None = None
        self._media = media
        limit = MAX_PIXELS if max_pixels is None else max_pixels
        try:
            width, height = _size(media.head(30))
            if width * height > limit:
                raise VideoError(
                    f"{self.path}: its frames are {width}×{height} pixels, more than the limit of {limit:,}; "
                    f"reduce them, or raise {parameter('max_pixels')}"
                )
            self._is_cut = is_riff_cut(media.buffered())
            try:  # the first frame too
                self._image = PIL.Image.open(media.buffered(), formats=["WEBP"])
                self._image.load()
            except Exception as error:  # Pillow's decoders raise all kinds of exceptions for damaged files
                fault = "is truncated" if self._is_cut else f"cannot be read as a WebP image ({one_line(error)})"
                raise VideoError(f"{self.path}: {fault}; give a complete file") from error
            frames = getattr(self._image, "n_frames", 1)
            if frames < 2:
                raise VideoError(f'{self.path}: is a single image; give its folder, or a glob pattern like "*.webp"')
            duration = _milliseconds(self._image)
        except BaseException:
            media.close()
            raise
        self.total: int | None = frames
        self.frame_rate: Fraction | None = Fraction(1000, duration)  # of the first frame
        self.count = 0  # of the frames passed, wanted or not

    def frames(self, span: Span) -> Generator[Frame, None, None]:
        """The wanted frames.

        Raises:
            DamagedVideoError: the file is damaged or truncated; every frame before that was yielded.
        """
        pts = 0
        for index in range(self.total or 0):
            try:
                self._image.seek(index)
                image = np.array(self._image.convert("RGB"))
                duration = _milliseconds(self._image)
            except Exception as error:  # as above
                before = f"{pluralize(index, 'frame')} before it could be read" if index else "no frame before it"
                reason = "the file ends within it" if self._is_cut else one_line(error)
                raise DamagedVideoError(
                    f"{self.path}: damaged at frame {index} ({reason}); {before}", frame_index=index
                ) from error
            time = pts * self.time_base
            if span.is_past(index, time):
                return
            if span.wants(index, time):
                yield Frame(index=index, image=image, name=f"{index:05d}", pts=pts, time_base=self.time_base)
            self.count = index + 1
            pts += duration

    def close(self) -> None:
        """Close the file."""
        self._image.close()
        self._media.close()


def _size(head: bytes) -> tuple[int, int]:
    """Width and height in the extended header, which animated files have; (0, 0) without one."""
    if head[12:16] != b"VP8X":
        return 0, 0
    return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1


def _milliseconds(image: PIL.Image.Image) -> int:
    """How long the current frame is shown."""
    return round(image.info.get("duration", 0)) or _DEFAULT_DURATION
