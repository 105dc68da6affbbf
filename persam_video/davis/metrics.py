"""DAVIS' two measures of a mask: region similarity J and contour accuracy F.

Perazzi et al. 2016, "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation"; the details, such
as the tolerance, are those of the official evaluation of DAVIS 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    union = np.count_nonzero(predicted | truth)
    return float(np.count_nonzero(predicted & truth) / union) if union else 1.0


def contour_accuracy(predicted: Mask, truth: Mask, void: Mask | None = None) -> float:
    """F: the harmonic mean of the precision and the recall of the contour, 0 to 1; 1 when both are empty.

    Args:
        predicted: bool, H×W.
        truth: bool, H×W.
        void: bool, H×W: pixels that do not count.
    """
    if void is not None:
        predicted, truth = predicted & ~void, truth & ~void
    radius = int(np.ceil(BOUNDARY_TOLERANCE * np.linalg.norm(predicted.shape)))
    contours = [contour(predicted), contour(truth)]
    counts = [np.count_nonzero(each) for each in contours]
    if not all(counts):
        return float(counts[0] == counts[1])
    # Farther than the radius from both contours there is nothing to find.
    rows, columns = (np.flatnonzero((contours[0] | contours[1]).any(axis=axis)) for axis in (1, 0))
    window = np.s_[
        max(rows[0] - radius, 0) : rows[-1] + radius + 1, max(columns[0] - radius, 0) : columns[-1] + radius + 1
    ]
    first, second = (each[window].astype(np.uint8) for each in contours)
    disk = _disk(radius)
    precision = np.count_nonzero(cv2.min(first, cv2.dilate(second, disk))) / counts[0]
    recall = np.count_nonzero(cv2.min(second, cv2.dilate(first, disk))) / counts[1]
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def contour(mask: Mask) -> Mask:
    """The pixels of a mask, bool, H×W, that differ from the one to the right, below, or below to the right."""
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return edge


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
            them.
    """
    edges = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(int) - 1
    first, last = values[edges[0] : edges[1] + 1], values[edges[3] : edges[4] + 1]
    return Statistics(
        mean=float(np.mean(values)),
        recall=float(np.mean(values > RECALL_THRESHOLD)),
        decay=float(np.mean(first) - np.mean(last)),
    )
