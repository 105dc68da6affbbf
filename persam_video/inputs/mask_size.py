"""Size of a mask beside that of the video: whether it fits, and the mask in the video's size."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from persam_video.errors import AnnotationError
from persam_video.files.images import MAX_PIXELS
from persam_video.frame import IGNORE_ID, LabelMap
from persam_video.inputs.pixel_values import distinct

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VideoSize:
    """Size of a video's frames, to which masks are brought.

    Args:
        width: as it is stored, pixels.
        height: pixels.
        pixel_aspect: width of the pixels by their height; None: unknown, they are taken for squares.
    """

    width: int
    height: int
    pixel_aspect: Fraction | float | None = None

    @property
    def max_mask_pixels(self) -> int:
        """Limit of a mask's pixels, which lets masks of the video's size through, stored or as it is shown."""
        return max(MAX_PIXELS, math.ceil(max(self.width, self.shown_width)) * self.height)

    @property
    def shown_width(self) -> float:
        """Width in which the video is shown beside its height."""
        return self.width * float(self.pixel_aspect or 1)

    def fits(self, width: int, height: int) -> bool:
        """Whether a mask has this size or aspect ratio, as the video is stored or as it is shown."""
        return any(_same_aspect(width, height, each, self.height) for each in (self.width, self.shown_width))

    def resized(self, ids: LabelMap, name: str) -> LabelMap:
        """Label map resized by nearest neighbour, uint8, height×width; itself if it has that size.

        Args:
            ids: label map, uint8, H×W.
            name: of the map in messages.

        Raises:
            AnnotationError: it has another aspect ratio, or an object has no pixel left.
        """
        height, width = ids.shape
        if (width, height) == (self.width, self.height):
            return ids
        shown = f" (shown as {round(self.shown_width)}×{self.height})" if round(self.shown_width) != self.width else ""
        sizes = f"{name} is {width}×{height} pixels, the video is {self.width}×{self.height}{shown}"
        if not self.fits(width, height):
            if self.fits(height, width):
                raise AnnotationError(
                    f"{sizes}: width and height are swapped, so it seems to be drawn on the video before it was turned "
                    "upright; turn the mask as the video is turned when it is played"
                )
            raise AnnotationError(f"{sizes}; it must have the video's size, or at least its aspect ratio")
        rows = (np.arange(self.height) + 0.5) * (height / self.height)
        columns = (np.arange(self.width) + 0.5) * (width / self.width)
        resized = np.ascontiguousarray(ids[rows.astype(np.intp)[:, None], columns.astype(np.intp)])
        if lost := sorted(set(distinct(ids)) - set(distinct(resized)) - {0, IGNORE_ID}):
            what = f"object {lost[0]} has" if len(lost) == 1 else f"objects {', '.join(map(str, lost))} have"
            raise AnnotationError(
                f"{sizes}, and {what} no pixel left after resizing; draw the mask in the video's size"
            )
        logger.warning(f"{sizes}: it was resized to {self.width}×{self.height}, by nearest neighbour")
        return resized


def _same_aspect(mask_width: int, mask_height: int, width: float, height: int) -> bool:
    """Whether one size is the other scaled, within 1.5 pixels of the coarser one (sides are rounded, often to even)."""
    x_scale, y_scale = width / mask_width, height / mask_height
    return (
        abs(mask_height * x_scale - height) <= 1.5 * max(1.0, x_scale)
        or abs(mask_width * y_scale - width) <= 1.5 * max(1.0, y_scale)
    )  # fmt: skip
