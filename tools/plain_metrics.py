"""Straightforward implementation of DAVIS' evaluation: the reference of `persam_video.evaluation.davis`.

It goes about it as the published evaluation does: a whole sequence at once in float64, a stack of masks for each
object, whole frames for every step. It takes valid input for granted.
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
Figures = dict[str, float]

VOID = 255


def evaluate_plainly(
    sequences: Sequence[DavisSequence], results: Path, *, ignore_void: bool = False
) -> dict[tuple[str, int], Figures]:
    """Every object's ``J-mean``, ``J-recall``, ``J-decay`` and the same of F, by its sequence's name and its id."""
    figures: dict[tuple[str, int], Figures] = {}
    for sequence in sequences:
        for i, (j, f) in enumerate(_sequence_scores(sequence, results, ignore_void), start=1):
            figures[sequence.name, i] = {**_statistics("J", j), **_statistics("F", f)}
    return figures


def _sequence_scores(sequence: DavisSequence, results: Path, ignore_void: bool) -> list[tuple[Stack, Stack]]:
    """J and F of every object, each with a value for every frame but the first and the last."""
    truth = _read(sequence.annotations)
    found = _read([results / sequence.name / path.name for path in sequence.annotations[1:-1]])
    only_void = set(np.unique(truth[0])) <= {0, VOID}
    if sequence.is_binary and only_void:  # in DAVIS-2016's own files 255 is the object
        truth[truth == VOID] = 1
    void = (truth == VOID)[1:-1]
    truth[truth == VOID] = 0
    if not ignore_void:
        void[:] = False
    if sequence.is_binary:
        truth, found = np.sign(truth), np.sign(found)
    count = int(truth[0].max())
    truths = _separate(truth, count)[:, 1:-1]
    founds = _separate(found, count)
    return [
        (_region_similarity(a, b, void), _contour_accuracy(a, b, void)) for a, b in zip(founds, truths, strict=True)
    ]


def _read(paths: Sequence[Path]) -> Stack:
    with Image.open(paths[0]) as first:
        stack = np.zeros((len(paths), first.height, first.width))
    for index, path in enumerate(paths):
        with Image.open(path) as picture:
            stack[index] = np.array(picture)
    return stack


def _separate(stack: Stack, count: int) -> Masks:
    """The masks of the objects 1 to count: objects × frames × height × width."""
    ids = np.ones((count, *stack.shape)) * np.arange(1, count + 1).reshape(-1, 1, 1, 1)
    masks: Masks = ids == stack[None]
    return masks


def _region_similarity(found: Masks, truth: Masks, void: Masks) -> Stack:
    both = np.sum(found & truth & ~void, axis=(1, 2))
    either = np.sum((found | truth) & ~void, axis=(1, 2))
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))


def _contour_accuracy(found: Masks, truth: Masks, void: Masks) -> Stack:
    return np.array([_frame_contour_accuracy(a & ~c, b & ~c) for a, b, c in zip(found, truth, void, strict=True)])


def _frame_contour_accuracy(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    radius = int(np.ceil(0.008 * np.linalg.norm(found.shape)))
    x, y = np.meshgrid(np.arange(-radius, radius + 1), np.arange(-radius, radius + 1))
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    found_edge, truth_edge = _contour(found), _contour(truth)
    near_found = cv2.dilate(found_edge.astype(np.uint8), disk) > 0
    near_truth = cv2.dilate(truth_edge.astype(np.uint8), disk) > 0
    found_length, truth_length = np.sum(found_edge), np.sum(truth_edge)
    if found_length == 0 or truth_length == 0:
        return float(found_length == truth_length)
    precision = np.sum(found_edge & near_truth) / found_length
    recall = np.sum(truth_edge & near_found) / truth_length
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _contour(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pixels that differ from the one to the right, below, or below to the right; the last row and column count as
    followed by their own like."""
    right, below, across = np.copy(mask), np.copy(mask), np.copy(mask)
    right[:, :-1] = mask[:, 1:]
    below[:-1] = mask[1:]
    across[:-1, :-1] = mask[1:, 1:]
    edge: npt.NDArray[np.bool_] = (mask ^ right) | (mask ^ below) | (mask ^ across)
    return edge


def _statistics(measure: str, values: Stack) -> Figures:
    quarters = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(int) - 1
    bins = [values[quarters[i] : quarters[i + 1] + 1] for i in range(4)]
    return {
        f"{measure}-mean": float(np.mean(values)),
        f"{measure}-recall": float(np.mean(values > 0.5)),
        f"{measure}-decay": float(np.mean(bins[0]) - np.mean(bins[3])),
    }
