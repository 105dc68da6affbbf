"""DAVIS' two measures of a mask: region similarity J and contour accuracy F.

Perazzi et al. 2016, "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation"; the details, such
as the tolerance, are those of the official evaluation of DAVIS 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

BOUNDARY_TOLERANCE = 0.008
"""How far two contours may lie apart and still agree, as a share of the picture's diagonal."""

RECALL_THRESHOLD = 0.5
"""Above it an object counts as found in a frame."""


def region_similarity(predicted: Mask, truth: Mask, void: Mask | None = None) -> float:
    """J: intersection over union, 0 to 1; 1 when both masks are empty.

    Args:
        predicted: bool, H×W.
        truth: bool, H×W.
        void: bool, H×W: pixels that do not count.
    """
    if void is not None:
        predicted, truth = predicted & ~void, truth & ~void
    both = _count(predicted & truth)
    either = _count(predicted) + _count(truth) - both
    return both / either if either else 1.0


def contour_accuracy(predicted: Mask, truth: Mask, void: Mask | None = None, *, radius: int | None = None) -> float:
    """F: the harmonic mean of the precision and the recall of the contour, 0 to 1; 1 when both are empty.

    Args:
        predicted: bool, H×W.
        truth: bool, H×W.
        void: bool, H×W: pixels that do not count.
        radius: how many pixels apart two contours still agree; by default that of pictures of the masks' size.
    """
    if void is not None:
        predicted, truth = predicted & ~void, truth & ~void
    if radius is None:
        radius = boundary_radius(*predicted.shape)
    window = filled_window(predicted | truth)
    found, wanted = contour(predicted[window]), contour(truth[window])
    found_length, wanted_length = _count(found), _count(wanted)
    if not found_length or not wanted_length:
        return float(found_length == wanted_length)
    precision = _count_near(found, wanted, radius) / found_length
    recall = _count_near(wanted, found, radius) / wanted_length
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary_radius(height: int, width: int) -> int:
    """How many pixels apart two contours still agree, in pictures of a size."""
    return math.ceil(BOUNDARY_TOLERANCE * float(np.linalg.norm((height, width))))


def filled_window(filled: npt.NDArray[np.bool_ | np.uint8], margin: int = 1) -> tuple[slice, slice]:
    """The rows and columns that hold everything but 0, and a margin: a pixel of it is enough for contours."""
    x, y, width, height = cv2.boundingRect(filled.view(np.uint8))
    return slice(max(y - margin, 0), y + height + margin), slice(max(x - margin, 0), x + width + margin)


def contour(mask: Mask) -> Mask:
    """The pixels of a mask, bool, H×W, that differ from the one to the right, below, or below to the right."""
    # The highest less the lowest of a square of four; what lies outside the picture has no part in either.
    edge: Mask = cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_GRADIENT, _square(2), anchor=(0, 0)).view(np.bool_)
    return edge


def _count_near(pixels: Mask, others: Mask, radius: int) -> int:
    """How many pixels have one of the others within a radius."""
    # A square dilates in a fraction of the time of a disk: only what the square in the disk misses is left for that.
    half = math.isqrt(radius * radius // 2)
    far = pixels & ~_dilated(others, _square(2 * half + 1))
    if far.any():
        window = filled_window(far, margin=radius)
        far = far[window] & ~_dilated(others[window], _disk(radius))
    return _count(pixels) - _count(far)


def _dilated(mask: Mask, shape: npt.NDArray[np.uint8]) -> Mask:
    dilated: Mask = cv2.dilate(mask.view(np.uint8), shape).view(np.bool_)
    return dilated


def _count(mask: Mask) -> int:
    return int(cv2.countNonZero(mask.view(np.uint8)))  # NumPy's takes twice as long


@lru_cache(maxsize=16)
def _square(size: int) -> npt.NDArray[np.uint8]:
    return np.ones((size, size), np.uint8)


@lru_cache(maxsize=16)
def _disk(radius: int) -> npt.NDArray[np.uint8]:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk: npt.NDArray[np.uint8] = (x * x + y * y <= radius * radius).astype(np.uint8)
    return disk


@dataclass(frozen=True, slots=True)
class Statistics:
    """J or F of an object over the frames of a sequence.

    Args:
        mean: over the frames.
        recall: the share of frames above 0.5.
        decay: the mean of the first quarter of the frames less that of the last.
    """

    mean: float
    recall: float
    decay: float


def statistics(values: npt.NDArray[np.float64]) -> Statistics:
    """Mean, recall and decay of one object's J or F.

    Args:
        values: float, one for each frame, at least one. As in the official code the quarters share the frames between
            them. (Above 256 frames, more than any of DAVIS has, that code counts them in 8 bits; not so here.)
    """
    edges = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(int) - 1
    first, last = values[edges[0] : edges[1] + 1], values[edges[3] : edges[4] + 1]
    return Statistics(
        mean=float(np.mean(values)),
        recall=float(np.mean(values > RECALL_THRESHOLD)),
        decay=float(np.mean(first) - np.mean(last)),
    )
