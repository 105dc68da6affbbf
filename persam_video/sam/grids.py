"""SAM's three grids, and resizing between them and frames.

SAM resizes an image so that its longer side is 1024 pixels, and pads it at the right and the bottom to a square. Three
grids cover this square:

- the input, 1024×1024 pixels,
- the low-res grid of masks and logits, 256×256 cells of 4×4 input pixels,
- the feature grid, 64×64 cells of 16×16 input pixels.

Of each grid only the upper left part that the image covers is computed, rounded up to whole cells of the feature grid
(`Geometry.grid`): padding costs as much as image. An image may also be resized to less than 1024 pixels, and then
covers less of the square. Between the encoder and the label map everything is in these grids, not in frame pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.frame import LARGE_FRAME_PIXELS

INPUT_SIZE = 1024
LOW_RES_SIZE = 256
FEATURE_SIZE = 64
LOW_RES_STRIDE = INPUT_SIZE // LOW_RES_SIZE

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True, slots=True)
class Geometry:
    """Part of SAM's grids that a frame covers, from their upper left corner.

    Args:
        height: of the frame, in pixels.
        width: of the frame, in pixels.
        side: longer side of the resized frame, in input pixels.
    """

    height: int
    width: int
    side: int = INPUT_SIZE

    @property
    def longer_side(self) -> int:
        return max(self.height, self.width)

    def grid(self, size: int) -> tuple[int, int]:
        """Rows and columns of the frame's part of the grid that has ``size`` cells along the side of the square:
        `INPUT_SIZE`, `LOW_RES_SIZE` or `FEATURE_SIZE`."""
        cells = FEATURE_SIZE * self.side // INPUT_SIZE
        rows, columns = (-(-each * cells // self.longer_side) for each in (self.height, self.width))
        return rows * (size // FEATURE_SIZE), columns * (size // FEATURE_SIZE)

    def input_size(self) -> tuple[int, int]:
        """Height and width of the resized frame in input pixels, rounded as SAM does."""
        scale = self.side / self.longer_side
        return max(1, int(self.height * scale + 0.5)), max(1, int(self.width * scale + 0.5))


def to_input(images: Tensor, side: int = INPUT_SIZE) -> Tensor:
    """Input of SAM's encoder: images resized, normalised, and padded with zeros to whole cells of the feature grid.

    Args:
        images: RGB, uint8, B×H×W×3, on any device.
        side: of `Geometry`.
    Returns:
        float32, B×3×rows×columns of the input (`Geometry.grid`).
    """
    geometry = Geometry(images.shape[1], images.shape[2], side)
    height, width = geometry.input_size()
    rows, columns = geometry.grid(INPUT_SIZE)
    pixels = images.permute(0, 3, 1, 2)
    # As floats, all channels of a large frame would fill memory.
    parts = torch.split(pixels, 1, dim=1) if images.shape[1] * images.shape[2] > LARGE_FRAME_PIXELS else [pixels]
    resized = [
        F.interpolate(part.float(), size=(height, width), mode="bilinear", antialias=True, align_corners=False)
        for part in parts
    ]
    pixels = torch.cat(resized, dim=1) if len(resized) > 1 else resized[0]
    for channel, mean, std in zip(pixels.unbind(1), PIXEL_MEAN, PIXEL_STD, strict=True):
        channel.sub_(mean).div_(std)  # Python numbers: a tensor would have to be copied to the device
    return F.pad(pixels, (0, columns - width, 0, rows - height))


def to_grid(masks: Tensor, size: int, side: int = INPUT_SIZE) -> Tensor:
    """Share of each cell of a grid that each mask covers.

    Args:
        masks: bool, N×H×W, in frame pixels; on the CPU, as not every device pools to any size.
        size: cells along the side of the square: `LOW_RES_SIZE` or `FEATURE_SIZE`.
        side: of `Geometry`.
    Returns:
        float32, N×rows×columns (`Geometry.grid`), 0 to 1.
    """
    height, width = masks.shape[-2:]
    longer = max(height, width)
    rows, columns = Geometry(height, width, side).grid(size)
    cells = size * side // INPUT_SIZE
    bands = []
    for row in range(rows):  # one by one: all masks of a 4K frame as floats would fill the memory
        top, bottom = row * longer // cells, -(-(row + 1) * longer // cells)
        padding = (0, longer - width, 0, max(0, bottom - height))
        bands.append(F.adaptive_avg_pool2d(F.pad(masks[:, top:bottom].float(), padding), (1, cells)))
    return torch.cat(bands, dim=1)[:, :, :columns]


def most_covered(coverage: Tensor) -> Tensor:
    """Cells of which a mask covers half or more; if there are none, those of which it covers most. Bool, N×h×w.

    Args:
        coverage: float, N×h×w, 0 to 1, from `to_grid`, above 0 in at least one cell.
    """
    most = coverage.flatten(1).amax(dim=1)[:, None, None]
    return coverage >= most.clamp(max=0.5)


def to_frame(logits: Tensor, geometry: Geometry) -> Tensor:
    """Logits of a frame, float, N×H×W: low-res logits, N×rows×columns, resized bilinearly."""
    # By the factor, not to the size, so that cells and pixels stay aligned; it rounds down, hence one more cell.
    wider = F.pad(logits[:, None], (0, 1, 0, 1), mode="replicate")
    full = F.interpolate(wider, scale_factor=_pixels_per_cell(geometry), mode="bilinear", align_corners=False)
    return full[:, 0, : geometry.height, : geometry.width]


def rows_to_frame(logits: Tensor, geometry: Geometry, rows: range) -> Tensor:
    """Some rows of what `to_frame` returns, to within rounding: float, N×len(rows)×W."""
    scale = _pixels_per_cell(geometry)
    cells = (torch.arange(rows.start, rows.stop, device=logits.device) + 0.5) / scale - 0.5
    cells = cells.clamp(0, logits.shape[1] - 1)
    upper = cells.long()
    lower = (upper + 1).clamp(max=logits.shape[1] - 1)
    strip = torch.lerp(logits[:, upper], logits[:, lower], (cells - upper)[:, None])
    wider = F.pad(strip[:, None], (0, 1, 0, 0), mode="replicate")
    full = F.interpolate(wider, scale_factor=(1.0, scale), mode="bilinear", align_corners=False)
    return full[:, 0, :, : geometry.width]


def _pixels_per_cell(geometry: Geometry) -> float:
    return geometry.longer_side * LOW_RES_STRIDE / geometry.side
