"""From a frame's pixels to SAM's input, and where things lie in it.

SAM sees a frame resized so that its longer side is 1024 pixels, in the upper left corner of a square. Three grids cover
that square: the input (1024 along a side), the low-res logits (256) and the features (64). Of each only the part is
computed into which whole cells of the features reach; SAM itself pads every picture to the square, which is work for
nothing. A frame may also be made smaller than 1024 pixels: it then lies in less of the square. Everything between the
encoder and the label map is expressed in these grids; frame pixels are met only at the two ends.
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
    """Where a frame of ``height``×``width`` pixels lies in SAM's grids: from their upper left corner.

    Args:
        side: what its longer side becomes, in pixels of the input.
    """

    height: int
    width: int
    side: int = INPUT_SIZE

    @property
    def longer_side(self) -> int:
        return max(self.height, self.width)

    def grid(self, size: int) -> tuple[int, int]:
        """Rows and columns of the frame's part of a grid with ``size`` cells along the square's side, a multiple of
        `FEATURE_SIZE`."""
        cells = FEATURE_SIZE * self.side // INPUT_SIZE
        rows, columns = (-(-each * cells // self.longer_side) for each in (self.height, self.width))
        return rows * (size // FEATURE_SIZE), columns * (size // FEATURE_SIZE)

    def input_size(self) -> tuple[int, int]:
        """Rows and columns of the resized frame, rounded as SAM does."""
        scale = self.side / self.longer_side
        return max(1, int(self.height * scale + 0.5)), max(1, int(self.width * scale + 0.5))


def to_input(images: Tensor, side: int = INPUT_SIZE) -> Tensor:
    """Pictures as SAM's encoder wants them.

    Args:
        images: RGB, uint8, B×H×W×3, on any device.
        side: of `Geometry`.
    Returns:
        float32, B×3×h×w with the rows and columns of the input's grid (`Geometry.grid`), normalised, zero where the
        frame does not reach.
    """
    geometry = Geometry(images.shape[1], images.shape[2], side)
    height, width = geometry.input_size()
    rows, columns = geometry.grid(INPUT_SIZE)
    pixels = images.permute(0, 3, 1, 2).float()
    pixels = F.interpolate(pixels, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    for channel, mean, std in zip(pixels.unbind(1), PIXEL_MEAN, PIXEL_STD, strict=True):
        channel.sub_(mean).div_(std)  # as numbers: a tensor of them would have to be copied to the device first
    return F.pad(pixels, (0, columns - width, 0, rows - height))


def to_grid(masks: Tensor, size: int, side: int = INPUT_SIZE) -> Tensor:
    """How much of each cell of a grid every mask covers.

    Args:
        masks: bool, N×H×W, in frame pixels; on the CPU, as not every device pools to any size.
        size: cells along the square's side: `LOW_RES_SIZE` or `FEATURE_SIZE`.
        side: of `Geometry`.
    Returns:
        float32, N×rows×columns (`Geometry.grid`), 0 to 1.
    """
    height, width = masks.shape[-2:]
    longer = max(height, width)
    rows, columns = Geometry(height, width, side).grid(size)
    cells = size * side // INPUT_SIZE
    padding = (0, longer - width, 0, longer - height)
    # One after another: all masks of a 4K frame as float squares would fill the memory.
    squares = [F.adaptive_avg_pool2d(F.pad(mask[None].float(), padding), cells) for mask in masks]
    return torch.cat(squares)[:, :rows, :columns]


def most_covered(coverage: Tensor) -> Tensor:
    """The cells that are covered by half or more, or where there is none, by most.

    Args:
        coverage: float, N×h×w, 0 to 1, somewhere above 0.
    Returns:
        bool, N×h×w.
    """
    most = coverage.flatten(1).amax(dim=1)[:, None, None]
    return coverage >= most.clamp(max=0.5)


def to_frame(logits: Tensor, geometry: Geometry) -> Tensor:
    """Low-res logits resized to the frame, bilinear.

    Args:
        logits: float, N×rows×columns of the low-res grid.
    Returns:
        float, N×H×W.
    """
    scale = geometry.longer_side * LOW_RES_STRIDE / geometry.side
    # The factor is given, not the size, so that cells and pixels agree exactly; one cell more, as it rounds down.
    wider = F.pad(logits[:, None], (0, 1, 0, 1), mode="replicate")
    full = F.interpolate(wider, scale_factor=scale, mode="bilinear", align_corners=False)
    return full[:, 0, : geometry.height, : geometry.width]
