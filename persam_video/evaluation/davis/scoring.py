"""J and F of a method's masks over a dataset, as the official evaluation of DAVIS 2017 measures them.

https://github.com/davisvideochallenge/davis2017-evaluation, commit ac7c43f, semi-supervised. As there:

- The objects of a sequence are 1, 2, … up to the highest id of its first annotation.
- All annotated frames count but the first, which was given, and the last.
- An object that is missing from the results has empty masks; two empty masks agree (1).
- Void pixels of the annotations are background, unless they are asked to be left out.
- The figures in all are means over objects, not over sequences.
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
from tqdm import tqdm

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

Scores = npt.NDArray[np.float64]

COLUMNS = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
"""The names of the figures in the official tables, in their order."""

_MAX_THREADS = 4
"""More hinder one another: the measures are small steps, between which only one thread runs at a time."""


@dataclass(frozen=True, eq=False)
class SequenceScores:
    """J and F of every object in every frame of a sequence that counts.

    Args:
        name: of the sequence.
        frame_names: of the frames that count.
        j: float64, objects × frames; row 0 is object 1.
        f: the same.
    """

    name: str
    frame_names: tuple[str, ...]
    j: Scores
    f: Scores

    @property
    def object_ids(self) -> tuple[int, ...]:
        """1, 2, …"""
        return tuple(range(1, len(self.j) + 1))

    @property
    def j_and_f(self) -> float:
        """The mean of all J and F."""
        return float((self.j.mean() + self.f.mean()) / 2)

    @cached_property
    def objects(self) -> tuple[ObjectScores, ...]:
        """The figures of each object."""
        return tuple(
            ObjectScores(self.name, i, statistics(j), statistics(f))
            for i, j, f in zip(self.object_ids, self.j, self.f, strict=True)
        )


@dataclass(frozen=True)
class ObjectScores:
    """The figures of one object."""

    sequence: str
    object_id: int
    j: Statistics
    f: Statistics

    @property
    def j_and_f(self) -> float:
        """The mean of J and F."""
        return (self.j.mean + self.f.mean) / 2


def all_objects(scores: Sequence[SequenceScores]) -> list[ObjectScores]:
    """The objects of all sequences."""
    return [one for each in scores for one in each.objects]


def mean_scores(objects: Sequence[ObjectScores]) -> dict[str, float]:
    """The means over objects, under the names in `COLUMNS`."""
    columns = {
        f"{measure}-{name}": float(np.mean([getattr(getattr(each, measure.lower()), name.lower()) for each in objects]))
        for measure in "JF"
        for name in ("Mean", "Recall", "Decay")
    }
    return {"J&F-Mean": (columns["J-Mean"] + columns["F-Mean"]) / 2, **columns}


def evaluate(
    sequences: Sequence[DavisSequence],
    results: Path,
    *,
    ignore_void: bool = False,
    threads: int | None = None,
    progress: bool = False,
) -> list[SequenceScores]:
    """Score a method's masks.

    Args:
        sequences: with all their annotations.
        results: a folder with ``<sequence>/<frame>.png`` for every annotated frame, the first and the last of a
            sequence excepted. Pixel values are the annotations' object ids.
        ignore_void: leave the annotations' void pixels (255) out, instead of taking them for background.
        threads: how many work side by side, each at one frame; by default one a core, but not more than 4.
        progress: show a bar over the frames on stderr.
    Raises:
        InputError: an annotation or a mask is missing, cannot be read, has another size than its counterpart, or
            holds an id that the first annotation does not reach; or ``threads`` is less than 1.
    """
    if threads is not None and threads < 1:
        raise InputError(f"{threads} threads cannot score anything; give at least 1")
    for sequence in sequences:
        _check(sequence, results)
    opencv_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the other cores are at the other frames
    pool = ThreadPoolExecutor(threads or min(os.cpu_count() or 1, _MAX_THREADS))
    try:
        counts = list(pool.map(_object_count, sequences))
        work = partial(_frame_scores, results=results, ignore_void=ignore_void)
        jobs = [
            (sequence, index, count)
            for sequence, count in zip(sequences, counts, strict=True)
            for index in _counted(sequence)
        ]
        done = pool.map(work, *zip(*jobs, strict=True))
        frames = iter(tqdm(done, "scoring", len(jobs), unit="frame", disable=not progress, leave=False))
        return [_of_frames(sequence, [next(frames) for _ in _counted(sequence)]) for sequence in sequences]
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(opencv_threads)


def _counted(sequence: DavisSequence) -> range:
    """The numbers of the frames that count."""
    return range(1, len(sequence.annotations) - 1)


def _frame_scores(sequence: DavisSequence, index: int, count: int, *, results: Path, ignore_void: bool) -> Scores:
    """J and F of every object in a frame, 2 × objects."""
    truth = sequence.read_annotation(index)
    found = _read_found(sequence, index, results, truth.shape, count)
    scores = np.empty((2, count))
    radius = boundary_radius(*truth.shape)
    window = filled_window(truth | found)  # around it everything is background
    truth, found = truth[window], found[window]
    void = truth == IGNORE_ID if ignore_void else None
    for row in range(count):
        masks = found == row + 1, truth == row + 1, void
        scores[:, row] = region_similarity(*masks), contour_accuracy(*masks, radius=radius)
    return scores


def _of_frames(sequence: DavisSequence, frames: list[Scores]) -> SequenceScores:
    names = tuple(sequence.annotations[index].stem for index in _counted(sequence))
    j, f = np.stack(frames, axis=-1)
    return SequenceScores(sequence.name, names, j=j, f=f)


def _object_count(sequence: DavisSequence) -> int:
    return max(ids_in(sequence.first_annotation))


def _read_found(sequence: DavisSequence, index: int, results: Path, shape: tuple[int, ...], count: int) -> LabelMap:
    path = _result_path(sequence, index, results)
    found = sequence.read_result(path)
    if found.shape != shape:
        sizes = [f"{width}×{height}" for height, width in (found.shape, shape)]
        raise InputError(f"{path}: is {sizes[0]} pixels, its annotation is {sizes[1]}; masks must have the same size")
    if found.max() > count:
        above = [int(i) for i in np.unique(found[found > count])]
        ids = f"the {'ids' if len(above) > 1 else 'id'} {', '.join(map(str, above))}"
        advice = "; for masks of 0 and 255 give --year 2016" if above == [IGNORE_ID] else ""
        raise InputError(f"{path}: holds {ids}, but the annotations' highest id is {count}{advice}")
    return found


def _result_path(sequence: DavisSequence, index: int, results: Path) -> Path:
    return results / sequence.name / sequence.annotations[index].name


def _check(sequence: DavisSequence, results: Path) -> None:
    """Whether all files are there: told at once, not after minutes."""
    if why := sequence.why_not_scored():
        raise InputError(why)
    if not (results / sequence.name).is_dir():
        raise InputError(f"{results}: holds no masks of {sequence.name}; it should hold the folder {sequence.name}")
    for index in _counted(sequence):
        path = _result_path(sequence, index, results)
        if not path.is_file():
            raise InputError(f"{path}: no such file; there must be a mask for every frame but the first and the last")
