"""Annotations in COCO's format, as programs for labelling and SAM write them: masks and boxes of one image."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from persam_video.errors import AnnotationError
from persam_video.files.json_file import read_json, shortened
from persam_video.frame import MAX_OBJECT_ID, LabelMap, ids_in
from persam_video.inputs.coco_images import CocoImage, Key, find_image, some_names
from persam_video.inputs.coco_parser import CocoEntry, parse_coco
from persam_video.inputs.json_values import coordinate, listed
from persam_video.inputs.prompts import Box, ObjectPrompt
from persam_video.inputs.run_lengths import mask_of_runs
from persam_video.messages import one_line, parameter, pluralize

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, slots=True)
class CocoAnnotations:
    """Annotations of one image; unpacks as the pair of label map and prompts.

    Args:
        label_map: masks, uint8, H×W, of the objects that have one.
        prompts: boxes of the objects that have no mask.
        names: categories of the objects by id, where the file names them.
    """

    label_map: LabelMap
    prompts: tuple[ObjectPrompt, ...]
    names: Mapping[int, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Any]:
        yield self.label_map
        yield self.prompts


def read_coco(
    path: str | Path,
    image_name: str,
    *,
    width: int,
    height: int,
    image: str | int | None = None,
    frame_index: int | None = None,
    video_name: str = "",
    frame_count: int | None = None,
    is_named: bool = True,
) -> CocoAnnotations:
    """Masks and boxes of one image from a file in COCO's format; the objects get ids 1, 2, … in the order of the file.

    The file has images and annotations; one image, as those of SA-1B; videos, as those of YouTube-VIS; or it is a list
    of results. Masks are polygons or run lengths, compressed or not.

    Args:
        path: JSON file.
        image_name: name of the frame: of its image file, or its number. A file with a single image is read whatever
            that one's name is. Of others, the image has the same name, apart from what Roboflow and Label Studio add,
            or the frame's number (`find_image`).
        width: of the image, pixels.
        height: of the image, pixels.
        image: name or id of the image in the file, instead of one like the frame's.
        frame_index: number of the frame in the video, from 0; None: that in its name.
        video_name: name of the video, without suffix, which tells the images of several videos apart.
        frame_count: of the whole video, if it is known.
        is_named: whether ``image_name`` is that of an image file, not the frame's number.

    Returns:
        Label map of the annotations with a segmentation, uint8, height×width (where they overlap, the later one wins),
        a prompt with the box of each other annotation, and the names of the categories.

    Raises:
        AnnotationError: the file cannot be read, is not in the format, holds no annotation of the image, or its image
            has another size; it is not clear which image it is, or which annotations are of it; or an object lies
            outside the image.
    """
    content = read_json(path, AnnotationError)
    try:
        images, entries, categories = parse_coco(content)
        found = find_image(
            images,
            image_name,
            path=Path(path),
            chosen=image,
            frame_index=frame_index,
            video_name=video_name,
            frame_count=frame_count,
            is_named=is_named,
        )
        if sum(each.key == found.key for each in images) > 1:
            raise AnnotationError(
                f"{path}: several of its images have the id of {shortened(found.name)}; give each its own"
            )
        if found.size is not None and found.size != (width, height):
            raise AnnotationError(
                f"{path}: its image is {found.size[0]}×{found.size[1]}, the video's first frame {width}×{height}; "
                "annotate a frame of this size"
            )
        mine = [each for each in entries if each.image == found.key]
        if not mine:
            annotated = {each.image for each in entries}
            others = some_names([each for each in images if each.key in annotated])
            raise AnnotationError(
                f"{path}: holds no annotation of {shortened(found.name)}; it holds some of {others}: choose one with "
                f"{parameter('coco_image')}"
            )
        if len(mine) > MAX_OBJECT_ID:
            raise AnnotationError(f"{path}: {len(mine)} annotations; {MAX_OBJECT_ID} objects at most can be tracked")
        _warn_of_others(path, images, found, entries)
        categories_of = ((i, categories.get(each.category or "")) for i, each in enumerate(mine, start=1))
        names = {i: name for i, name in categories_of if name is not None}
        label_map, prompts = _masks_and_boxes(path, mine, names, width=width, height=height)
        given = {*ids_in(label_map), *(each.object_id for each in prompts)}
    except ValueError as error:
        raise AnnotationError(
            f"{path}: is not in COCO's format ({one_line(error)}); it should hold images and annotations with bbox or "
            "segmentation"
        ) from error
    return CocoAnnotations(label_map, prompts, {i: name for i, name in names.items() if i in given})


def _warn_of_others(path: str | Path, images: list[CocoImage], found: CocoImage, entries: list[CocoEntry]) -> None:
    """Log a warning of annotations of no image, and of tracks that are in other images only."""
    keys = {each.key for each in images}
    if unknown := sum(each.image not in keys for each in entries):
        logger.warning(f"{path}: {pluralize(unknown, 'annotation')} of images that it does not hold had no effect")
    tracks = {each.track for each in entries if each.track is not None and _same_video(each.image, found.key)}
    if later := len(tracks - {each.track for each in entries if each.image == found.key}):
        logger.warning(
            f"{path}: {pluralize(later, 'object')} of other images than {shortened(found.name)} had no effect; give "
            f"their masks with {parameter('later_masks')}"
        )


def _same_video(first: Key, second: Key) -> bool:
    return not (isinstance(first, tuple) and isinstance(second, tuple)) or first[0] == second[0]


def _masks_and_boxes(
    path: str | Path, entries: list[CocoEntry], names: Mapping[int, str], *, width: int, height: int
) -> tuple[LabelMap, tuple[ObjectPrompt, ...]]:
    """Label map of the entries with a mask, and prompts of the others; ids are 1, 2, … in their order."""
    label_map = np.zeros((height, width), np.uint8)
    boxes: dict[int, ObjectPrompt] = {}
    for i, entry in enumerate(entries, start=1):
        name = f"object {i} ({shortened(names[i])})" if i in names else f"object {i}"
        segmentation = entry.segmentation
        try:
            mask = _mask(segmentation, width, height)
            if mask is None:
                boxes[i] = ObjectPrompt(i, _box(entry.box))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        if isinstance(segmentation, list) and any(len(polygon) < 6 for polygon in segmentation):
            used = "its bbox is used" if mask is None else "the others are used"
            logger.warning(f"{path}: {name} has a polygon of fewer than 3 points; {used}")
        if mask is not None:
            if not mask.any():
                where = "has an empty mask" if isinstance(segmentation, dict) else "lies outside the image"
                raise AnnotationError(f"{path}: {name} {where}, {width}×{height}; draw it, or remove it")
            label_map[mask] = i
    for i in sorted(set(range(1, len(entries) + 1)) - set(boxes) - set(ids_in(label_map))):
        logger.warning(f"{path}: object {i} lies wholly under later ones, and is not tracked")
    return label_map, tuple(boxes.values())


def _mask(segmentation: Any, width: int, height: int) -> npt.NDArray[np.bool_] | None:
    """Mask, bool, height×width, of polygons or run lengths; None: there is none, or no polygon has an area."""
    if segmentation is None:
        return None
    if isinstance(segmentation, dict):
        return mask_of_runs(segmentation, width=width, height=height)
    mask = np.zeros((height, width), np.uint8)
    polygons = [list(map(coordinate, listed(each, "a polygon"))) for each in listed(segmentation, "polygons")]
    for polygon in polygons:
        if len(polygon) % 2:
            raise ValueError(f"a polygon of {len(polygon)} numbers, which is odd")
        corners = np.asarray(polygon, np.float64).reshape(-1, 2)
        if len(corners) >= 3:
            # Pixel i covers i to i + 1; OpenCV's integer coordinates are pixel centres.
            cv2.fillPoly(mask, [np.rint((corners - 0.5) * 256).astype(np.int32)], 1, shift=8)
    return mask > 0 if any(len(polygon) >= 6 for polygon in polygons) else None


def _box(box: Any) -> Box:
    """XYXY of a box with width and height."""
    if box is None:
        raise ValueError("it has neither a bbox nor a polygon of 3 points")
    values = listed(box, "a bbox")
    if len(values) != 4:
        raise ValueError(f"a bbox of {len(values)} numbers; it is [x, y, width, height]")
    x, y, width, height = map(coordinate, values)
    if width <= 0 or height <= 0:
        raise ValueError(f"a bbox of the size {width:g}×{height:g}")
    return x, y, x + width, y + height
