"""Value 255 in a label map: void, which is ignored, or an object of a mask whose ids are spread over the greys."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import numpy.typing as npt

from persam_video.errors import AnnotationError
from persam_video.frame import IGNORE_ID, LabelMap
from persam_video.inputs.pixel_values import Origin, distinct
from persam_video.messages import pluralize

logger = logging.getLogger(__name__)

_RIM_WIDTH = 6.0
"""Pixels: VOC's void border is 5 wide."""
_RIM_SHARE = 0.012
"""Width of a rim by the longer side of the mask, for masks that were enlarged: VOC's 5 pixels of 500, and a little."""
_MIN_AREA = 9
"""Pixels; fewer are left over from drawing."""
_MIN_STEP = 10
"""Between spread ids; closer ones are counted rather than spread."""


def settle_void(values: LabelMap, *, origin: Origin, name: str) -> LabelMap:
    """Label map in which 255 is nothing but void: itself, or with new ids where 255 is an object.

    Void is a *rim* along the borders of objects, as in VOC and DAVIS. Other areas of 255 are

    - objects, if the ids are spread over the greys, as 127 and 255 or 85, 170 and 255: all get ids 1, 2, … in their
      order, and a warning names them; in an indexed image, where 255 is void by convention, they are refused;
    - void, as they always were, if they are in an indexed image, with a warning of wide ones; or no wider than a rim in
      a mask that counts 1, 2, …;
    - refused if they are in another image, as it may be meant either way; of an array a warning is logged.

    Args:
        values: pixel values, uint8, H×W.
        origin: of the values.
        name: of the mask in messages.

    Raises:
        AnnotationError: an area of 255 may be an object.
    """
    ids = [value for value in distinct(values) if value]
    if IGNORE_ID not in ids or len(ids) == 1 or origin == "settled":
        return values
    is_spread = _is_spread(ids)
    if origin == "indexed" and not is_spread:
        area, is_wide = _areas_beside_strips(values)
        if area and is_wide:
            logger.warning(
                f"{name}: {pluralize(area, 'pixel')} of 255, which is void in an indexed image, are ignored; if they "
                "are an object, give it another id"
            )
        return values
    greys = ", ".join(map(str, ids[:-1]))
    if _is_rim(values, is_spread=is_spread):
        if is_spread:
            logger.warning(f"{name}: 255 is ignored, as it is a rim along the objects {greys}")
        return values
    if is_spread and origin == "indexed":
        pixels = pluralize(int(np.count_nonzero(values == IGNORE_ID)), "pixel")
        raise AnnotationError(
            f"{name} has the ids {greys} and an area of {pixels} of 255, which is void in an indexed image: number the "
            f"objects 1, 2, …, the last of them {len(ids)} if 255 is one of them"
        )
    if is_spread:
        logger.warning(
            f"{name}: 255 is an object, as the ids are spread over the greys; they became "
            + ", ".join(f"{value} = {i}" for i, value in enumerate(ids, start=1))
        )
        new_ids = np.zeros(256, np.uint8)
        new_ids[ids] = range(1, len(ids) + 1)
        return new_ids[values]
    area, is_wide = _areas_beside_strips(values)
    is_counted = {1, 2} <= set(ids)
    if area and (is_wide or not is_counted):
        free = next(i for i in range(1, IGNORE_ID) if i not in ids)
        what = f"{name} has {pluralize(area, 'pixel')} of 255 that are no rim along an object"
        if origin == "grey":
            raise AnnotationError(
                f"{what}: if they are an object, give it another id, such as {free}; if they are to be ignored, save "
                "the mask as an indexed (palette) PNG, in which 255 is void"
            )
        logger.warning(f"{what}; 255 is ignored: if they are an object, give it another id, such as {free}")
    elif not area and not is_counted:
        logger.warning(f"{name}: 255 is ignored, as it is only in strips along the objects {greys}, or single pixels")
    return values


def _is_spread(ids: list[int]) -> bool:
    """Whether ids are all multiples of one step up to 255, as programs make them that spread ids over the greys."""
    step = 255 / len(ids)
    return step >= _MIN_STEP and all(abs(value - step * i) <= 1 for i, value in enumerate(ids, start=1))


def _is_rim(values: LabelMap, *, is_spread: bool) -> bool:
    """Whether 255 is a rim along the objects: nearly all of their outlines are beside it, and it is hardly anywhere
    wider than two rims side by side, as where it hides an object that is thinner.

    Args:
        values: label map, uint8, H×W.
        is_spread: whether 255 may be one of the ids; then nearly all of it must lie within a few pixels of objects.
    """
    void, objects = _void_and_objects(values)
    edge, pixels, width = _outline(objects), np.count_nonzero(void), _rim_width(values)
    return bool(
        np.count_nonzero(edge & _beside(void)) >= 0.9 * np.count_nonzero(edge)
        and np.count_nonzero(_depth(void) > width) <= 0.05 * pixels
        and (not is_spread or np.count_nonzero((_distance(objects) <= width) & (void != 0)) >= 0.9 * pixels)
    )


def _areas_beside_strips(values: LabelMap) -> tuple[int, bool]:
    """Pixels of the areas of 255 that are no strip along an object, and whether one of them is wider than a rim.

    A strip lies within a few pixels of objects, and a good part of its outline is theirs. Areas of a few pixels are
    left out.
    """
    void, objects = _void_and_objects(values)
    areas = np.asarray(cv2.connectedComponents(void, connectivity=8)[1], np.int32)
    outline, sizes, width = _outline(void), _count(areas, void), _rim_width(values)
    is_strip = (_count(areas, _distance(objects) <= width) >= 0.95 * sizes) & (
        _count(areas, outline & _beside(objects)) >= 0.35 * _count(areas, outline)
    )
    is_other = (sizes >= _MIN_AREA) & ~is_strip
    is_other[0] = False
    others = is_other[areas]
    return int(others.sum()), bool(np.any(_depth(void)[others] > width / 2 + 1))


def _void_and_objects(values: LabelMap) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Masks of void and of all objects, 0 and 1, uint8, H×W."""
    void = values == IGNORE_ID
    return void.astype(np.uint8), ((values != 0) & ~void).astype(np.uint8)


def _rim_width(values: LabelMap) -> float:
    """Width of a rim in pixels, at most."""
    return max(_RIM_WIDTH, _RIM_SHARE * int(max(values.shape))) + 0.5


def _distance(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Distance of every pixel from a mask, float32, H×W."""
    return np.asarray(cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5))


def _depth(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Distance of every pixel of a mask from its outline, float32, H×W; the image's border is none."""
    bordered = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.distanceTransform(bordered, cv2.DIST_L2, 5)[1:-1, 1:-1])


def _count(labels: npt.NDArray[np.int32], mask: npt.NDArray[np.bool_] | npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Pixels of a mask in each labelled area, int64, one for each label."""
    return np.bincount(labels[mask != 0], minlength=int(labels.max()) + 1)


def _outline(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Pixels of a mask beside others, bool, H×W; the image's border is none."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return np.asarray((mask != 0) & (cv2.erode(mask, cross) == 0))


def _beside(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Pixels of a mask and the 8 around each, bool, H×W."""
    return np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)) != 0)
