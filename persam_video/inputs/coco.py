"""Annotations in COCO's format, as masks and boxes of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from persam_video.errors import AnnotationError
from persam_video.frame import MAX_OBJECT_ID, LabelMap
from persam_video.inputs.prompts import ObjectPrompt, read_json
from persam_video.messages import one_line


def read_coco(path: Path, picture: str, *, width: int, height: int) -> tuple[LabelMap, tuple[ObjectPrompt, ...]]:
    """A picture's annotations from a file in COCO's format; the objects are 1, 2, … in their order there.

    Args:
        picture: the picture's file name; where the file is of one picture only, that one is taken whatever its name.
        width, height: the picture's, in pixels.
    Returns:
        the label map of the annotations that have a segmentation (where they overlap, the later one has the pixels),
        and a box for each of the others.

    Raises:
        AnnotationError: the file cannot be read, is not in the format, holds nothing of the picture, or is of another
            size.
    """
    content = read_json(path)
    try:
        entry = _coco_picture(content["images"], picture, path)
        if (entry["width"], entry["height"]) != (width, height):
            raise AnnotationError(
                f"{path}: its picture is {entry['width']}×{entry['height']}, the video's first frame {width}×{height}"
            )
        annotations = [each for each in content["annotations"] if each["image_id"] == entry["id"]]
        if not annotations:
            raise AnnotationError(f"{path}: holds no annotation of {entry['file_name']}")
        if len(annotations) > MAX_OBJECT_ID:
            raise AnnotationError(
                f"{path}: {len(annotations)} annotations; {MAX_OBJECT_ID} objects at most can be tracked"
            )
        label_map = np.zeros((height, width), np.uint8)
        prompts = []
        for object_id, annotation in enumerate(annotations, start=1):
            if annotation.get("segmentation"):
                label_map[_coco_mask(annotation["segmentation"], width, height, path)] = object_id
            else:
                x, y, w, h = map(float, annotation["bbox"])
                prompts.append(ObjectPrompt(object_id, (x, y, x + w, y + h)))
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        raise AnnotationError(
            f"{path}: is not in COCO's format ({type(error).__name__}: {one_line(error)}); it should hold images and "
            "annotations with bbox or segmentation"
        ) from error
    return label_map, tuple(prompts)


def _coco_picture(pictures: Sequence[Mapping[str, Any]], name: str, path: Path) -> Mapping[str, Any]:
    if len(pictures) == 1:
        return pictures[0]
    for each in pictures:
        if Path(each["file_name"]).name == name or Path(each["file_name"]).stem == Path(name).stem:
            return each
    some = ", ".join(str(each["file_name"]) for each in pictures[:3])
    raise AnnotationError(f"{path}: holds no picture {name}; it holds {some}{', …' if len(pictures) > 3 else ''}")


def _coco_mask(segmentation: Any, width: int, height: int, path: Path) -> Any:
    """A mask, bool, height×width, from polygons or run lengths (down the columns)."""
    if isinstance(segmentation, list):
        mask = np.zeros((height, width), np.uint8)
        for polygon in segmentation:
            corners = np.asarray(polygon, np.float64).reshape(-1, 2)
            # Pixel i reaches from i to i + 1; OpenCV's grid points are its centres.
            cv2.fillPoly(mask, [np.rint((corners - 0.5) * 256).astype(np.int32)], 1, shift=8)
        return mask > 0
    counts = segmentation["counts"]
    if isinstance(counts, str):
        raise AnnotationError(
            f"{path}: its run lengths are compressed, which is not read; save them as a list, or polygons"
        )
    if sum(counts) != width * height:
        raise ValueError(f"run lengths of {sum(counts)} pixels")
    values = np.repeat(np.arange(len(counts)) % 2, counts)
    return values.reshape(width, height).T > 0
