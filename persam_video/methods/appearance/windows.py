"""Sums and means over parts of a grid, as large for each object as it asks for, without leaving the device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.runtime.constants import device_constant
from persam_video.sam.boxes import argmax_cells


def window_sums(maps: Tensor, radii: Tensor) -> Tensor:
    """The sum of each map over the square around every cell.

    Args:
        maps: float, N×h×w.
        radii: int, …×N: the squares' sides are 2×radius+1 cells.
    Returns:
        float, …×N×h×w; outside the map there is nothing.
    """
    rows, columns = (_distances(size, maps.device) <= radii[..., None, None] for size in maps.shape[1:])
    return rows.to(maps) @ maps @ columns.to(maps)


def near(masks: Tensor, radii: Tensor) -> Tensor:
    """The cells in whose square there is any of a mask, bool, N×h×w; radii as for `window_sums`: bool, …×N×h×w."""
    return window_sums(masks.float(), radii) > 0.5


def densest_cells(maps: Tensor, radii: Tensor) -> Tensor:
    """The cell of each map, float, N×h×w, in whose square there is most: int, N×2, (x, y)."""
    return argmax_cells(window_sums(maps, radii))


def pool(maps: Tensor, size: torch.Size) -> Tensor:
    """The mean of each map over the cells of a coarser grid, float, N×rows×columns."""
    factor = maps.shape[1] // size[0]
    return F.avg_pool2d(maps[:, None], factor)[:, 0]


@device_constant
def _distances(size: int) -> Tensor:
    """How far so many cells in a line are from one another: int, size×size."""
    cell = torch.arange(size)
    return (cell[:, None] - cell).abs()
