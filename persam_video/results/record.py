"""Lines of ``results.jsonl``: a header, then one line for each frame (docs/results.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from persam_video.result import FrameResult
from persam_video.results.run_lengths import encode_mask
from persam_video.video.reader import VideoInfo

FORMAT = "persam-video results"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class RunInfo:
    """What the results of a run are of.

    Args:
        video: the video.
        hash_video: function that returns the hash of the video's content (`content_sha256`), which takes a second for
            each gigabyte or two; None: it has none, or is unknown.
        settings: what determines the masks, JSON values by name: method, model, hash of its weights, …
        names: of objects by id, where they are known from the beginning.
        version: of the package that made the results.
        outputs: files and folders that the run writes.
    """

    video: VideoInfo
    hash_video: Callable[[], str | None] = lambda: None
    settings: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    version: str | None = None
    outputs: Sequence[Path] = ()


def header_line(run: RunInfo, path: Path) -> bytes:
    """First line of a record in the file ``path``."""
    video = run.video
    return _line(
        {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "persam_video": run.version,
            "video": {
                "name": video.path.name,
                "kind": "frames" if video.in_memory else "images" if video.is_images else "file",
                "sha256": run.hash_video(),
                "stream": video.stream,
                "image_suffix": video.image_suffix,
                "width": video.width,
                "height": video.height,
                "frame_count": video.frame_count,
                "frame_rate": None if video.frame_rate is None else _fraction(video.frame_rate),
                "time_base": _fraction(video.time_base),
                "pixel_aspect": _fraction(video.pixel_aspect),
            },
            "settings": dict(run.settings),
            "names": {str(i): name for i, name in run.names.items()},
            "outputs": relative_names(run.outputs, path),
        }
    )


def relative_names(outputs: Iterable[Path], path: Path) -> list[str]:
    """Names of a run's other outputs than its record, as seen from the record's folder."""
    folder = path.parent.resolve()
    return [Path(os.path.relpath(each.resolve(), folder)).as_posix() for each in outputs if each != path]


def frame_line(result: FrameResult) -> bytes:
    """Line of a frame's result."""
    frame = result.frame
    time = None if frame.pts is None or frame.time_base is None else Fraction(frame.pts * frame.time_base)
    return _line(
        {
            "frame": frame.index,
            "name": frame.name,
            "seconds": None if time is None else float(time),
            "time": None if time is None else _fraction(time),
            "objects": [_object(result, i) for i in result.object_ids],
        }
    )


def _object(result: FrameResult, object_id: int) -> dict[str, Any]:
    encoded = encode_mask(result.label_map, object_id)
    size = list(result.label_map.shape)
    return {
        "id": object_id,
        "name": result.names.get(object_id),
        "score": result.scores[object_id],
        "visible": encoded is not None,
        "box": None if encoded is None else list(encoded.box),
        "area": 0 if encoded is None else encoded.area,
        "mask": None if encoded is None else {"size": size, "counts": encoded.counts},
    }


def _fraction(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"
