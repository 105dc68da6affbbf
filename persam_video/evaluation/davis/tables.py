"""Metrics of an evaluation as a text table, as the official CSV files, and as JSON in full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from persam_video.errors import OutputError
from persam_video.evaluation.davis.scoring import METRIC_NAMES, ObjectScores, SequenceScores, all_objects, mean_scores
from persam_video.files.atomic import check_writable, write_atomic


def screen_table(scores: Sequence[SequenceScores], frames_per_second: Mapping[str, float] | None = None) -> str:
    """Text table with a row for each object, for each sequence with several objects, and for all objects.

    Args:
        scores: scores of every sequence.
        frames_per_second: tracking speed by sequence name, for an additional column.
    """
    width = max([len("all 100 objects"), *(len(each.name) + len(" (10 objects)") for each in scores)])
    head = "".join(f" {name:>8}" for name in METRIC_NAMES) + " frames/s" * bool(frames_per_second)
    lines = [f"{'':<{width}}{head}"]

    def add_row(label: str, objects: Sequence[ObjectScores], rate: float | None = None) -> None:
        means = mean_scores(objects)
        row = f"{label:<{width}}" + "".join(f" {means[name]:8.3f}" for name in METRIC_NAMES)
        lines.append(row + (f" {rate:8.2f}" if rate is not None else ""))

    for each in scores:
        rate = (frames_per_second or {}).get(each.name)
        if len(each.objects) == 1:
            add_row(each.name, each.objects, rate)
            continue
        add_row(f"{each.name} ({len(each.objects)} objects)", each.objects, rate)
        for one in each.objects:
            add_row(f"  {one.object_id}", [one])
    objects = all_objects(scores)
    add_row(f"all {len(objects)} objects" if len(objects) > 1 else "all", objects)
    return "\n".join(lines)


_SEQUENCE_HEAD = ("Sequence", "J-Mean", "F-Mean")


def csv_paths(folder: Path, split: str) -> tuple[Path, Path]:
    """Files of `write_csv`."""
    return folder / f"global_results-{split}.csv", folder / f"per-sequence_results-{split}.csv"


def check_csv_paths(folder: Path, split: str) -> None:
    """Refuse a folder in which files have the tables' names but are no such tables.

    Raises:
        OutputError: a file would be lost, or cannot be written.
    """
    for path, head in zip(csv_paths(folder, split), (METRIC_NAMES, _SEQUENCE_HEAD), strict=True):
        check_writable(path)
        if path.exists() and not path.read_bytes().startswith(",".join(head).encode()):
            raise OutputError(f"{path}: exists, and is no such table; give another folder")


def write_csv(scores: Sequence[SequenceScores], folder: Path, split: str) -> tuple[Path, Path]:
    """Write ``global_results-<split>.csv`` and ``per-sequence_results-<split>.csv`` in the official format.

    Returns:
        Paths of both files.
    Raises:
        OutputError: a file cannot be written.
    """
    objects = all_objects(scores)
    means = mean_scores(objects)
    global_path, sequence_path = csv_paths(folder, split)
    _write_rows(global_path, [METRIC_NAMES, [f"{means[name]:.3f}" for name in METRIC_NAMES]])
    rows = [(f"{one.sequence}_{one.object_id}", f"{one.j.mean:.3f}", f"{one.f.mean:.3f}") for one in objects]
    _write_rows(sequence_path, [_SEQUENCE_HEAD, *rows])
    return global_path, sequence_path


def _write_rows(path: Path, rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_atomic(path, text.getvalue())


def as_json(scores: Sequence[SequenceScores]) -> dict[str, Any]:
    """All metrics in full precision: of all objects, each sequence, each object, and each of its frames."""
    return {
        "all": mean_scores(all_objects(scores)),
        "sequences": {
            each.name: {
                **mean_scores(each.objects),
                "frames": each.frame_names,
                "objects": {
                    one.object_id: {
                        "J&F-Mean": one.j_and_f,
                        "J": {**asdict(one.j), "frames": j.tolist()},
                        "F": {**asdict(one.f), "frames": f.tolist()},
                    }
                    for one, j, f in zip(each.objects, each.j, each.f, strict=True)
                },
            }
            for each in scores
        },
    }
