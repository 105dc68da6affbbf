"""Whether an object is in a frame at all.

SAM returns a mask for every prompt, also when the object has left or is hidden. What it returned then does not look
like the object: its mean confidence (eq. 6) is nearer to that of the first frame's background than to that of the
first frame's object. The threshold is half-way between the two, so that each object has its own.
"""

from __future__ import annotations

import torch
from torch import Tensor


def mean_confidence(maps: Tensor, masks: Tensor) -> Tensor:
    """The mean of each object's confidence map over its mask.

    Args:
        maps: float, N×h×w, from `confidence_maps`; cells that are not finite do not count.
        masks: bool or float (0 to 1), N×h×w.
    Returns:
        float, N; -inf for an empty mask.
    """
    weights = masks.float() * maps.isfinite()
    total = (weights * maps.nan_to_num(neginf=0)).flatten(1).sum(dim=1)
    area = weights.flatten(1).sum(dim=1)
    return torch.where(area > 0, total / area.clamp(min=1e-6), -torch.inf)


def presence_thresholds(maps: Tensor, coverage: Tensor) -> Tensor:
    """What the mean confidence over an object's mask must reach for the object to be there.

    Args:
        maps: float, N×h×w: the first frame's confidence maps.
        coverage: float, N×h×w, 0 to 1: how much of each cell the object covers.
    Returns:
        float, N. An object that fills the frame has no background: its threshold is -inf.
    """
    background = mean_confidence(maps, 1 - coverage)
    return (mean_confidence(maps, coverage) + background) / 2
