"""Tracking of every sequence of a dataset, into a folder that records how its masks were made. A run can be resumed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from persam_video.errors import InputError, OutputError, PersamError
from persam_video.evaluation.davis.dataset import DavisDataset, DavisSequence
from persam_video.evaluation.environment import environment_of
from persam_video.evaluation.run_record import RUN_FILE, read_run_record, write_run_record
from persam_video.files.atomic import check_writable
from persam_video.files.hashes import files_sha256
from persam_video.files.locks import OutputLock, exclusive
from persam_video.files.palette_png import read_palette_png
from persam_video.frame import IGNORE_ID, LabelMap, ids_in
from persam_video.inputs.first_mask import check_label_map
from persam_video.messages import parameter
from persam_video.options import DEFAULT_METHOD
from persam_video.outputs.masks import MaskOutput
from persam_video.run import open_run
from persam_video.sam.models import Sam, has_weights
from persam_video.tracking.settings import settings_of
from persam_video.video.reader import open_video

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SequenceRun:
    """Outcome of tracking one sequence.

    Args:
        name: name of the sequence.
        frames: number of tracked frames.
        objects: number of tracked objects.
        seconds: busy time of each stage (``read``, ``encode``, ``track``, ``write``; they overlap), and ``whole``, the
            elapsed time until the last result.
        error: reason why the sequence is incomplete, in one line; None if it is complete.
        skipped: whether an earlier run had completed it; the other values are then of that run.
    """

    name: str
    frames: int = 0
    objects: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    skipped: bool = False

    @property
    def frames_per_second(self) -> float:
        """Tracked frames per second of elapsed time; 0 without frames."""
        return frames_per_second([self])


def frames_per_second(runs: list[SequenceRun]) -> float:
    """Tracked frames of several sequences per second of elapsed time; 0 without frames."""
    elapsed = sum(run.seconds.get("whole", 0.0) for run in runs)
    return sum(run.frames for run in runs) / elapsed if elapsed else 0.0


class DatasetRun:
    """Iterable that tracks the sequences of a dataset, one per step, to ``<folder>/<sequence>/<frame>.png``.

    ``<folder>/run.json`` records settings, versions, device and times of each sequence's masks. A sequence that an
    earlier run completed with the same inputs and settings is skipped; any other is tracked, and a warning is logged
    where the settings differ. Several runs may share a folder if their sequences differ.

    Args:
        dataset: dataset from `open_dataset`.
        sam: model from `load_sam`.
        folder: folder of the masks.
        method: one of `persam_video.options.METHODS`.
        overwrite: also replace masks that are not recorded in ``run.json``.
        progress: show a progress bar over the frames of a sequence on stderr.
    Raises:
        OutputError: the folder is not writable, belongs to the dataset, or holds masks that are not recorded.
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
        self._settings = {**settings_of(sam, method), "year": dataset.year, "resolution": dataset.resolution}
        self._environment = environment_of(sam)
        records = check_folder(dataset, folder, overwrite=overwrite)
        self._earlier = {sequence.name: records.get(sequence.name, {}) for sequence in dataset.sequences}

    def __iter__(self) -> Iterator[SequenceRun]:
        """Track one sequence after another; an error in one does not stop the others."""
        return map(self._run, self._dataset.sequences)

    def _run(self, sequence: DavisSequence) -> SequenceRun:
        try:
            inputs = files_sha256([*sequence.images, *sequence.tracker_annotations])
            settings = {**self._settings, "inputs_sha256": inputs}
            record = self._earlier[sequence.name]
            if record.get("done"):
                known = self._with_weights_of(record["settings"], settings)
                if known == settings and self._is_complete(sequence):
                    earlier = {key: record[key] for key in ("frames", "objects", "seconds")}
                    return SequenceRun(sequence.name, **earlier, skipped=True)
                _warn_of_difference(sequence.name, known, settings)
            self._write_record(sequence.name, {"done": False, "settings": settings})
            run = self._track(sequence)
        except PersamError as error:
            return SequenceRun(sequence.name, error=str(error))
        except Exception as error:  # unexpected, but the other sequences are still tracked
            return SequenceRun(sequence.name, error=f"{type(error).__name__}: {' '.join(str(error).split())}")
        record = {
            "done": True,
            "frames": run.frames,
            "objects": run.objects,
            "seconds": run.seconds,
            "frames_per_second": run.frames_per_second,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "settings": settings,
            **self._environment,
        }
        self._write_record(sequence.name, record)
        return run

    def _with_weights_of(self, earlier: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        """Earlier settings in which the same weights have the name and the hash that they have now: the file may have
        been renamed, and version 0.1 recorded the hash of the file."""
        if not has_weights(self._sam, earlier.get("checkpoint_sha256")):
            return earlier
        return {**earlier, **{key: settings[key] for key in ("checkpoint", "checkpoint_sha256")}}

    def _track(self, sequence: DavisSequence) -> SequenceRun:
        """Track a sequence from its first annotated frame on."""
        if not sequence.images:
            raise InputError(f"{sequence.annotations[0].parent}: there are no images for these annotations")
        reader = open_video(sequence.images[0].parent, start=sequence.start)
        with reader:
            label_map = check_label_map(
                sequence.first_annotation,
                width=reader.info.width,
                height=reader.info.height,
                name=str(sequence.annotations[0]),
                origin="indexed",
            )
            folder = self._folder / sequence.name
            if folder.is_dir():
                OutputLock(folder).release()  # refused here where another run writes to it, before anything is removed
            if self._earlier[sequence.name]:  # masks of an earlier run; a truncated file would not be taken for a mask
                for image in sequence.images:
                    (folder / f"{image.stem}.png").unlink(missing_ok=True)
            run = open_run(
                reader,
                label_map,
                later_masks=_later_masks(sequence, label_map),
                method=self._method,
                outputs=[MaskOutput(folder, binary=sequence.is_binary)],
                overwrite=True,
                sam=self._sam,
                progress=self._progress,
            )
            with run:
                began = time.perf_counter()
                for _ in run:
                    pass
                elapsed = time.perf_counter() - began
        seconds = {**asdict(run.seconds), "whole": elapsed}
        return SequenceRun(sequence.name, len(sequence.images) - sequence.start, len(run.object_ids), seconds)

    def _is_complete(self, sequence: DavisSequence) -> bool:
        """Whether every mask of a sequence can be read."""
        folder = self._folder / sequence.name
        try:
            for image in sequence.images[sequence.start :]:
                read_palette_png(folder / f"{image.stem}.png")
        except InputError:
            return False
        return True

    def _write_record(self, name: str, record: dict[str, Any]) -> None:
        """Add a sequence's record to ``run.json``."""
        dataset = self._dataset
        self._folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self._folder / RUN_FILE):
            others = read_run_record(self._folder).get("sequences", {})  # again: another run may have added to it
            content = {
                "dataset": {"root": str(dataset.root), "year": dataset.year, "split": dataset.split},
                "settings": self._settings,
                **self._environment,
                "sequences": {**others, name: record},
            }
            write_run_record(self._folder, content)


def check_folder(dataset: DavisDataset, folder: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Records of earlier runs in a folder's ``run.json``, by sequence name.

    Raises:
        OutputError: the folder is not writable, belongs to the dataset, or holds masks that are not recorded.
        InputError: its ``run.json`` cannot be read.
    """
    if dataset.is_dataset_folder(folder):
        raise OutputError(f"{folder}: belongs to the dataset; give another folder for the results")
    check_writable(folder / RUN_FILE)
    records: dict[str, Any] = read_run_record(folder).get("sequences", {})
    for name in (sequence.name for sequence in dataset.sequences):
        if name not in records and not overwrite and any((folder / name).glob("*.png")):
            raise OutputError(
                f"{folder / name}: holds PNG files that are not recorded in {RUN_FILE}; "
                f"give another folder, or {parameter('overwrite', True)} to replace them"
            )
    return records


def _later_masks(sequence: DavisSequence, first: LabelMap) -> dict[str, LabelMap]:
    """Masks of the objects that appear after the first annotated frame, by the frame's name; later annotations of
    objects that are tracked already are left out."""
    names = {image.stem for image in sequence.images}
    known = set(ids_in(first))
    masks = {}
    for index, path in enumerate(sequence.tracker_annotations):
        annotation = sequence.read_annotation(index)
        new_ids = set(ids_in(annotation)) - known
        if path.stem in names and new_ids:
            known |= new_ids
            label_map = np.where(np.isin(annotation, [*new_ids, IGNORE_ID]), annotation, 0)
            height, width = first.shape
            masks[path.stem] = check_label_map(label_map, width=width, height=height, name=str(path), origin="indexed")
    return masks


def _warn_of_difference(name: str, earlier: dict[str, Any], settings: dict[str, Any]) -> None:
    """Log the first setting that differs from those of the earlier masks, if any does."""
    key = next((key for key in settings if earlier.get(key) != settings[key]), None)
    if key is None:
        return  # the earlier masks are incomplete
    descriptions = {"inputs_sha256": "other images or annotations", "code_sha256": "other code of this package"}
    difference = descriptions.get(key) or f"another {key.replace('_', ' ')} ({earlier.get(key)}, now {settings[key]})"
    logger.warning("%s: tracked again, because its masks were made with %s", name, difference)
