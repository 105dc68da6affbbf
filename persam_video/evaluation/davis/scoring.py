"""J and F of a method's masks over a dataset, equal to those of the official evaluation of DAVIS 2017.

https://github.com/davisvideochallenge/davis2017-evaluation, commit ac7c43f, semi-supervised task. As there:

- The objects of a sequence are 1, 2, … up to the highest id of its first annotation.
- All annotated frames are scored but the first, which the method starts from, and the last.
- An object that is missing from the results has empty masks; two empty masks score 1.
- Void pixels of the annotations are background, unless ``ignore_void`` is set.
- Overall metrics are means over objects, not over sequences.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from persam_video.errors import InputError
from persam_video.evaluation.davis.dataset import DavisSequence
from persam_video.evaluation.davis.metrics import (
    Statistics,
    boundary_radius,
    contour_accuracy,
    filled_window,
    region_similarity,
    statistics,
)
from persam_video.frame import IGNORE_ID, LabelMap, ids_in
from persam_video.messages import parameter

Scores = npt.NDArray[np.float64]

METRIC_NAMES = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
"""Names of the metrics in the official tables, in their order."""

_MAX_THREADS = 4
"""More threads slow each other down: between the metrics' many small OpenCV and NumPy calls they need the GIL."""


@dataclass(frozen=True, eq=False)
class SequenceScores:
    """J and F of every object in every scored frame of a sequence.

    Args:
        name: name of the sequence.
        frame_names: names of the scored frames.
        j: float64, objects × frames; row 0 is object 1.
        f: float64, objects × frames.
    """

    name: str
    frame_names: tuple[str, ...]
    j: Scores
    f: Scores

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Object ids of the rows: 1, 2, …"""
        return tuple(range(1, len(self.j) + 1))

    @property
    def j_and_f(self) -> float:
        """Mean of all J and F."""
        return float((self.j.mean() + self.f.mean()) / 2)

    @cached_property
    def objects(self) -> tuple[ObjectScores, ...]:
        """Statistics of each object."""
        return tuple(
            ObjectScores(self.name, i, statistics(j), statistics(f))
            for i, j, f in zip(self.object_ids, self.j, self.f, strict=True)
        )


@dataclass(frozen=True)
class ObjectScores:
    """Statistics of one object of a sequence."""

    sequence: str
    object_id: int
    j: Statistics
    f: Statistics

    @property
    def j_and_f(self) -> float:
        """Mean of J and F."""
        return (self.j.mean + self.f.mean) / 2


def all_objects(scores: Sequence[SequenceScores]) -> list[ObjectScores]:
    """Statistics of the objects of all sequences."""
    return [each for sequence_scores in scores for each in sequence_scores.objects]


def mean_scores(objects: Sequence[ObjectScores]) -> dict[str, float]:
    """Means over objects, by the names in `METRIC_NAMES`."""
    means = {
        f"{metric}-{name}": float(np.mean([getattr(getattr(each, metric.lower()), name.lower()) for each in objects]))
        for metric in "JF"
        for name in ("Mean", "Recall", "Decay")
    }
    return {"J&F-Mean": (means["J-Mean"] + means["F-Mean"]) / 2, **means}


def evaluate(
    sequences: Sequence[DavisSequence],
    results: Path,
    *,
    ignore_void: bool = False,
    threads: int | None = None,
    progress: bool = False,
) -> list[SequenceScores]:
    """Scores of a method's masks, one entry per sequence.

    Args:
        sequences: sequences of which every frame is annotated.
        results: folder with ``<sequence>/<frame>.png`` for every annotated frame but the first and the last of each
            sequence. Pixel values are the object ids of the annotations.
        ignore_void: ignore the void pixels (255) of the annotations, instead of scoring them as background.
        threads: number of frames that are scored in parallel; default: the number of cores, at most 4.
        progress: show a progress bar over the frames on stderr.
    Raises:
        InputError: an annotation or a mask is missing, cannot be read or differs from its counterpart in size, a mask
            holds an id above the highest of the first annotation, or ``threads`` is less than 1.
    """
    if threads is not None and threads < 1:
        raise InputError(f"{parameter('threads', threads)} is too few; give at least 1")
    for sequence in sequences:
        _check_files(sequence, results)
    opencv_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the pool uses the cores already
    pool = ThreadPoolExecutor(threads or min(os.cpu_count() or 1, _MAX_THREADS))
    try:
        counts = list(pool.map(_object_count, sequences))
        score_frame = partial(_frame_scores, results=results, ignore_void=ignore_void)
        jobs = [
            (sequence, index, count)
            for sequence, count in zip(sequences, counts, strict=True)
            for index in _scored_indices(sequence)
        ]
        scored = pool.map(score_frame, *zip(*jobs, strict=True))
        frames = iter(tqdm(scored, "scoring", len(jobs), unit="frame", disable=not progress, leave=False))
        return [_sequence_scores(sequence, [next(frames) for _ in _scored_indices(sequence)]) for sequence in sequences]
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(opencv_threads)


def _scored_indices(sequence: DavisSequence) -> range:
    """Indices of the annotations that are scored."""
    return range(1, len(sequence.annotations) - 1)


def _frame_scores(sequence: DavisSequence, index: int, count: int, *, results: Path, ignore_void: bool) -> Scores:
    """J and F of every object in one frame, float64, 2 × objects."""
    truth = sequence.read_annotation(index)
    predicted = _read_result(sequence, index, results, truth.shape, count)
    scores = np.empty((2, count))
    radius = boundary_radius(*truth.shape)
    window = filled_window(truth | predicted)  # around it everything is background
    truth, predicted = truth[window], predicted[window]
    void = truth == IGNORE_ID if ignore_void else None
    for row in range(count):
        masks = predicted == row + 1, truth == row + 1, void
        scores[:, row] = region_similarity(*masks), contour_accuracy(*masks, radius=radius)
    return scores


def _sequence_scores(sequence: DavisSequence, frames: list[Scores]) -> SequenceScores:
    """Scores of a sequence from those of its frames, 2 × objects each."""
    names = tuple(sequence.annotations[index].stem for index in _scored_indices(sequence))
    j, f = np.stack(frames, axis=-1)
    return SequenceScores(sequence.name, names, j=j, f=f)


def _object_count(sequence: DavisSequence) -> int:
    return max(ids_in(sequence.first_annotation))


def _read_result(sequence: DavisSequence, index: int, results: Path, shape: tuple[int, ...], count: int) -> LabelMap:
    """Predicted label map of an annotated frame, with the annotation's shape and ids up to ``count``."""
    path = _result_path(sequence, index, results)
    predicted = sequence.read_result(path)
    if predicted.shape != shape:
        sizes = [f"{width}×{height}" for height, width in (predicted.shape, shape)]
        raise InputError(f"{path}: is {sizes[0]} pixels, its annotation is {sizes[1]}; masks must have the same size")
    if predicted.max() > count:
        above = [int(i) for i in np.unique(predicted[predicted > count])]
        ids = f"the {'ids' if len(above) > 1 else 'id'} {', '.join(map(str, above))}"
        advice = f"; for masks of 0 and 255 give {parameter('year', '2016')}" if above == [IGNORE_ID] else ""
        raise InputError(f"{path}: holds {ids}, but the annotations' highest id is {count}{advice}")
    return predicted


def _result_path(sequence: DavisSequence, index: int, results: Path) -> Path:
    return results / sequence.name / sequence.annotations[index].name


def _check_files(sequence: DavisSequence, results: Path) -> None:
    """Raise `InputError` where a file is missing, before minutes are spent on scoring."""
    if why := sequence.why_not_scored():
        raise InputError(why)
    if not (results / sequence.name).is_dir():
        raise InputError(f"{results}: holds no masks of {sequence.name}; it should hold the folder {sequence.name}")
    for index in _scored_indices(sequence):
        path = _result_path(sequence, index, results)
        if not path.is_file():
            raise InputError(f"{path}: no such file; there must be a mask for every frame but the first and the last")
