"""Soft edges: values that are shades between objects and background rather than object ids."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from persam_video.errors import AnnotationError
from persam_video.inputs.pixel_values import distinct


def flat_pixels(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Pixels whose 3×3 neighbourhood has one value, bool, H×W."""
    kernel = np.ones((3, 3), np.uint8)
    smallest, largest = np.asarray(cv2.erode(values, kernel)), np.asarray(cv2.dilate(values, kernel))
    return np.equal(smallest, largest)


def refuse_soft_edges(values: npt.NDArray[np.uint8], name: str) -> None:
    """Raise AnnotationError for values that seem to be shades."""
    if _has_soft_edges(values):
        raise AnnotationError(
            f"{name} has soft edges (anti-aliased, resized smoothly, or saved as JPEG once): {len(distinct(values))} "
            "pixel values, most of them only on edges; threshold it, or save it anew without anti-aliasing, as an "
            "indexed or grey PNG whose pixel values are the object ids"
        )


def _has_soft_edges(values: npt.NDArray[np.uint8]) -> bool:
    """Whether grey values seem to be shades between objects and background rather than object ids.

    An object has a flat inside, or is at least a line. A shade occurs only *between* a smaller and a larger value (the
    slope of a soft edge), or in *specks* (JPEG's ringing, noise). A single such value may be an unusual object, so
    there must be several, and most of the values must be such.

    Args:
        values: uint8, H×W.
    """
    kernel = np.ones((3, 3), np.uint8)
    smallest, largest = cv2.erode(values, kernel), cv2.dilate(values, kernel)  # of the 3×3 around each pixel

    def count(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        return np.bincount(values[mask], minlength=256)

    pixels = np.bincount(values.ravel(), minlength=256)
    is_flat = count(smallest == largest) > 0
    is_between = count((smallest < values) & (values < largest)) >= 0.9 * pixels
    neighbours = _equal_neighbours(values)  # a line has 2 for each pixel, specks have fewer
    is_speck = neighbours < 1.5 * pixels

    present = pixels > 0
    present[0] = False
    others = present.copy()
    others[255] = False
    between, specks = present & is_between, present & is_speck
    most = present.sum() / 2

    # A white object with shades around it: only 255 could be an object, but as an id it is ignored.
    if others.any() and pixels[255] > 8:
        if not np.any(others & (is_flat | ~(is_between | is_speck | (pixels < 8)))):
            return True
        if others.sum() >= 3 and is_flat[255] and not np.any(others & is_flat) and pixels[255] > pixels[others].sum():
            return True
    # A slope leads up to something flat, or is made of single pixels; lines of ids 1, 2, 3 ... side by side do neither.
    slope = bool(np.any(present & is_flat)) or neighbours[between].sum() < 1.5 * pixels[between].sum()
    if slope and between.sum() >= 3 and (between | specks).sum() >= most:
        return True
    scattered = specks & (pixels >= 8)  # fewer pixels may be a small object
    return bool(scattered.sum() >= 8 and scattered.sum() >= most)


def _equal_neighbours(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """For each value, the number of pairs of 8-connected pixels that have it, counted from both; int64, 256."""
    total = np.zeros(256, dtype=np.int64)
    for a, b in (
        (values[1:], values[:-1]),
        (values[:, 1:], values[:, :-1]),
        (values[1:, 1:], values[:-1, :-1]),
        (values[1:, :-1], values[:-1, 1:]),
    ):
        total += 2 * np.bincount(a[a == b], minlength=256)
    return total
