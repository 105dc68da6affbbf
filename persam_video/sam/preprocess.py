"""From a frame's pixels to SAM's input, and where things lie in it.

SAM sees a frame resized so that its longer side is 1024 pixels. Three grids cover it: the input (1024 along the longer
side), the low-res logits (256) and the features (64). Along the shorter side each has as many cells as whole cells of
the features reach into the frame; SAM itself pads every picture to a square, which is work for nothing. Everything
between the encoder and the label map is expressed in these grids; frame pixels are met only at the two ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

INPUT_SIZE = 1024
LOW_RES_SIZE = 256
FEATURE_SIZE = 64
LOW_RES_STRIDE = INPUT_SIZE // LOW_RES_SIZE

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where a frame of ``height``×``width`` pixels lies in SAM's grids: from their upper left corner."""

    height: int
    width: int

    @property
    def longer_side(self) -> int:
        return max(self.height, self.width)

    def grid(self, size: int) -> tuple[int, int]:
        """Rows and columns of a grid that has ``size`` cells along the longer side, a multiple of `FEATURE_SIZE`."""
        rows, columns = (-(-each * FEATURE_SIZE // self.longer_side) for each in (self.height, self.width))
        return rows * (size // FEATURE_SIZE), columns * (size // FEATURE_SIZE)

    def input_size(self) -> tuple[int, int]:
        """Rows and columns of the resized frame, rounded as SAM does."""
        scale = INPUT_SIZE / self.longer_side
        return max(1, int(self.height * scale + 0.5)), max(1, int(self.width * scale + 0.5))


def to_input(image: Tensor) -> Tensor:
    """A picture as SAM's encoder wants it.

    Args:
        image: RGB, uint8, H×W×3, on any device.
    Returns:
        float32, 1×3×h×w with the rows and columns of the input's grid (`Geometry.grid`), normalised, zero where the
        frame does not reach.
    """
    geometry = Geometry(*image.shape[:2])
    height, width = geometry.input_size()
    rows, columns = geometry.grid(INPUT_SIZE)
    pixels = image.permute(2, 0, 1)[None].float()
    pixels = F.interpolate(pixels, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    mean = torch.tensor(PIXEL_MEAN, device=image.device).view(1, 3, 1, 1)
    std = torch.tensor(PIXEL_STD, device=image.device).view(1, 3, 1, 1)
    return F.pad((pixels - mean) / std, (0, columns - width, 0, rows - height))


def to_grid(masks: Tensor, size: int) -> Tensor:
    """How much of each cell of a grid every mask covers.

    Args:
        masks: bool, N×H×W, in frame pixels; on the CPU, as not every device pools to any size.
        size: cells along the frame's longer side: `LOW_RES_SIZE` or `FEATURE_SIZE`.
    Returns:
        float32, N×rows×columns (`Geometry.grid`), 0 to 1.
    """
    height, width = masks.shape[-2:]
    side = max(height, width)
    rows, columns = Geometry(height, width).grid(size)
    padding = (0, side - width, 0, side - height)
    # One after another: all masks of a 4K frame as float squares would fill the memory.
    squares = [F.adaptive_avg_pool2d(F.pad(mask[None].float(), padding), size) for mask in masks]
    return torch.cat(squares)[:, :rows, :columns]


def to_frame(logits: Tensor, geometry: Geometry) -> Tensor:
    """Low-res logits resized to the frame, bilinear.

    Args:
        logits: float, N×rows×columns of the low-res grid.
    Returns:
        float, N×H×W.
    """
    scale = geometry.longer_side / LOW_RES_SIZE
    # The factor is given, not the size, so that cells and pixels agree exactly; one cell more, as it rounds down.
    wider = F.pad(logits[:, None], (0, 1, 0, 1), mode="replicate")
    full = F.interpolate(wider, scale_factor=scale, mode="bilinear", align_corners=False)
    return full[:, 0, : geometry.height, : geometry.width]
