"""Boxes and points of masks and maps on the low-res grid, in pixels of SAM's input.

Coordinates are (x, y); as in SAM, (0, 0) is the centre of the first pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from persam_video.sam.grids import LOW_RES_STRIDE, Geometry

Boxes = tuple[Tensor, Tensor]
"""Boxes, float, N×4, XYXY, and whether each object has one, bool, N."""


def grow_boxes(boxes: Tensor, margin: float, geometry: Geometry) -> Tensor:
    """Boxes, float, N×4, XYXY in input pixels, grown by a margin on each side and clipped to the frame."""
    height, width = geometry.input_size()
    upper_left, lower_right = (boxes - margin).clamp(min=-0.5), boxes + margin
    (left, top, _, _), (_, _, right, bottom) = upper_left.unbind(1), lower_right.unbind(1)
    return torch.stack((left, top, right.clamp(max=width - 0.5), bottom.clamp(max=height - 0.5)), dim=1)


def boxes_of_masks(masks: Tensor) -> Boxes:
    """Boxes around masks, XYXY in input pixels; an empty mask has none.

    Args:
        masks: bool, N×rows×columns of the low-res grid.
    """
    sides = []
    for occupied in (masks.any(dim=1), masks.any(dim=2)):  # [N, columns], [N, rows]
        cell = torch.arange(occupied.shape[1], device=masks.device)
        first = torch.where(occupied, cell, occupied.shape[1]).amin(dim=1)
        last = torch.where(occupied, cell, -1).amax(dim=1)
        sides.append((first, last))
    (left, right), (top, bottom) = sides
    cells = torch.stack((left, top, right + 1, bottom + 1), dim=1)
    has_box = masks.flatten(1).any(dim=1)
    return torch.where(has_box[:, None], cells * LOW_RES_STRIDE, 0).float() - 0.5, has_box


def cell_centres(cells: Tensor) -> Tensor:
    """Centres, float, …×2, in input pixels, of cells of the low-res grid, int, …×2."""
    return (cells.float() + 0.5) * LOW_RES_STRIDE - 0.5


def argmax_cells(maps: Tensor) -> Tensor:
    """Cell with the highest value of each map, int, N×2, (x, y).

    Args:
        maps: float, N×h×w. Of confidence maps the result is the positive point of eq. 7, of negated ones the negative.
    """
    highest = maps.flatten(1).argmax(dim=1)
    return torch.stack((highest % maps.shape[2], highest // maps.shape[2]), dim=1)
