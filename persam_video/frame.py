"""A frame of a video, and what its objects are given as."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""RGB image, uint8, H×W×3."""

LabelMap = npt.NDArray[np.uint8]
"""Object id of every pixel, uint8, H×W; 0 = background."""

PixelBox = tuple[int, int, int, int]
"""XYXY in pixels from the upper left corner of the image; the last column and row are excluded."""

IGNORE_ID = 255
"""Value of pixels in a first mask that are neither object nor background (void in DAVIS)."""

MAX_OBJECT_ID = 254

LARGE_FRAME_PIXELS = 1 << 24
"""Size above 5K from which on memory counts more than speed: each frame of 8K that is held takes 100 MB."""


def ids_in(label_map: LabelMap) -> tuple[int, ...]:
    """Object ids that occur in a label map, in ascending order."""
    return tuple(int(i) for i in np.unique(label_map) if i not in (0, IGNORE_ID))


def trimmed_box(mask: npt.NDArray[np.bool_], trimmed: float) -> PixelBox | None:
    """Box of a mask, H×W, without a share of its pixels on each side, as strays have none; None where it is empty."""
    if not mask.any():
        return None
    (left, right), (top, bottom) = (_span(mask.sum(axis=axis, dtype=np.int64), trimmed) for axis in (0, 1))
    return left, top, right, bottom


def _span(counts: npt.NDArray[np.int64], trimmed: float) -> tuple[int, int]:
    """First index of a line's counts, and the one after the last, without a share of them at each end."""
    sums = np.cumsum(counts)
    first = int(np.searchsorted(sums, trimmed * sums[-1], side="right"))
    return first, int(np.searchsorted(sums, (1 - trimmed) * sums[-1])) + 1


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Frame:
    """One upright frame of a video.

    Args:
        index: number of the frame in its source, from 0 (``stride`` leaves gaps).
        image: RGB, uint8, H×W×3.
        name: name of its mask file without the suffix: ``00012``, or the stem of the image file.
        pts: presentation time in units of ``time_base``; None when the frame has no time.
        time_base: seconds per unit of ``pts``.

    Raises:
        ValueError: the image is not a uint8 H×W×3 array, or the index is negative.
    """

    index: int
    image: Image
    name: str
    pts: int | None = None
    time_base: Fraction | None = None

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8 or self.image.size == 0:
            raise ValueError(
                f"a frame's image must be RGB, uint8, H×W×3; got {self.image.dtype} of shape {self.image.shape}"
            )
        if self.index < 0:
            raise ValueError(f"a frame's index must not be negative, got {self.index}")

    def __repr__(self) -> str:
        seconds = self.time_seconds
        time = "" if seconds is None else f", {seconds:.3f} s"
        return f"Frame({self.index}, {self.name!r}, image {self.height}×{self.width}×3 uint8{time})"

    @property
    def height(self) -> int:
        """Rows of the image."""
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        """Columns of the image."""
        return int(self.image.shape[1])

    @property
    def time_seconds(self) -> float | None:
        """Presentation time in seconds; None when the frame has no time."""
        if self.pts is None or self.time_base is None:
            return None
        return float(self.pts * self.time_base)
