"""Where things have moved to since the frame before: optical flow."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.frame import Image
from persam_video.runtime.constants import device_constant

_LONGER_SIDE = 512
"""The picture's, in pixels, where the flow is computed: finer flow is no better on masks of 256."""

Grey = npt.NDArray[np.uint8]
"""A small picture, h×w."""


def small_grey(image: Image) -> Grey:
    """What the flow sees of a frame, RGB, uint8, H×W×3."""
    height, width = image.shape[:2]
    scale = _LONGER_SIDE / max(height, width)
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def flow_from(before: Grey | None, now: Grey) -> Tensor:
    """Where everything was in the frame before, by dense inverse search (Kroeger et al. 2016, "Fast Optical Flow using
    Dense Inverse Search").

    Args:
        before: of the frame before (`small_grey`); None where there is none: nothing has moved.
        now: of the frame itself.
    Returns:
        float32, 2×h×w, of the small picture: where each place was, less where it is now, (x, y) in widths and heights
        of the frame.
    """
    height, width = now.shape
    if before is None:
        return torch.zeros(2, height, width)
    if before.shape != now.shape:  # frames of another size: as if nothing had moved
        before = np.asarray(cv2.resize(before, (width, height)), np.uint8)
    search: Any = cv2  # whose stubs lack it
    # 2 ms on one core; the next finer preset takes five times as long for masks that are no better.
    flow = search.DISOpticalFlow_create(search.DISOPTICAL_FLOW_PRESET_FAST).calc(now, before, None)
    return torch.from_numpy(flow / np.array([width, height], np.float32)).permute(2, 0, 1)


def carry(maps: Tensor, flow: Tensor) -> Tensor:
    """Maps of the frame before as they look in the next one.

    Args:
        maps: float, N×h×w.
        flow: float, 2×h'×w', from `flow_from`.
    Returns:
        float, N×h×w.
    """
    size = maps.shape[1:]
    flow = F.interpolate(flow[None], size=size, mode="bilinear", align_corners=False)[0]
    places = torch.add(_places(*size, maps.device), flow, alpha=2)
    return F.grid_sample(maps[None], places.permute(1, 2, 0)[None], padding_mode="border", align_corners=False)[0]


@device_constant
def _places(height: int, width: int) -> Tensor:
    """Where the places of a grid are, as `torch.nn.functional.grid_sample` counts: float, 2×height×width, (x, y), from
    -1 to 1."""
    y, x = ((2 * torch.arange(size) + 1) / size - 1 for size in (height, width))
    return torch.stack((x.expand(height, -1), y[:, None].expand(-1, width)))
