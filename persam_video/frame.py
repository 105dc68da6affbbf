"""A frame of a video, and the objects found in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import cv2
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


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class FrameResult:
    """Objects found in one frame.

        result.mask(2)   # bool, H×W
        result.box(2)    # (x0, y0, x1, y1), or None where object 2 is absent
        result.crop(2)   # RGB, the part of the image within the box

    Args:
        frame: the frame.
        label_map: object id of every pixel, uint8, H×W, 0 = background.
        scores: estimate of the IoU of each object's mask with the true one, 0 to 1; 1 where the mask was given by the
            user, 0 where the object is absent.
        visible: whether each object is in the frame. The keys of both are all objects that have been added so far,
            visible or not, in the order in which they were added.

    Raises:
        ValueError: the label map is not of the frame's size, or the two mappings have different ids.
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

    def __repr__(self) -> str:
        height, width = self.label_map.shape
        objects = ", ".join(f"{i}: {self.scores[i]:.2f}" if self.visible[i] else f"{i}: absent" for i in self.scores)
        return f"FrameResult({self.frame!r}, label_map {height}×{width} uint8, scores {{{objects}}})"

    @classmethod
    def of(cls, frame: Frame, label_map: LabelMap, scores: Mapping[int, float]) -> FrameResult:
        """Result of a label map and a score for every object; objects without a pixel are absent."""
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
        """Ids of all objects that are tracked, visible or not."""
        return tuple(self.scores)

    def mask(self, object_id: int) -> npt.NDArray[np.bool_]:
        """Mask of one object, bool, H×W.

        Raises:
            KeyError: there is no such object.
        """
        self._check_id(object_id)
        mask: npt.NDArray[np.bool_] = self.label_map == object_id
        return mask

    def box(self, object_id: int) -> PixelBox | None:
        """Bounding box of one object's mask, so that ``image[y0:y1, x0:x1]`` holds it; None where it is absent.

        Raises:
            KeyError: there is no such object.
        """
        self._check_id(object_id)
        x, y, width, height = cv2.boundingRect(cv2.inRange(self.label_map, object_id, object_id))
        return (x, y, x + width, y + height) if width else None

    def crop(self, object_id: int, *, margin: int = 0) -> Image | None:
        """Part of the image within an object's box, RGB, uint8, h×w×3, a copy; None where the object is absent.

        Args:
            margin: pixels added to each side of the box, within the image.
        Raises:
            KeyError: there is no such object.
            ValueError: the margin is negative.
        """
        if margin < 0:
            raise ValueError(f"the margin must be 0 or more pixels, got {margin}")
        box = self.box(object_id)
        if box is None:
            return None
        x0, y0, x1, y1 = box
        crop: Image = self.frame.image[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin].copy()
        return crop

    def _check_id(self, object_id: int) -> None:
        if object_id not in self.scores:
            raise KeyError(f"no object {object_id}; the ids are {', '.join(map(str, self.scores))}")
