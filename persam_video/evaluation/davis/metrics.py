"""Region similarity J and contour accuracy F of masks.

Perazzi et al. 2016, "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", with the details,
such as the boundary tolerance, of the official code: https://github.com/davisvideochallenge/davis2017-evaluation,
commit ac7c43f.
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
"""Largest distance at which contour pixels match, as a fraction of the image diagonal."""

RECALL_THRESHOLD = 0.5
"""J or F above which a frame counts towards recall."""


def region_similarity(predicted: Mask, truth: Mask, void: Mask | None = None) -> float:
    """Region similarity J: intersection over union, 0 to 1; 1 if both masks are empty.

    Args:
        predicted: bool, H×W.
        truth: bool, H×W.
        void: pixels to ignore, bool, H×W.
    """
    if void is not None:
        predicted, truth = predicted & ~void, truth & ~void
    intersection = _count(predicted & truth)
    union = _count(predicted) + _count(truth) - intersection
    return intersection / union if union else 1.0


def contour_accuracy(predicted: Mask, truth: Mask, void: Mask | None = None, *, radius: int | None = None) -> float:
    """Contour accuracy F: harmonic mean of contour precision and recall, 0 to 1; 1 if neither mask has a contour.

    Args:
        predicted: bool, H×W.
        truth: bool, H×W.
        void: pixels to ignore, bool, H×W.
        radius: largest distance in pixels at which contour pixels match; default: `boundary_radius` of the masks.
    """
    if void is not None:
        predicted, truth = predicted & ~void, truth & ~void
    if radius is None:
        radius = boundary_radius(*predicted.shape)
    window = filled_window(predicted | truth)
    predicted_contour, true_contour = contour(predicted[window]), contour(truth[window])
    predicted_length, true_length = _count(predicted_contour), _count(true_contour)
    if not predicted_length or not true_length:
        return float(predicted_length == true_length)
    precision = _count_matched(predicted_contour, true_contour, radius) / predicted_length
    recall = _count_matched(true_contour, predicted_contour, radius) / true_length
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary_radius(height: int, width: int) -> int:
    """Largest distance in pixels at which contour pixels match, for an image size."""
    return math.ceil(BOUNDARY_TOLERANCE * float(np.linalg.norm((height, width))))


def filled_window(filled: npt.NDArray[np.bool_ | np.uint8], margin: int = 1) -> tuple[slice, slice]:
    """Rows and columns around everything that is not 0, with a margin in pixels; contours need a margin of 1."""
    x, y, width, height = cv2.boundingRect(filled.view(np.uint8))
    return slice(max(y - margin, 0), y + height + margin), slice(max(x - margin, 0), x + width + margin)


def contour(mask: Mask) -> Mask:
    """Pixels of a mask that differ from their right, lower or lower right neighbour, bool, H×W."""
    # Maximum minus minimum of each 2×2 square; OpenCV leaves pixels outside the image out of both.
    edge: Mask = cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_GRADIENT, _square(2), anchor=(0, 0)).view(np.bool_)
    return edge


def _count_matched(pixels: Mask, others: Mask, radius: int) -> int:
    """Number of pixels with another mask's pixel within a radius."""
    # A square dilates in a fraction of a disk's time: the disk is only for pixels that its inscribed square misses.
    half = math.isqrt(radius * radius // 2)
    unmatched = pixels & ~_dilate(others, _square(2 * half + 1))
    if unmatched.any():
        window = filled_window(unmatched, margin=radius)
        unmatched = unmatched[window] & ~_dilate(others[window], _disk(radius))
    return _count(pixels) - _count(unmatched)


def _dilate(mask: Mask, kernel: npt.NDArray[np.uint8]) -> Mask:
    dilated: Mask = cv2.dilate(mask.view(np.uint8), kernel).view(np.bool_)
    return dilated


def _count(mask: Mask) -> int:
    return int(cv2.countNonZero(mask.view(np.uint8)))  # twice as fast as NumPy's count_nonzero


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
    """Statistics of J or F of one object over the frames of a sequence.

    Args:
        mean: mean over the frames.
        recall: fraction of the frames above 0.5.
        decay: mean of the first quarter of the frames minus the mean of the last.
    """

    mean: float
    recall: float
    decay: float


def statistics(values: npt.NDArray[np.float64]) -> Statistics:
    """Mean, recall and decay of J or F of one object.

    The quarters of decay include the frames at which they meet, as in the official code. That code stores the frames'
    indices in 8 bits, so that its decay is wrong from 257 frames on (DAVIS has no sequence of that length); here it is
    not.

    Args:
        values: one value per frame, float64, at least one.
    """
    edges = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(int) - 1
    first, last = values[edges[0] : edges[1] + 1], values[edges[3] : edges[4] + 1]
    return Statistics(
        mean=float(np.mean(values)),
        recall=float(np.mean(values > RECALL_THRESHOLD)),
        decay=float(np.mean(first) - np.mean(last)),
    )
