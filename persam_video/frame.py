"""The two things that travel through the pipeline: a frame, and what was found in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""RGB picture, uint8, H×W×3."""

LabelMap = npt.NDArray[np.uint8]
"""Object id of every pixel, uint8, H×W; 0 = background."""

IGNORE_ID = 255
"""Value of a first mask's pixels that belong to nothing known (DAVIS' void)."""

MAX_OBJECT_ID = 254


def ids_in(label_map: LabelMap) -> tuple[int, ...]:
    """The object ids that occur in a label map, in ascending order."""
    return tuple(int(i) for i in np.unique(label_map) if i not in (0, IGNORE_ID))


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One upright frame of a video.

    Args:
        index: number of the frame in its source, from 0 (``stride`` leaves gaps).
        image: RGB, uint8, H×W×3.
        name: what its mask file is called, without the suffix: ``00012``, or the stem of the picture's file.
        pts: presentation time in units of ``time_base``; None when the frame has no time.
        time_base: seconds per unit of ``pts``.

    Raises:
        ValueError: the image is no uint8 H×W×3 array, or the index is negative.
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

    @property
    def height(self) -> int:
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def time_seconds(self) -> float | None:
        """Presentation time in seconds, or None when the frame has no time."""
        if self.pts is None or self.time_base is None:
            return None
        return float(self.pts * self.time_base)


@dataclass(frozen=True, eq=False, slots=True)
class FrameResult:
    """What was found in one frame.

    Args:
        frame: the frame itself.
        label_map: object id of every pixel, uint8, H×W, 0 = background.
        scores: for each object id the quality expected of its mask, 0 to 1; 0 where the object is absent.
        visible: for each object id whether it is in the frame. The keys are all objects that have
            appeared so far, visible or not.

    Raises:
        ValueError: the label map has not the frame's size, or the two mappings have not the same ids.
    """

    frame: Frame
    label_map: LabelMap
    scores: Mapping[int, float]
    visible: Mapping[int, bool]

    def __post_init__(self) -> None:
        if self.label_map.shape != self.frame.image.shape[:2] or self.label_map.dtype != np.uint8:
            raise ValueError(
                f"the label map must be uint8 of the frame's size {self.frame.image.shape[:2]}; "
                f"got {self.label_map.dtype} of shape {self.label_map.shape}"
            )
        if self.scores.keys() != self.visible.keys():
            raise ValueError("scores and visible must be about the same object ids")

    @classmethod
    def of(cls, frame: Frame, label_map: LabelMap, scores: Mapping[int, float]) -> FrameResult:
        """The result where ``scores`` are of all objects: those without a pixel are absent."""
        areas = np.ravel(cv2.calcHist([label_map], [0], None, [256], [0, 256]))
        visible = {i: bool(areas[i]) for i in scores}
        clamped = {i: min(max(score, 0.0), 1.0) if visible[i] else 0.0 for i, score in scores.items()}
        return cls(frame=frame, label_map=label_map, scores=clamped, visible=visible)

    @property
    def index(self) -> int:
        """Number of the frame in its source, from 0."""
        return self.frame.index

    @property
    def object_ids(self) -> tuple[int, ...]:
        """All object ids that are tracked, visible or not."""
        return tuple(self.scores)

    def mask(self, object_id: int) -> npt.NDArray[np.bool_]:
        """The pixels of one object, bool, H×W."""
        if object_id not in self.scores:
            raise KeyError(f"no object {object_id}; the ids are {', '.join(map(str, self.scores))}")
        mask: npt.NDArray[np.bool_] = self.label_map == object_id
        return mask
