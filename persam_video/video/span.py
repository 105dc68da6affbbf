"""Range of the wanted frames of a video."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from persam_video.errors import VideoError
from persam_video.messages import parameter


@dataclass
class Span:
    """Every ``stride``-th frame from ``start`` up to, but not including, ``end``.

    Args:
        start: an int is a frame's index, a float is seconds after the first frame.
        end: the same; None is the end of the video.
        stride: 1 for every frame.

    Raises:
        VideoError: a value is negative, ``stride`` is below 1, or ``end`` is not after ``start``.
    """

    start: int | float = 0
    end: int | float | None = None
    stride: int = 1
    first_index: int | None = field(default=None, init=False)
    was_passed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        start, end = parameter("start", self.start), parameter("end", self.end)
        self.start = _limit(self.start, start)
        self.end = None if self.end is None else _limit(self.end, end)
        if isinstance(self.stride, bool) or not isinstance(self.stride, (int, np.integer)):
            raise VideoError(f"{parameter('stride', self.stride)}: it must be a whole number from 1")
        for argument, value in ((start, self.start), (end, self.end)):
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise VideoError(f"{argument}: it must be 0 or more (frames, or seconds with a decimal point)")
        if self.stride < 1:
            raise VideoError(f"{parameter('stride', self.stride)}: it must be 1 or more")
        if self.end == 0:
            raise VideoError(f"{end}: it leaves no frame and must be above 0")
        if self.end is not None and type(self.end) is type(self.start) and self.end <= self.start:
            raise VideoError(f"{start} and {end}: {parameter('end')} must be above {parameter('start')}")

    def is_past(self, index: int, time: Fraction) -> bool:
        """Whether the frame (``time``: seconds after the first frame) and all after it are past the end."""
        self.was_passed = self.end is not None and _reached(self.end, index, time)
        return self.was_passed

    def wants(self, index: int, time: Fraction) -> bool:
        """Whether the frame is wanted; to be called for each frame in turn, up to the first that ``is_past``."""
        if self.first_index is None and _reached(self.start, index, time):
            self.first_index = index
        return self.first_index is not None and (index - self.first_index) % self.stride == 0

    def count(self, total: int | None, frame_rate: Fraction | None) -> int | None:
        """Number of wanted frames, known once ``wants`` has found the first one; None where unknown."""
        end = self.end
        if isinstance(end, float):
            if frame_rate is None:
                return None
            end = math.ceil(Fraction(str(float(end))) * frame_rate)
        if end is None or (total is not None and total < end):
            end = total
        if end is None or self.first_index is None:
            return None
        return len(range(self.first_index, end, self.stride))


def _limit(value: object, argument: str) -> int | float:
    """A frame as int, or seconds as float; NumPy's numbers, too."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    raise VideoError(f"{argument}: it must be an int, a frame, or a float, seconds")


def _reached(limit: int | float, index: int, time: Fraction) -> bool:
    # As floats: 2/5 is not at or past the float 0.4, which is a little more.
    return float(time) >= limit if isinstance(limit, float) else index >= limit
