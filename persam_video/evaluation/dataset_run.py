"""Tracking every sequence of a dataset into a folder that tells how its masks were made, and can be gone on with."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from persam_video.ahead import StageSeconds
from persam_video.errors import InputError, OutputError, PersamError
from persam_video.evaluation.davis.dataset import DavisDataset, DavisSequence
from persam_video.evaluation.environment import environment_of, files_sha256, settings_of
from persam_video.evaluation.run_record import RUN_FILE, read_run_record, write_run_record
from persam_video.files.atomic import check_writable
from persam_video.files.palette_png import read_palette_png
from persam_video.frame import IGNORE_ID, Frame, LabelMap, ids_in
from persam_video.inputs.first_mask import check_label_map
from persam_video.options import DEFAULT_METHOD
from persam_video.outputs.writing import MaskOutput, OutputThreads
from persam_video.pipeline import track_frames
from persam_video.sam.models import Sam
from persam_video.video.reader import open_video


@dataclass(frozen=True)
class SequenceRun:
    """How the tracking of one sequence went.

    Args:
        name: of the sequence.
        frames: how many were tracked.
        objects: how many were followed.
        seconds: how long each stage was at work: read, encode, track, write, which overlap; and the whole, until the
            last frame was tracked.
        fault: why it is not whole, in one line; None if it is.
        is_old: whether it was done before.
    """

    name: str
    frames: int = 0
    objects: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    fault: str | None = None
    is_old: bool = False

    @property
    def frames_per_second(self) -> float:
        """Frames by the seconds of the whole; 0 without any."""
        return frames_per_second([self])


def frames_per_second(runs: list[SequenceRun]) -> float:
    """Frames of some sequences by the seconds of the whole; 0 without any."""
    spent = sum(run.seconds.get("whole", 0.0) for run in runs)
    return sum(run.frames for run in runs) / spent if spent else 0.0


class DatasetRun:
    """Tracks the sequences of a dataset to ``<folder>/<sequence>/<frame>.png``, and keeps ``<folder>/run.json``.

    That file records the settings, versions, device and times of each sequence's masks. A sequence that is whole, and
    of the same pictures and settings, is not tracked again; any other is, and a warning says so where settings differ.
    Several runs may share a folder if their sequences differ.

    Args:
        dataset: from `open_dataset`.
        sam: from `load_sam`.
        folder: where the masks go.
        method: how objects are found: one of `persam_video.options.METHODS`.
        overwrite: replace masks that ``run.json`` does not know of, too.
        progress: show a bar over the frames of a sequence on stderr.
    Raises:
        OutputError: the folder cannot be written to, is the dataset's own, or holds masks from elsewhere.
        InputError: the folder's ``run.json`` cannot be read.
    """

    def __init__(
        self,
        dataset: DavisDataset,
        sam: Sam,
        folder: Path,
        *,
        method: str = DEFAULT_METHOD,
        overwrite: bool = False,
        progress: bool = False,
    ) -> None:
        self._dataset = dataset
        self._sam = sam
        self._method = method
        self._folder = folder
        self._progress = progress
        described = {"year": dataset.year, "resolution": dataset.resolution}
        self._settings = {**settings_of(sam, method), **described}
        self._circumstances = environment_of(sam)
        records = check_folder(dataset, folder, overwrite=overwrite)
        self._old = {sequence.name: records.get(sequence.name, {}) for sequence in dataset.sequences}

    def __iter__(self) -> Iterator[SequenceRun]:
        """Track one sequence after another; a fault in one does not stop the others."""
        return map(self._run, self._dataset.sequences)

    def _run(self, sequence: DavisSequence) -> SequenceRun:
        try:
            settings = {**self._settings, "inputs_sha256": files_sha256([*sequence.pictures, *sequence.given])}
            record = self._old[sequence.name]
            if record.get("done"):
                if record["settings"] == settings and self._is_whole(sequence):
                    done = {key: record[key] for key in ("frames", "objects", "seconds")}
                    return SequenceRun(sequence.name, **done, is_old=True)
                _warn_of_differences(sequence.name, record["settings"], settings)
            self._record(sequence.name, {"done": False, "settings": settings})
            run = self._track(sequence)
        except PersamError as error:
            return SequenceRun(sequence.name, fault=str(error))
        except Exception as error:  # whatever it is, the other sequences are not to suffer from it
            return SequenceRun(sequence.name, fault=f"{type(error).__name__}: {' '.join(str(error).split())}")
        figures = {"frames": run.frames, "objects": run.objects, "seconds": run.seconds}
        finished = {"frames_per_second": run.frames_per_second, "finished": _now()}
        self._record(sequence.name, {"done": True, **figures, **finished, "settings": settings, **self._circumstances})
        return run

    def _track(self, sequence: DavisSequence) -> SequenceRun:
        """Track a sequence from the first annotated frame on."""
        if not sequence.pictures:
            raise InputError(f"{sequence.annotations[0].parent}: there are no pictures for these annotations")
        start = sequence.start
        seconds = StageSeconds()
        with open_video(sequence.pictures[0].parent, start=start) as reader:
            size = {"width": reader.info.width, "height": reader.info.height}
            label_map = check_label_map(sequence.first_annotation, **size, name=str(sequence.annotations[0]))
            later = partial(_appearing, sequence, set(ids_in(label_map)))
            results = track_frames(reader, self._sam, label_map, seconds, later, method=self._method)
            folder = self._folder / sequence.name
            if self._old[sequence.name]:  # masks of an earlier run; a torn one would not be taken for a mask
                for picture in sequence.pictures:
                    (folder / f"{picture.stem}.png").unlink(missing_ok=True)
            threads = OutputThreads([MaskOutput(folder, binary=sequence.is_binary, overwrite=True)])
            total = len(sequence.pictures) - start
            bar = tqdm(
                total=total, desc=sequence.name, unit="frame", leave=False, position=1, disable=not self._progress
            )
            objects = 0
            with bar, threads, closing(results):
                started = time.perf_counter()
                for result in results:
                    threads.put(result)
                    objects = len(result.object_ids)
                    bar.update()
                whole = time.perf_counter() - started
        spent = {**asdict(seconds), "write": threads.seconds, "whole": whole}
        return SequenceRun(sequence.name, total, objects, spent)

    def _is_whole(self, sequence: DavisSequence) -> bool:
        folder = self._folder / sequence.name
        try:
            for picture in sequence.pictures[sequence.start :]:
                read_palette_png(folder / f"{picture.stem}.png")
        except InputError:
            return False
        return True

    def _record(self, name: str, record: dict[str, Any]) -> None:
        others = read_run_record(self._folder).get("sequences", {})  # read anew: another run may have added to them
        dataset = self._dataset
        content = {
            "dataset": {"root": str(dataset.root), "year": dataset.year, "split": dataset.split},
            "settings": self._settings,
            **self._circumstances,
            "sequences": {**others, name: record},
        }
        write_run_record(self._folder, content)


def check_folder(dataset: DavisDataset, folder: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """What ``run.json`` in a folder records of earlier runs, by sequence.

    Raises:
        OutputError: the folder cannot be written to, is the dataset's own, or holds masks from elsewhere.
        InputError: its ``run.json`` cannot be read.
    """
    if dataset.owns(folder):
        raise OutputError(f"{folder}: is the dataset's own folder; name another place for the results")
    check_writable(folder / RUN_FILE)
    records: dict[str, Any] = read_run_record(folder).get("sequences", {})
    for name in (sequence.name for sequence in dataset.sequences):
        if name not in records and not overwrite and any((folder / name).glob("*.png")):
            raise OutputError(
                f"{folder / name}: holds PNG files that no earlier run of this kind has written; "
                "name another place, or give --overwrite"
            )
    return records


def _appearing(sequence: DavisSequence, known: set[int], frame: Frame) -> LabelMap | None:
    """The objects that appear in a frame, as annotated; of those that are known, to which they are added, nothing."""
    number = sequence.given_at(frame.name)
    if number is None:
        return None
    annotation = sequence.read_annotation(number)
    new_ids = set(ids_in(annotation)) - known
    if not new_ids:
        return None
    known |= new_ids
    label_map = np.where(np.isin(annotation, [*new_ids, IGNORE_ID]), annotation, 0)
    return check_label_map(label_map, width=frame.width, height=frame.height, name=str(sequence.annotations[number]))


def _warn_of_differences(name: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    differ = [key for key in new if old.get(key) != new[key]]
    if not differ:
        return  # the same, but not whole
    words = {"inputs_sha256": "other pictures or first masks", "code_sha256": "other code of this package"}
    key = differ[0]
    what = words.get(key) or f"another {key.replace('_', ' ')} ({old.get(key)}, now {new[key]})"
    warnings.warn(f"{name}: tracked anew, as its masks are of {what}", stacklevel=2)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
