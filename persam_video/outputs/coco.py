"""Labels in COCO's instance format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from persam_video.frame import LabelMap
from persam_video.outputs.polygons import edge_polygons
from persam_video.outputs.text import TextOutput
from persam_video.result import FrameResult
from persam_video.results.coco import CocoEntries
from persam_video.video.reader import VideoInfo

_IMAGES, _ANNOTATIONS = range(2)


class CocoOutput(TextOutput):
    """COCO JSON: an image for each frame, and an annotation for each object that is visible in it (`CocoEntries`).

    Args:
        path: of the file.
        polygons: write polygons, with which masks come back nearly (IoU about .99), instead of run lengths, with which
            they come back exactly.
    """

    sections = 2

    def __init__(self, path: str | Path, *, polygons: bool = False) -> None:
        super().__init__(path)
        self._polygons = polygons
        self._entries: CocoEntries | None = None

    def open(self, video: VideoInfo, *, overwrite: bool) -> None:
        """See `Output.open`."""
        super().open(video, overwrite=overwrite)
        self._entries = CocoEntries(video, _polygons if self._polygons else None)

    def frame_texts(self, result: FrameResult) -> Sequence[str]:
        """See `TextOutput.frame_texts`."""
        assert self._entries is not None, "the output is not open"
        image, annotations = self._entries.of(result)
        comma = ",\n" if annotations and annotations[0]["id"] > 1 else ""
        return [(",\n" if self.count else "") + _json(image), comma + ",\n".join(map(_json, annotations))]

    def layout(self) -> Iterator[str | int]:
        """See `TextOutput.layout`."""
        assert self._entries is not None, "the output is not open"
        yield f'{{"info": {_json(self._entries.info)},\n"images": [\n'
        yield _IMAGES
        yield '\n],\n"annotations": [\n'
        yield _ANNOTATIONS
        yield f'\n],\n"categories": {_json(self._entries.categories)}}}\n'


def _polygons(label_map: LabelMap, object_id: int) -> list[list[float]]:
    return [each.ravel().tolist() for each in edge_polygons(label_map, object_id)]


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
