"""How objects share the places of a frame: each place belongs to one of them, or to the background."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from persam_video.frame import LabelMap
from persam_video.sam.grids import Geometry, to_frame

_OBJECTS_AT_A_TIME = 16
"""How many are resized to the frame at once: with 254 objects the logits of a 4K frame would fill 8 GB."""

PROB_EPS = 1e-5
"""The least probability that is told apart from 0, so that log-odds stay finite."""


def argmax_with_background(parts: Iterable[Tensor]) -> Tensor:
    """Which object each place belongs to: the one with the highest logit, if that is positive.

    Args:
        parts: the logits of all objects in order, some at a time: float, n×H×W each.
    Returns:
        int64, H×W: 0 = background, 1, 2, … = the objects.
    """
    highest: Tensor | float = 0.0
    owner: Tensor | int = 0
    count = 0
    for logits in parts:
        top, which = logits.max(dim=0)
        better = top > highest
        highest = torch.where(better, top, highest)
        owner = torch.where(better, which + 1 + count, owner)
        count += len(logits)
    assert isinstance(owner, Tensor), "there is no object"
    return owner


def to_label_map(logits: Tensor, geometry: Geometry, object_ids: Sequence[int]) -> LabelMap:
    """The label map of a frame: every pixel belongs to one object or to the background.

    Args:
        logits: float, N×rows×columns of the low-res grid.
        geometry: the frame's size.
        object_ids: of the N objects.
    """
    return to_object_ids(argmax_rows(logits, geometry).cpu(), object_ids)


def argmax_rows(logits: Tensor, geometry: Geometry) -> Tensor:
    """Which object each pixel of a frame belongs to, uint8, H×W: 0 = background, 1, 2, … = the objects.

    Args: as for `to_label_map`.
    """
    owners = argmax_with_background(to_frame(part, geometry) for part in torch.split(logits, _OBJECTS_AT_A_TIME))
    return owners.to(torch.uint8)


def to_object_ids(owners: Tensor, object_ids: Sequence[int]) -> LabelMap:
    """The label map by the objects' ids of what `argmax_rows` says, on the CPU."""
    ids = np.zeros(256, np.uint8)
    ids[1 : 1 + len(object_ids)] = object_ids
    return np.asarray(cv2.LUT(owners.numpy(), ids), np.uint8)


def argmax_masks(logits: Tensor) -> Tensor:
    """The places that belong to each object (`argmax_with_background`), bool, N×h×w."""
    number = torch.arange(1, len(logits) + 1, device=logits.device)
    # Places that are no number, which would count as highest, belong to nobody.
    return (_with_background(logits).max(dim=0).indices == number[:, None, None]) & (logits > 0)


def softmax_with_background(logits: Tensor) -> Tensor:
    """Probabilities of objects that exclude one another: the softmax of their log-odds and the background's 0.

    Args:
        logits: float, N×h×w.
    Returns:
        float, N×h×w, from `PROB_EPS` to 1 - `PROB_EPS`.
    """
    return _with_background(logits).softmax(dim=0)[1:].clamp(PROB_EPS, 1 - PROB_EPS)


def _with_background(logits: Tensor) -> Tensor:
    """Log-odds, float, N×h×w, after the background's 0."""
    return torch.cat((torch.zeros_like(logits[:1]), logits))
