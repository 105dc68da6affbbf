"""Everything this package raises on purpose.

    PersamError
    ├── InputError              what was asked for cannot be done (exit code 2)
    │   ├── VideoError          the video cannot be read at all
    │   ├── AnnotationError      the first frame's masks cannot be used
    │   ├── CheckpointError     the weights cannot be had, or are not what they should be
    │   ├── DeviceError         the device or the precision is not available
    │   └── OutputError         the outputs cannot be written where they should go
    └── DamagedVideoError       the video broke off part-way (exit code 1)

Every message is one line that names the thing, the fault and what would be right.
"""

from __future__ import annotations


class PersamError(Exception):
    """Base of all errors of this package."""


class InputError(PersamError):
    """What the caller gave or asked for cannot be used."""


class VideoError(InputError):
    """The video does not exist, is no video, or holds no frame."""


class AnnotationError(InputError):
    """The first frame's masks cannot be read or do not fit the video."""


class CheckpointError(InputError):
    """The weights cannot be had, or are not those of the model."""


class DeviceError(InputError):
    """The device or the precision asked for is not available."""


class OutputError(InputError):
    """An output cannot be written where it should go."""


class DamagedVideoError(PersamError):
    """The video could be read only up to some frame.

    Args:
        message: one line that names the file, the frame and the fault.
        frame_index: index of the first frame that could not be read.
    """

    def __init__(self, message: str, *, frame_index: int) -> None:
        super().__init__(message)
        self.frame_index = frame_index
