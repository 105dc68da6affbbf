"""Frames in memory, read as a video: a list, an array, a torch tensor, or an iterator."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence, Sized
from fractions import Fraction
from pathlib import Path

from persam_video.arrays import to_image
from persam_video.errors import DamagedVideoError, VideoError
from persam_video.frame import Frame
from persam_video.messages import pluralize
from persam_video.video.media_file import MediaFile
from persam_video.video.span import Span


class FramesInMemory:
    """Images in memory, in their order: arrays, Pillow images or torch tensors.

    Args:
        images: iterated once; exceptions that it raises itself are passed on.
    """

    is_images = True
    media: MediaFile | None = None
    stream_index: int | None = None
    path = Path("frames")
    """Stands for the name of a file, in messages and in the names of outputs."""
    paths: Sequence[Path] = ()
    names: Sequence[str] | None = None

    def __init__(self, images: Iterable[object], frame_rate: Fraction) -> None:
        self._images: Iterable[object] = images
        self.frame_rate: Fraction | None = frame_rate
        self.time_base = 1 / frame_rate
        self.pixel_aspect = Fraction(1)
        self.total: int | None = len(images) if isinstance(images, Sized) else None
        self.count = 0  # of the images passed, wanted or not

    def frames(self, span: Span) -> Generator[Frame, None, None]:
        """The wanted images as frames; ``pts`` is the index of the image among all.

        Raises:
            DamagedVideoError: an image is none, or has another size than the first one.
        """
        size: tuple[int, int] | None = None
        for index, value in enumerate(self._images):
            time = index * self.time_base
            if span.is_past(index, time):
                return
            if span.wants(index, time):
                try:
                    image = to_image(value, name=f"frame {index}", error_type=VideoError)
                except VideoError as error:
                    before = f"; {pluralize(index, 'frame')} before it could be read" if index else ""
                    raise DamagedVideoError(f"{error}{before}", frame_index=index) from error
                height, width = image.shape[:2]
                size = size or (width, height)
                if (width, height) != size:
                    raise DamagedVideoError(
                        f"frame {index} is of {width}×{height} pixels, but those before it are of {size[0]}×{size[1]}; "
                        "all must have the same size",
                        frame_index=index,
                    )
                if image is value or image.base is not None:
                    image = image.copy()  # the caller may write the next frame into the same array
                yield Frame(index=index, image=image, name=f"{index:05d}", pts=index, time_base=self.time_base)
            self.count = index + 1

    def close(self) -> None:
        """Let go of the images."""
        self._images = ()
