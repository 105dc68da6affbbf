"""From a frame's pixels to SAM's input, and where things lie in it.

SAM sees a square of 1024×1024 pixels: the frame is resized so that its longer side fills it, and the rest is
zeros. Three grids cover that square: the input (1024), the low-res logits (256) and the features (64). Everything
between the encoder and the label map is expressed in them; frame pixels are met only at the two ends.
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
    """Where a frame of ``height``×``width`` pixels lies in SAM's square: in its upper left corner."""

    height: int
    width: int

    @property
    def longer_side(self) -> int:
        return max(self.height, self.width)

    def rows_and_columns(self, grid_size: int) -> tuple[int, int]:
        """How many rows and columns of a ``grid_size``×``grid_size`` grid the frame reaches into."""
        side = self.longer_side
        return -(-self.height * grid_size // side), -(-self.width * grid_size // side)  # rounded up

    def inside(self, grid_size: int, device: torch.device) -> Tensor:
        """Those cells of a grid, bool, ``grid_size``×``grid_size``; the others are padding."""
        rows, columns = self.rows_and_columns(grid_size)
        inside = torch.zeros(grid_size, grid_size, dtype=torch.bool, device=device)
        inside[:rows, :columns] = True
        return inside

    def input_size(self) -> tuple[int, int]:
        """Rows and columns of the resized frame, rounded as SAM does."""
        scale = INPUT_SIZE / self.longer_side
        return max(1, int(self.height * scale + 0.5)), max(1, int(self.width * scale + 0.5))


def to_input(image: Tensor) -> Tensor:
    """A picture as SAM's encoder wants it.

    Args:
        image: RGB, uint8, H×W×3, on any device.
    Returns:
        float32, 1×3×1024×1024, normalised, zero where the frame does not reach.
    """
    height, width = Geometry(*image.shape[:2]).input_size()
    pixels = image.permute(2, 0, 1)[None].float()
    pixels = F.interpolate(pixels, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    mean = torch.tensor(PIXEL_MEAN, device=image.device).view(1, 3, 1, 1)
    std = torch.tensor(PIXEL_STD, device=image.device).view(1, 3, 1, 1)
    return F.pad((pixels - mean) / std, (0, INPUT_SIZE - width, 0, INPUT_SIZE - height))


def to_grid(masks: Tensor, grid_size: int) -> Tensor:
    """How much of each cell of a grid over SAM's square every mask covers.

    Args:
        masks: bool, N×H×W, in frame pixels; on the CPU, as not every device pools to any size.
    Returns:
        float32, N×``grid_size``×``grid_size``, 0 to 1.
    """
    height, width = masks.shape[-2:]
    side = max(height, width)
    padding = (0, side - width, 0, side - height)
    # One after another: all masks of a 4K frame as float squares would fill the memory.
    return torch.cat([F.adaptive_avg_pool2d(F.pad(mask[None].float(), padding), grid_size) for mask in masks])


def to_frame(logits: Tensor, geometry: Geometry) -> Tensor:
    """Low-res logits resized to the frame, bilinear, without what lies outside it.

    Args:
        logits: float, N×256×256.
    Returns:
        float, N×H×W.
    """
    scale = geometry.longer_side / LOW_RES_SIZE
    rows, columns = geometry.rows_and_columns(LOW_RES_SIZE)
    # The factor is given, not the size, so that cells and pixels agree exactly; one row more, to be blended with.
    inside = logits[:, None, : rows + 1, : columns + 1]
    full = F.interpolate(inside, scale_factor=scale, mode="bilinear", align_corners=False)
    return full[:, 0, : geometry.height, : geometry.width]
