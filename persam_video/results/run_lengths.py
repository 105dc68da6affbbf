"""Masks of label maps as COCO's compressed run lengths."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import pycocotools.mask

from persam_video.frame import LabelMap


class EncodedMask(NamedTuple):
    """An object's mask.

    Args:
        counts: COCO's compressed run lengths, down the columns of the whole image.
        box: XYWH in pixels, as COCO's.
        area: number of pixels.
    """

    counts: str
    box: tuple[int, int, int, int]
    area: int


def encode_mask(label_map: LabelMap, object_id: int) -> EncodedMask | None:
    """Mask of one object; None where it has no pixel."""
    mask = cv2.inRange(label_map, object_id, object_id)
    x, y, width, height = cv2.boundingRect(mask)
    if width == 0:
        return None
    rows, columns = label_map.shape
    # The columns of the box, each with a background pixel below, so that no run goes on in the next column.
    padded = np.zeros((width, height + 1), np.uint8)
    padded[:, :height] = mask[y : y + height, x : x + width].T
    edges = np.flatnonzero(np.diff(padded.ravel(), prepend=0, append=0))
    column, row = np.divmod(edges, height + 1)
    ends = ((x + column) * rows + y + row).reshape(-1, 2)  # first pixel of each run, and the one after its last
    area = int((ends[:, 1] - ends[:, 0]).sum())
    joined = np.flatnonzero(ends[1:, 0] == ends[:-1, 1])  # where the box is as high as the image
    flat = np.delete(ends.ravel(), np.concatenate((2 * joined + 1, 2 * joined + 2)))
    counts = np.diff(flat, prepend=0, append=rows * columns)
    if counts[-1] == 0:
        counts = counts[:-1]
    size = {"counts": counts.tolist(), "size": [rows, columns]}
    encoded = pycocotools.mask.frPyObjects(size, rows, columns)
    return EncodedMask(encoded["counts"].decode("ascii"), (x, y, width, height), area)
