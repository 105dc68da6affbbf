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

_LONGER_SIDE = 512
"""The picture's, in pixels, where the flow is computed: 14 ms on one core; finer flow is no better on masks of 256."""


class Motion:
    """Carries maps from one frame to the next by dense inverse search (Kroeger et al. 2016, "Fast Optical Flow using
    Dense Inverse Search").

    Args:
        image: the frame to begin with, RGB, uint8, H×W×3.
    """

    def __init__(self, image: Image) -> None:
        dis: Any = cv2  # whose stubs lack it
        self._flow = dis.DISOpticalFlow_create(dis.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._previous = _small(image)

    def advance(self, image: Image) -> Tensor:
        """Go on to the next frame.

        Returns:
            float32, 2×h×w: for every place of the frame where it was in the frame before, less where it is now, (x, y)
            in widths and heights of the frame.
        """
        current = _small(image)
        if current.shape != self._previous.shape:  # frames of another size: as if nothing had moved
            self._previous = np.asarray(cv2.resize(self._previous, current.shape[::-1]), np.uint8)
        flow = self._flow.calc(current, self._previous, None)
        self._previous = current
        height, width = current.shape
        return torch.from_numpy(flow / np.array([width, height], np.float32)).permute(2, 0, 1)


def carry(maps: Tensor, flow: Tensor) -> Tensor:
    """Maps of the frame before as they look in the next one.

    Args:
        maps: float, N×h×w.
        flow: float, 2×h'×w', from `Motion.advance`.
    Returns:
        float, N×h×w.
    """
    height, width = maps.shape[1:]
    flow = F.interpolate(flow[None].to(maps.device), size=(height, width), mode="bilinear", align_corners=False)[0]
    y = (torch.arange(height, device=maps.device) + 0.5) / height
    x = (torch.arange(width, device=maps.device) + 0.5) / width
    places = torch.stack((x + flow[0], y[:, None] + flow[1]), dim=-1) * 2 - 1
    return F.grid_sample(maps[None], places[None], padding_mode="border", align_corners=False)[0]


def _small(image: Image) -> npt.NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = _LONGER_SIDE / max(height, width)
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
