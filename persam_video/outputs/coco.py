"""Labels in COCO's instance format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from persam_video.outputs.categories import Categories
from persam_video.outputs.polygons import edge_polygons
from persam_video.outputs.text import TextOutput
from persam_video.result import FrameResult
from persam_video.results.run_lengths import encode_mask

_IMAGES, _ANNOTATIONS = range(2)


class CocoOutput(TextOutput):
    """COCO JSON: an image for each frame, and an annotation for each object that is visible in it.

    Annotations have the object's id as ``track_id`` and its score as ``score``; categories are the objects' names. An
    image has the frame's number as ``frame_index``, and its name with ``image_suffix`` as ``file_name``.

    Args:
        path: of the file.
        polygons: write polygons, with which masks come back nearly (IoU .98), instead of run lengths, with which they
            come back exactly.
    """

    sections = 2

    def __init__(self, path: str | Path, *, polygons: bool = False) -> None:
        super().__init__(path)
        self._polygons = polygons
        self._categories = Categories()
        self._annotations = 0

    def frame_texts(self, result: FrameResult, *, is_first: bool) -> Sequence[str]:
        """See `TextOutput.frame_texts`."""
        assert self.video is not None, "the output is not open"
        image = {
            "id": result.index + 1,
            "file_name": result.frame.name + self.video.image_suffix,
            "width": result.frame.width,
            "height": result.frame.height,
            "frame_index": result.index,
        }
        annotations = []
        for i in result.object_ids:
            category = self._categories.number(result, i)
            encoded = encode_mask(result.label_map, i)
            if encoded is None:
                continue
            segmentation: Any = {"size": list(result.label_map.shape), "counts": encoded.counts}
            if self._polygons:
                segmentation = [each.ravel().tolist() for each in edge_polygons(result.label_map, i)]
            self._annotations += 1
            annotations.append(
                {
                    "id": self._annotations,
                    "image_id": image["id"],
                    "category_id": category,
                    "track_id": i,
                    "score": result.scores[i],
                    "bbox": list(encoded.box),
                    "area": encoded.area,
                    "iscrowd": 0,
                    "segmentation": segmentation,
                }
            )
        before = len(annotations) < self._annotations
        texts = ["" if is_first else ",\n", ",\n" if before and annotations else ""]
        return [texts[0] + _json(image), texts[1] + ",\n".join(map(_json, annotations))]

    def layout(self) -> Iterator[str | int]:
        """See `TextOutput.layout`."""
        assert self.video is not None, "the output is not open"
        yield f'{{"info": {_json({"description": self.video.path.name})},\n"images": [\n'
        yield _IMAGES
        yield '\n],\n"annotations": [\n'
        yield _ANNOTATIONS
        categories = [{"id": number, "name": name} for number, name in self._categories.items()]
        yield f'\n],\n"categories": {_json(categories)}}}\n'


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
