"""Exceptions of this package.

    PersamError
    ├── InputError              invalid input or request (exit code 2)
    │   ├── VideoError          the video cannot be read at all
    │   ├── AnnotationError     a mask, box, point or annotation file cannot be used
    │   ├── CheckpointError     the weights cannot be obtained, or are not those of the model
    │   ├── DeviceError         the device or the precision is not available
    │   └── OutputError         an output cannot be written where it should go
    └── DamagedVideoError       the video could be read only up to some frame (exit code 1)

Every message is one line that names the thing, the fault and what would be right.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from persam_video.messages import printable


class PersamError(Exception):
    """Base of all exceptions of this package.

    Args:
        message: one line; control characters in it, of a file's name for example, are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class InputError(PersamError):
    """Invalid input or request."""


class VideoError(InputError):
    """A video that does not exist, is not a video, or holds no frame."""


class AnnotationError(InputError):
    """A mask, box, point or annotation file that cannot be read or does not fit the video."""


class CheckpointError(InputError):
    """Weights that cannot be obtained, or that are not those of the model."""


class DeviceError(InputError):
    """A device or precision that is not available."""


class OutputError(InputError):
    """An output that cannot be written where it should go."""


class DamagedVideoError(PersamError):
    """A video that could be read only up to some frame.

    Args:
        message: one line that names the file, the frame and the fault.
        frame_index: index of the first frame that could not be read.
    """

    def __init__(self, message: str, *, frame_index: int) -> None:
        super().__init__(message)
        self.frame_index = frame_index

    def __reduce__(self) -> tuple[Any, ...]:  # pickled where the work is done in another process
        return partial(type(self), frame_index=self.frame_index), self.args
