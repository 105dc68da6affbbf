"""Optical flow from the previous frame, maps warped by it, and cuts to another scene."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.frame import Image
from persam_video.methods.cuts import Grey, Reduced, colour_histogram, is_cut
from persam_video.runtime.constants import device_constant
from persam_video.sam.window import Window

_LONGER_SIDE = 512
"""Of the image of which the flow is computed, in pixels: finer flow does not improve masks on the low-res grid."""
_FINE_LONGER_SIDE = 2048
"""Of the image that is kept for the flow of windows."""


@dataclass(frozen=True, eq=False, slots=True)
class FlowInputs:
    """Optical flow of a frame or of a window of it. Tensors are on the CPU, in pinned memory for a model on a GPU.

    Args:
        flow: float32, 2×h×w: `backward_flow` within the window.
        cut: bool, scalar: the frame is of another scene than the one before (`is_cut`).
        current: `reduced_image` of the frame.
        previous: of the frame before it; None where there is none.
    """

    flow: Tensor
    cut: Tensor
    current: Reduced
    previous: Reduced | None

    @classmethod
    def of(cls, previous: Reduced | None, current: Reduced, *, pinned: bool) -> FlowInputs:
        """Inputs of a whole frame.

        Args:
            previous: `reduced_image` of the previous frame; None where there is none.
            current: of the frame.
            pinned: whether in pinned memory, so that a copy to a GPU does not synchronise with it.
        """
        flow = backward_flow(None if previous is None else previous.grey, current.grey)
        cut = torch.tensor(is_cut(previous, current, flow.permute(1, 2, 0).numpy()), dtype=torch.bool, device="cpu")
        return cls(*((flow.pin_memory(), cut.pin_memory()) if pinned else (flow, cut)), current, previous)

    @property
    def is_cut(self) -> bool:
        """Whether the frame is of another scene than the one before."""
        return bool(self.cut)

    def in_window(self, window: Window) -> FlowInputs:
        """The same with the flow of a window of the frame."""
        if window.is_whole or self.previous is None:
            return self
        previous, current = (_resized(_crop(each.fine_grey, window)) for each in (self.previous, self.current))
        flow = backward_flow(previous, current)
        return replace(self, flow=flow.pin_memory() if self.flow.is_pinned() else flow)


def reduced_image(image: Image) -> Reduced:
    """What `FlowInputs` need of an image, RGB, uint8, H×W×3."""
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    fine = _resized(grey, _FINE_LONGER_SIDE) if max(grey.shape) > _FINE_LONGER_SIDE else grey
    return Reduced(_resized(grey), fine, colour_histogram(image))


def _resized(grey: Grey, longer_side: int = _LONGER_SIDE) -> Grey:
    height, width = grey.shape
    scale = longer_side / max(height, width)
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _crop(grey: Grey, window: Window) -> Grey:
    """Part of a grey image, of any size, that a window of its frame covers."""
    across, down = grey.shape[1] / window.frame_width, grey.shape[0] / window.frame_height
    left, right = (round(each * across) for each in (window.left, window.left + window.width))
    top, bottom = (round(each * down) for each in (window.top, window.top + window.height))
    return grey[top : max(bottom, top + 1), left : max(right, left + 1)]


def backward_flow(previous: Grey | None, current: Grey) -> Tensor:
    """Optical flow from a frame back to the previous one, by dense inverse search (Kroeger et al. 2016, "Fast Optical
    Flow using Dense Inverse Search").

    Args:
        previous: `Reduced.grey` of the previous frame; None where there is none: zero flow.
        current: of the frame.
    Returns:
        float32, 2×h×w: offset from each pixel of the frame to its position in the previous frame, (x, y) in widths and
        heights of the frame.
    """
    height, width = current.shape
    if previous is None:
        return torch.zeros(2, height, width, dtype=torch.float32)
    if previous.shape != current.shape:  # frames of another size: as if the image had been stretched
        previous = np.asarray(cv2.resize(previous, (width, height)), np.uint8)
    dis: Any = cv2  # its stubs lack DIS
    # 2 ms on one core; the next finer preset takes five times as long for masks that are no better.
    flow = dis.DISOpticalFlow_create(dis.DISOPTICAL_FLOW_PRESET_FAST).calc(current, previous, None)
    return torch.from_numpy(flow / np.array([width, height], np.float32)).permute(2, 0, 1)


def warp(maps: Tensor, flow: Tensor) -> Tensor:
    """Maps of the previous frame, warped to the current one: float, N×h×w.

    Args:
        maps: float, N×h×w.
        flow: float, 2×h'×w', from `backward_flow`.
    """
    size = maps.shape[1:]
    flow = F.interpolate(flow[None], size=size, mode="bilinear", align_corners=False)[0]
    grid = torch.add(_cell_centres(*size, maps.device), flow, alpha=2)
    return F.grid_sample(maps[None], grid.permute(1, 2, 0)[None], padding_mode="border", align_corners=False)[0]


@device_constant
def _cell_centres(height: int, width: int) -> Tensor:
    """Centres of a grid's cells in the coordinates of `torch.nn.functional.grid_sample`: float, 2×height×width, (x, y),
    from -1 to 1."""
    y, x = ((2 * torch.arange(size, dtype=torch.float32) + 1) / size - 1 for size in (height, width))
    return torch.stack((x.expand(height, -1), y[:, None].expand(-1, width)))
