"""Straightforward implementation of DAVIS' evaluation, as a reference for `persam_video.evaluation.davis`.

It works as the official code does: on a whole sequence at once in float64, with a stack of masks per object, and with
whole frames in every step. The input must be valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from persam_video.evaluation.davis.dataset import DavisSequence

Stack = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]
Metrics = dict[str, float]

VOID = 255


def evaluate_plainly(
    sequences: Sequence[DavisSequence], results: Path, *, ignore_void: bool = False
) -> dict[tuple[str, int], Metrics]:
    """``J-mean``, ``J-recall``, ``J-decay`` and the same of F of every object, by sequence name and object id."""
    metrics: dict[tuple[str, int], Metrics] = {}
    for sequence in sequences:
        for i, (j, f) in enumerate(_sequence_scores(sequence, results, ignore_void), start=1):
            metrics[sequence.name, i] = {**_statistics("J", j), **_statistics("F", f)}
    return metrics


def _sequence_scores(sequence: DavisSequence, results: Path, ignore_void: bool) -> list[tuple[Stack, Stack]]:
    """J and F of every object, one value each per frame but the first and the last."""
    truth = _read(sequence.annotations)
    predicted = _read([results / sequence.name / path.name for path in sequence.annotations[1:-1]])
    only_void = set(np.unique(truth[0])) <= {0, VOID}
    if sequence.is_binary and only_void:  # in DAVIS-2016's own files 255 is the object
        truth[truth == VOID] = 1
    void = (truth == VOID)[1:-1]
    truth[truth == VOID] = 0
    if not ignore_void:
        void[:] = False
    if sequence.is_binary:
        truth, predicted = np.sign(truth), np.sign(predicted)
    count = int(truth[0].max())
    true_masks = _separate(truth, count)[:, 1:-1]
    predicted_masks = _separate(predicted, count)
    return [
        (_region_similarity(a, b, void), _contour_accuracy(a, b, void))
        for a, b in zip(predicted_masks, true_masks, strict=True)
    ]


def _read(paths: Sequence[Path]) -> Stack:
    with Image.open(paths[0]) as first:
        stack = np.zeros((len(paths), first.height, first.width))
    for index, path in enumerate(paths):
        with Image.open(path) as image:
            stack[index] = np.array(image)
    return stack


def _separate(stack: Stack, count: int) -> Masks:
    """Masks of the objects 1 to count, objects × frames × height × width."""
    ids = np.ones((count, *stack.shape)) * np.arange(1, count + 1).reshape(-1, 1, 1, 1)
    masks: Masks = ids == stack[None]
    return masks


def _region_similarity(predicted: Masks, truth: Masks, void: Masks) -> Stack:
    intersection = np.sum(predicted & truth & ~void, axis=(1, 2))
    union = np.sum((predicted | truth) & ~void, axis=(1, 2))
    return np.where(union == 0, 1.0, intersection / np.maximum(union, 1))


def _contour_accuracy(predicted: Masks, truth: Masks, void: Masks) -> Stack:
    return np.array([_frame_contour_accuracy(a & ~c, b & ~c) for a, b, c in zip(predicted, truth, void, strict=True)])


def _frame_contour_accuracy(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    radius = int(np.ceil(0.008 * np.linalg.norm(predicted.shape)))
    x, y = np.meshgrid(np.arange(-radius, radius + 1), np.arange(-radius, radius + 1))
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    predicted_contour, true_contour = _contour(predicted), _contour(truth)
    dilated_prediction = cv2.dilate(predicted_contour.astype(np.uint8), disk) > 0
    dilated_truth = cv2.dilate(true_contour.astype(np.uint8), disk) > 0
    predicted_length, true_length = np.sum(predicted_contour), np.sum(true_contour)
    if predicted_length == 0 or true_length == 0:
        return float(predicted_length == true_length)
    precision = np.sum(predicted_contour & dilated_truth) / predicted_length
    recall = np.sum(true_contour & dilated_prediction) / true_length
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _contour(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Pixels that differ from their right, lower or lower right neighbour inside the image."""
    right, lower, lower_right = np.copy(mask), np.copy(mask), np.copy(mask)
    right[:, :-1] = mask[:, 1:]
    lower[:-1] = mask[1:]
    lower_right[:-1, :-1] = mask[1:, 1:]
    contour: npt.NDArray[np.bool_] = (mask ^ right) | (mask ^ lower) | (mask ^ lower_right)
    return contour


def _statistics(metric: str, values: Stack) -> Metrics:
    quarters = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(int) - 1
    bins = [values[quarters[i] : quarters[i + 1] + 1] for i in range(4)]
    return {
        f"{metric}-mean": float(np.mean(values)),
        f"{metric}-recall": float(np.mean(values > 0.5)),
        f"{metric}-decay": float(np.mean(bins[0]) - np.mean(bins[3])),
    }
