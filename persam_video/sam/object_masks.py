"""From logits of each object to masks that exclude one another, probabilities and label maps.

The background competes with the objects at log-odds of 0. Objects are rows of a tensor until `to_object_ids`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from persam_video.frame import LARGE_FRAME_PIXELS, LabelMap
from persam_video.sam.grids import Geometry, rows_to_frame, to_frame

_OBJECTS_AT_A_TIME = 16
_VALUES_AT_A_TIME = 1 << 27
"""Limits of the logits that are resized to the frame at once: those of 254 objects in a 4K frame would fill 8 GB."""
_LARGE_FRAME_ROWS = 256
"""Of large frames, resized at once: even the logits of one object and their comparison would take 1 GB at 8K."""

PROB_EPS = 1e-5
"""Distance that probabilities keep from 0 and 1, so that log-odds stay finite."""


def argmax_with_background(parts: Iterable[Tensor]) -> Tensor:
    """Object with the highest logit in every pixel or cell, where that is positive.

    Args:
        parts: logits of all objects in order, some objects at a time: float, n×H×W each.
    Returns:
        uint8, H×W: 0 = background, 1, 2, … = the objects in order.
    """
    highest: Tensor | float = 0.0
    numbers: Tensor | int = 0
    count = 0
    for logits in parts:
        top, row = logits.max(dim=0)
        better = top > highest
        highest = torch.where(better, top, highest)
        del top
        numbers = torch.where(better, row.add_(1 + count).to(torch.uint8), numbers)
        count += len(logits)
    assert isinstance(numbers, Tensor), "there is no object"
    return numbers


def to_label_map(logits: Tensor, geometry: Geometry, object_ids: Sequence[int]) -> LabelMap:
    """Label map of a frame.

    Args:
        logits: float, N×rows×columns of the low-res grid.
        geometry: of the frame.
        object_ids: ids of the N objects.
    """
    return to_object_ids(argmax_rows(logits, geometry).cpu(), object_ids)


def argmax_rows(logits: Tensor, geometry: Geometry) -> Tensor:
    """Object of every pixel of a frame, uint8, H×W: 0 = background, 1, 2, … = the objects in order.

    Args:
        logits: float, N×rows×columns of the low-res grid.
        geometry: of the frame.
    """
    height, width = geometry.height, geometry.width
    if height * width > LARGE_FRAME_PIXELS:
        numbers = torch.empty(height, width, dtype=torch.uint8, device=logits.device)
        for row in range(0, height, _LARGE_FRAME_ROWS):
            rows = range(row, min(row + _LARGE_FRAME_ROWS, height))
            parts = torch.split(logits, _OBJECTS_AT_A_TIME)
            numbers[row : rows.stop] = argmax_with_background(rows_to_frame(part, geometry, rows) for part in parts)
        return numbers
    at_a_time = max(1, min(_OBJECTS_AT_A_TIME, _VALUES_AT_A_TIME // (height * width)))
    return argmax_with_background(to_frame(part, geometry) for part in torch.split(logits, at_a_time))


def to_object_ids(numbers: Tensor, object_ids: Sequence[int]) -> LabelMap:
    """Label map from the result of `argmax_rows`, on the CPU, and the ids of the objects."""
    ids = np.zeros(256, np.uint8)
    ids[1 : 1 + len(object_ids)] = object_ids
    return np.asarray(cv2.LUT(numbers.numpy(), ids), np.uint8)


def argmax_masks(logits: Tensor) -> Tensor:
    """Mask of each object, bool, N×h×w: where its logit is positive and the highest (`argmax_with_background`)."""
    number = torch.arange(1, len(logits) + 1, device=logits.device)
    # NaN, which max takes for the highest, belongs to no object.
    return (_with_background(logits).max(dim=0).indices == number[:, None, None]) & (logits > 0)


def softmax_with_background(logits: Tensor) -> Tensor:
    """Probabilities of objects that exclude one another, float, N×h×w, from `PROB_EPS` to 1 - `PROB_EPS`.

    Args:
        logits: float, N×h×w; the softmax is over them and the background's 0.
    """
    return _with_background(logits).softmax(dim=0)[1:].clamp(PROB_EPS, 1 - PROB_EPS)


def _with_background(logits: Tensor) -> Tensor:
    """The background's 0 and the logits of N objects, float, (1 + N)×h×w."""
    return torch.cat((torch.zeros_like(logits[:1]), logits))
