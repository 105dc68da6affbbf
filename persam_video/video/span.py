"""Which frames of a video are wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

from persam_video.errors import VideoError


@dataclass
class Span:
    """Every ``stride``-th frame from ``start`` up to, and without, ``end``.

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
        for name, value in (("--start", self.start), ("--end", self.end)):
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise VideoError(f"{name} is {value}; it must be 0 or more (frames, or seconds with a decimal point)")
        if self.stride < 1:
            raise VideoError(f"--stride is {self.stride}; it must be 1 or more")
        if self.end is not None and type(self.end) is type(self.start) and self.end <= self.start:
            raise VideoError(f"--end is {self.end} and --start is {self.start}; --end must be above --start")
        if self.end == 0:
            raise VideoError("--end is 0, which leaves no frame; it must be above 0")

    def is_past(self, index: int, time: Fraction) -> bool:
        """Whether the frame (``time``: seconds after the first frame) and all after it are not wanted."""
        self.was_passed = self.end is not None and _reached(self.end, index, time)
        return self.was_passed

    def wants(self, index: int, time: Fraction) -> bool:
        """Whether the frame is wanted; ask for each frame in turn, and only before ``is_past``."""
        if self.first_index is None and _reached(self.start, index, time):
            self.first_index = index
        return self.first_index is not None and (index - self.first_index) % self.stride == 0

    def count(self, total: int | None, frame_rate: Fraction | None) -> int | None:
        """How many frames are wanted, known once the first one was; None where it cannot be told."""
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


def _reached(limit: int | float, index: int, time: Fraction) -> bool:
    # As floats: 2/5 is not at or past the float 0.4, which is a little more.
    return float(time) >= limit if isinstance(limit, float) else index >= limit
