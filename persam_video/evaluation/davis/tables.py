"""The figures of an evaluation as tables: for the screen, as the official CSV files, and as JSON in full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from persam_video.evaluation.davis.scoring import COLUMNS, ObjectScores, SequenceScores, all_objects, mean_scores
from persam_video.files.atomic import write_atomic


def screen_table(scores: Sequence[SequenceScores], frames_per_second: Mapping[str, float] | None = None) -> str:
    """A table with a row for each object, for each sequence with several, and for all.

    Args:
        frames_per_second: of each sequence, for a column more.
    """
    width = max([len("all 100 objects"), *(len(each.name) + len(" (10 objects)") for each in scores)])
    lines = [f"{'':<{width}}" + "".join(f" {column:>8}" for column in COLUMNS) + " frames/s" * bool(frames_per_second)]

    def add(name: str, objects: Sequence[ObjectScores], rate: float | None = None) -> None:
        figures = mean_scores(objects)
        row = f"{name:<{width}}" + "".join(f" {figures[column]:8.3f}" for column in COLUMNS)
        lines.append(row + (f" {rate:8.2f}" if rate is not None else ""))

    for each in scores:
        rate = (frames_per_second or {}).get(each.name)
        if len(each.objects) == 1:
            add(each.name, each.objects, rate)
            continue
        add(f"{each.name} ({len(each.objects)} objects)", each.objects, rate)
        for one in each.objects:
            add(f"  {one.object_id}", [one])
    objects = all_objects(scores)
    add(f"all {len(objects)} objects" if len(objects) > 1 else "all", objects)
    return "\n".join(lines)


def write_csv(scores: Sequence[SequenceScores], folder: Path, split: str) -> tuple[Path, Path]:
    """Write ``global_results-<split>.csv`` and ``per-sequence_results-<split>.csv`` as the official code does.

    Raises:
        OutputError: one of them cannot be written.
    """
    objects = all_objects(scores)
    figures = mean_scores(objects)
    overall, single = folder / f"global_results-{split}.csv", folder / f"per-sequence_results-{split}.csv"
    _write_rows(overall, [COLUMNS, [f"{figures[column]:.3f}" for column in COLUMNS]])
    rows = [(f"{one.sequence}_{one.object_id}", f"{one.j.mean:.3f}", f"{one.f.mean:.3f}") for one in objects]
    _write_rows(single, [("Sequence", "J-Mean", "F-Mean"), *rows])
    return overall, single


def _write_rows(path: Path, rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_atomic(path, text.getvalue())


def as_json(scores: Sequence[SequenceScores]) -> dict[str, Any]:
    """All figures in full precision: in all, for each sequence, for each object, and for each of its frames."""
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
