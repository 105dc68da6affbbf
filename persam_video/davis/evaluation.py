"""J and F of a method's masks over a dataset, as the official evaluation of DAVIS 2017 measures them.

https://github.com/davisvideochallenge/davis2017-evaluation, commit ac7c43f, semi-supervised. As there:

- The objects of a sequence are 1, 2, … up to the highest id of its first annotation.
- All annotated frames count but the first, which was given, and the last.
- An object that is missing from the results has empty masks; two empty masks agree (1).
- Void pixels of the annotations are background, unless they are asked to be left out.
- The figures in all are means over objects, not over sequences.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from persam_video.davis.dataset import DavisSequence
from persam_video.davis.metrics import Statistics, contour_accuracy, region_similarity, statistics
from persam_video.errors import InputError
from persam_video.frame import IGNORE_ID, LabelMap

Scores = npt.NDArray[np.float64]


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

    @property
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


def mean_scores(objects: Sequence[ObjectScores]) -> dict[str, float]:
    """The means over objects, under the names that the official tables have."""
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
    processes: int | None = None,
    progress: bool = False,
) -> list[SequenceScores]:
    """Score a method's masks.

    Args:
        sequences: with all their annotations.
        results: a folder with ``<sequence>/<frame>.png`` for every annotated frame, the first and the last of a
            sequence excepted. Pixel values are the annotations' object ids.
        ignore_void: leave the annotations' void pixels (255) out, instead of taking them for background.
        processes: how many work side by side, each at one sequence; by default as many as the machine has cores.
        progress: show a bar over the sequences on stderr.
    Raises:
        InputError: an annotation or a mask is missing, cannot be read, has another size than its counterpart, or
            holds an id that the first annotation does not reach.
    """
    for sequence in sequences:
        _check(sequence, results)
    work = partial(evaluate_sequence, results=results, ignore_void=ignore_void)
    count = min(processes or os.cpu_count() or 1, len(sequences))
    bar = partial(tqdm, total=len(sequences), desc="scoring", unit="sequence", disable=not progress, leave=False)
    if count < 2:
        return list(bar(map(work, sequences)))
    # Spawned, not forked: torch's and OpenCV's threads do not outlive a fork.
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(bar(pool.map(work, sequences)))


def evaluate_sequence(sequence: DavisSequence, results: Path, *, ignore_void: bool = False) -> SequenceScores:
    """Score a method's masks of one sequence; see `evaluate`."""
    cv2.setNumThreads(1)  # the other cores are at the other sequences
    count = _object_count(sequence)
    counted = range(1, len(sequence.annotations) - 1)
    names = tuple(sequence.annotations[index].stem for index in counted)
    scores = np.empty((2, count, len(counted)))
    for column, index in enumerate(counted):
        truth = sequence.read_annotation(index)
        found = _read_found(sequence, index, results, truth.shape, count)
        void = truth == IGNORE_ID if ignore_void else None
        for row in range(count):
            masks = found == row + 1, truth == row + 1
            scores[:, row, column] = region_similarity(*masks, void), contour_accuracy(*masks, void)
    return SequenceScores(sequence.name, names, j=scores[0], f=scores[1])


def _object_count(sequence: DavisSequence) -> int:
    first = sequence.first_annotation
    return int(first[first != IGNORE_ID].max())


def _read_found(sequence: DavisSequence, index: int, results: Path, shape: tuple[int, ...], count: int) -> LabelMap:
    path = _result_path(sequence, index, results)
    found = sequence.read_result(path)
    if found.shape != shape:
        sizes = [f"{width}×{height}" for height, width in (found.shape, shape)]
        raise InputError(f"{path}: is {sizes[0]} pixels, its annotation is {sizes[1]}; masks must have the same size")
    above = [int(i) for i in np.unique(found[found > count])]
    if above:
        ids = f"the {'ids' if len(above) > 1 else 'id'} {', '.join(map(str, above))}"
        advice = "; for masks of 0 and 255 give --year 2016" if above == [IGNORE_ID] else ""
        raise InputError(f"{path}: holds {ids}, but the annotations' highest id is {count}{advice}")
    return found


def _result_path(sequence: DavisSequence, index: int, results: Path) -> Path:
    return results / sequence.name / sequence.annotations[index].name


def _check(sequence: DavisSequence, results: Path) -> None:
    """Whether all files are there: told at once, not after minutes."""
    count = len(sequence.annotations)
    where = sequence.annotations[0].parent
    if sequence.pictures and len(sequence.pictures) != count:
        raise InputError(
            f"{where}: holds {count} annotations for {len(sequence.pictures)} frames; all frames must be annotated"
        )
    if count < 3:
        raise InputError(f"{where}: holds {count} annotations; the first and the last do not count, so 3 are needed")
    if not (results / sequence.name).is_dir():
        raise InputError(f"{results}: holds no masks of {sequence.name}; it should hold the folder {sequence.name}")
    for index in range(1, count - 1):
        path = _result_path(sequence, index, results)
        if not path.is_file():
            raise InputError(f"{path}: no such file; there must be a mask for every frame but the first and the last")
