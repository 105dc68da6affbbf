"""Sums and means over parts of a grid, as large for each object as it asks for, without leaving the device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.persam.location_prior import location_prior


def window_sums(maps: Tensor, radii: Tensor) -> Tensor:
    """The sum of each map over the square around every cell.

    Args:
        maps: float, N×h×w.
        radii: int, N: the squares' sides are 2×radius+1 cells.
    Returns:
        float, N×h×w; outside the map there is nothing.
    """
    height, width = maps.shape[1:]
    table = F.pad(maps, (1, 0, 1, 0)).cumsum(dim=1).cumsum(dim=2)  # summed-area table, [N, h+1, w+1]

    def ends(size: int) -> tuple[Tensor, Tensor]:
        cell = torch.arange(size, device=maps.device)
        return (cell - radii[:, None]).clamp(min=0), (cell + radii[:, None] + 1).clamp(max=size)

    (top, bottom), (left, right) = ends(height), ends(width)
    rows = [table.gather(1, edge[:, :, None].expand(-1, -1, width + 1)) for edge in (bottom, top)]
    strips = rows[0] - rows[1]
    across = [strips.gather(2, edge[:, None, :].expand(-1, height, -1)) for edge in (right, left)]
    return across[0] - across[1]


def near(masks: Tensor, radii: Tensor) -> Tensor:
    """The cells in whose square (see `window_sums`) there is any of a mask, bool, N×h×w."""
    return window_sums(masks.float(), radii) > 0.5


def densest_cells(maps: Tensor, radii: Tensor) -> Tensor:
    """The cell of each map, float, N×h×w, in whose square there is most: int, N×2, (x, y)."""
    return location_prior(window_sums(maps, radii))


def pool(maps: Tensor, size: torch.Size) -> Tensor:
    """The mean of each map over the cells of a coarser grid, float, N×rows×columns."""
    factor = maps.shape[1] // size[0]
    return F.avg_pool2d(maps[:, None], factor)[:, 0]
