"""Window sums, dilation and pooling of maps, with a window size per map, without host-device synchronisation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.runtime.constants import device_constant
from persam_video.sam.boxes import argmax_cells


def window_sums(maps: Tensor, radii: Tensor) -> Tensor:
    """Sum of each map over the square window around every cell, float, …×N×h×w.

    Args:
        maps: float, N×h×w; zero beyond its border.
        radii: int, …×N: the windows' sides are 2×radius+1 cells.
    """
    rows, columns = (_distances(size, maps.device) <= radii[..., None, None] for size in maps.shape[1:])
    return rows.to(maps) @ maps @ columns.to(maps)


def dilate(masks: Tensor, radii: Tensor) -> Tensor:
    """Masks dilated by a square, bool, …×N×h×w.

    Args:
        masks: bool, N×h×w.
        radii: as for `window_sums`.
    """
    return window_sums(masks.float(), radii) > 0.5


def densest_cells(maps: Tensor, radii: Tensor) -> Tensor:
    """Cell of each map with the largest window sum, int, N×2, (x, y).

    Args: as for `window_sums`; the radii are N.
    """
    return argmax_cells(window_sums(maps, radii))


def pool(maps: Tensor, size: torch.Size) -> Tensor:
    """Mean of each map over the cells of a coarser grid, float, N×rows×columns."""
    factor = maps.shape[1] // size[0]
    return F.avg_pool2d(maps[:, None], factor)[:, 0]


@device_constant
def _distances(size: int) -> Tensor:
    """Distances between the cells of a line, int, size×size."""
    cell = torch.arange(size)
    return (cell[:, None] - cell).abs()
