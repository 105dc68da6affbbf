"""Annotations in COCO's format: masks and boxes of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from persam_video.errors import AnnotationError
from persam_video.frame import MAX_OBJECT_ID, LabelMap
from persam_video.inputs.prompts import ObjectPrompt, read_json
from persam_video.messages import one_line


def read_coco(path: Path, image_name: str, *, width: int, height: int) -> tuple[LabelMap, tuple[ObjectPrompt, ...]]:
    """Masks and boxes of one image from a file in COCO's format; the objects get ids 1, 2, … in the order of the file.

    Args:
        path: JSON file, with masks as polygons or uncompressed run lengths.
        image_name: file name of the image; a file with a single image is read whatever that one's name is.
        width: of the image, pixels.
        height: of the image, pixels.

    Returns:
        Label map of the annotations with a segmentation, uint8, height×width (where they overlap, the later one wins),
        and a prompt with the box of each other annotation.

    Raises:
        AnnotationError: the file cannot be read, is not in the format, holds no annotation of the image, or its image
            has another size.
    """
    content = read_json(path)
    try:
        image = _find_image(content["images"], image_name, path)
        if (image["width"], image["height"]) != (width, height):
            raise AnnotationError(
                f"{path}: its image is {image['width']}×{image['height']}, the video's first frame {width}×{height}"
            )
        annotations = [each for each in content["annotations"] if each["image_id"] == image["id"]]
        if not annotations:
            raise AnnotationError(f"{path}: holds no annotation of {image['file_name']}")
        if len(annotations) > MAX_OBJECT_ID:
            raise AnnotationError(
                f"{path}: {len(annotations)} annotations; {MAX_OBJECT_ID} objects at most can be tracked"
            )
        label_map = np.zeros((height, width), np.uint8)
        prompts = []
        for object_id, annotation in enumerate(annotations, start=1):
            if annotation.get("segmentation"):
                label_map[_read_mask(annotation["segmentation"], width, height, path)] = object_id
            else:
                x, y, w, h = map(float, annotation["bbox"])
                prompts.append(ObjectPrompt(object_id, (x, y, x + w, y + h)))
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        raise AnnotationError(
            f"{path}: is not in COCO's format ({type(error).__name__}: {one_line(error)}); it should hold images and "
            "annotations with bbox or segmentation"
        ) from error
    return label_map, tuple(prompts)


def _find_image(images: Sequence[Mapping[str, Any]], name: str, path: Path) -> Mapping[str, Any]:
    """The entry of an image by its file name, with or without folder and suffix; the only one whatever its name."""
    if len(images) == 1:
        return images[0]
    for each in images:
        if Path(each["file_name"]).name == name or Path(each["file_name"]).stem == Path(name).stem:
            return each
    some = ", ".join(str(each["file_name"]) for each in images[:3])
    raise AnnotationError(f"{path}: holds no image {name}; it holds {some}{', …' if len(images) > 3 else ''}")


def _read_mask(segmentation: Any, width: int, height: int, path: Path) -> npt.NDArray[np.bool_]:
    """Mask, bool, height×width, of polygons or run lengths (down the columns)."""
    if isinstance(segmentation, list):
        mask = np.zeros((height, width), np.uint8)
        for polygon in segmentation:
            corners = np.asarray(polygon, np.float64).reshape(-1, 2)
            # Pixel i covers i to i + 1; OpenCV's integer coordinates are pixel centres.
            cv2.fillPoly(mask, [np.rint((corners - 0.5) * 256).astype(np.int32)], 1, shift=8)
        return mask > 0
    counts = segmentation["counts"]
    if isinstance(counts, str):
        raise AnnotationError(
            f"{path}: its run lengths are compressed, which is not supported; save them as a list, or polygons"
        )
    if sum(counts) != width * height:
        raise ValueError(f"run lengths of {sum(counts)} pixels")
    values = np.repeat(np.arange(len(counts)) % 2 > 0, counts)
    return np.asarray(values.reshape(width, height).T)
