"""Window: the part of a frame that is encoded, and at how many pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.sam.grids import INPUT_SIZE, LOW_RES_SIZE, LOW_RES_STRIDE, Geometry

_FULL_DETAIL = 1.2
"""Input pixels per frame pixel up to which cells have their full weight: that of 480p at SAM's own size."""


@dataclass(frozen=True, slots=True)
class Window:
    """Rectangle of a frame, in frame pixels, and the size to which it is resized for the encoder.

    Args:
        left: first column.
        top: first row.
        width: number of columns.
        height: number of rows.
        side: longer side of the resized window, in input pixels: a multiple of 16, at most `INPUT_SIZE`.
        frame_width: of the frame.
        frame_height: of the frame.
    """

    left: int
    top: int
    width: int
    height: int
    side: int
    frame_width: int
    frame_height: int

    @classmethod
    def whole(cls, shape: Sequence[int], side: int = INPUT_SIZE) -> Window:
        """Window that is a whole frame, whose shape, H×W or H×W×3, is given."""
        height, width = shape[:2]
        return cls(0, 0, width, height, side, width, height)

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole frame."""
        return (self.width, self.height) == (self.frame_width, self.frame_height)

    @property
    def geometry(self) -> Geometry:
        """Part of SAM's grids that the window covers."""
        return Geometry(self.height, self.width, self.side)

    @property
    def scale(self) -> float:
        """Input pixels per frame pixel."""
        return self.side / max(self.width, self.height)

    @property
    def cell_weight(self) -> float:
        """Independent information in a cell of its grids, 0 to 1, relative to cells of whole frames: beyond the video's
        own resolution, cells show less of it the smaller they are."""
        whole_scale = INPUT_SIZE / max(self.frame_width, self.frame_height)
        return min(1.0, max(_FULL_DETAIL, whole_scale) ** 2 / self.scale**2)

    @property
    def input_pixels(self) -> float:
        """Number of pixels that are encoded."""
        return self.width * self.height * self.scale**2

    def crop(self, pixels: Any) -> Any:
        """View of the window's part of an array or tensor, H×W or H×W×3."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]

    def crop_masks(self, masks: Tensor) -> Tensor:
        """View of the window's part of masks, N×H×W."""
        return masks[:, self.top : self.top + self.height, self.left : self.left + self.width]


def area_ratio(old: Window, new: Window) -> float:
    """Number of cells of a new window's grids per cell of an old one's. Of frames of another size it is as if the image
    had been stretched."""
    old_cells, new_cells = (each.scale**2 * each.frame_width * each.frame_height for each in (old, new))
    return new_cells / old_cells


def resample(maps: Tensor, old: Window, new: Window) -> Tensor:
    """Maps of one window's low-res grid on that of another: float, N×rows×columns, 0 beyond the old window.

    Args:
        maps: float, N×rows×columns of the old window.
    """
    rows, columns = new.geometry.grid(LOW_RES_SIZE)
    height, width = maps.shape[1:]
    x = _positions(columns, new.left, new.scale, old.left, old.scale, old.frame_width / new.frame_width)
    y = _positions(rows, new.top, new.scale, old.top, old.scale, old.frame_height / new.frame_height)
    grid = torch.stack(((2 * x / width - 1).expand(rows, -1), (2 * y / height - 1)[:, None].expand(-1, columns)), dim=2)
    return F.grid_sample(maps[None], grid[None].to(maps), padding_mode="zeros", align_corners=False)[0]


def move_boxes(boxes: Tensor, old: Window, new: Window) -> Tensor:
    """Boxes, float, N×4, XYXY in input pixels of one window, in those of another of the same frame size."""
    old_start = torch.tensor([old.left, old.top] * 2, dtype=boxes.dtype, device=boxes.device)
    new_start = torch.tensor([new.left, new.top] * 2, dtype=boxes.dtype, device=boxes.device)
    # (0, 0) is the centre of the first pixel.
    return ((boxes + 0.5) / old.scale + old_start - new_start) * new.scale - 0.5


def _positions(
    cells: int, new_start: int, new_scale: float, old_start: int, old_scale: float, stretch: float
) -> Tensor:
    """Positions of the centres of a new window's low-res cells, along one side, in cells of an old window: float."""
    pixels = new_start + (torch.arange(cells) + 0.5) * LOW_RES_STRIDE / new_scale
    return (pixels * stretch - old_start) * old_scale / LOW_RES_STRIDE
