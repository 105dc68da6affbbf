"""Entries of COCO's instance format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from persam_video.frame import LabelMap
from persam_video.result import FrameResult
from persam_video.results.run_lengths import encode_mask
from persam_video.video.reader import VideoInfo


def name_of(result: FrameResult, object_id: int) -> str:
    """Name of an object, or else ``object`` and its id."""
    return result.names.get(object_id, f"object {object_id}")


class Categories:
    """Categories by name, numbered from ``first`` in the order in which they are met. Objects of one name share one."""

    def __init__(self, first: int = 1) -> None:
        self._first = first
        self._numbers: dict[str, int] = {}

    def number(self, result: FrameResult, object_id: int) -> int:
        """Number of an object's category."""
        return self._numbers.setdefault(name_of(result, object_id), self._first + len(self._numbers))

    def items(self) -> list[tuple[int, str]]:
        """Numbers and names."""
        return [(number, name) for name, number in self._numbers.items()]


class CocoEntries:
    """Entries of frames, one after another: images, annotations of the visible objects, and categories.

    An image has the frame's number as ``frame_index``; annotations have the object's id as ``track_id`` and its score
    as ``score``. Ids of images, annotations and categories begin at 1.

    Args:
        video: of the frames.
        polygons: of an object in a label map, in place of run lengths.
    """

    def __init__(self, video: VideoInfo, polygons: Callable[[LabelMap, int], list[list[float]]] | None = None) -> None:
        self._video = video
        self._polygons = polygons
        self._categories = Categories()
        self._annotations = 0

    @property
    def info(self) -> dict[str, Any]:
        """What the file is of."""
        return {"description": self._video.path.name}

    @property
    def categories(self) -> list[dict[str, Any]]:
        """Categories of all objects so far."""
        return [{"id": number, "name": name} for number, name in self._categories.items()]

    def of(self, result: FrameResult) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """A frame's image and annotations."""
        image = {
            "id": result.index + 1,
            "file_name": result.frame.name + self._video.image_suffix,
            "width": result.frame.width,
            "height": result.frame.height,
            "frame_index": result.index,
        }
        return image, [entry for i in result.object_ids if (entry := self._annotation(result, i)) is not None]

    def _annotation(self, result: FrameResult, object_id: int) -> dict[str, Any] | None:
        category = self._categories.number(result, object_id)
        encoded = encode_mask(result.label_map, object_id)
        if encoded is None:
            return None
        segmentation: Any = {"size": list(result.label_map.shape), "counts": encoded.counts}
        if self._polygons is not None:
            segmentation = self._polygons(result.label_map, object_id)
        self._annotations += 1
        return {
            "id": self._annotations,
            "image_id": result.index + 1,
            "category_id": category,
            "track_id": object_id,
            "score": result.scores[object_id],
            "bbox": list(encoded.box),
            "area": encoded.area,
            "iscrowd": 0,
            "segmentation": segmentation,
        }
