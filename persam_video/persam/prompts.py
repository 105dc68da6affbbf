"""From masks and cells of the low-res grid to the points and boxes that SAM is prompted with.

Coordinates are (x, y) in pixels of SAM's input, counted as SAM does: the centre of the first pixel is (0, 0).
"""

from __future__ import annotations

import torch
from torch import Tensor

from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import NO_POINT, POSITIVE, Prompts
from persam_video.sam.preprocess import LOW_RES_STRIDE, Geometry

BOX_MARGIN = 12.0
"""How far the previous box is grown on each side, in pixels of SAM's input: the published 10 pixels of a frame 854
wide."""


def frame_prompts(points: Tensor, boxes: Tensor, has_box: Tensor, features: Features) -> Prompts:
    """What SAM is asked for a new frame: the location prior, and the box and its centre of the frame before.

    Args:
        points: int, N×2, (x, y) cells of the low-res grid, from `location_prior`.
        boxes: float, N×4, XYXY, of the frame before.
        has_box: bool, N: whether the object was seen in the frame before.
        features: of the new frame; the boxes are grown, but not out of it.
    """
    grown = grow_boxes(boxes, BOX_MARGIN, features.geometry)
    centres = (grown[:, :2] + grown[:, 2:]) / 2
    prior_labels = torch.full_like(has_box, POSITIVE, dtype=torch.int)
    centre_labels = torch.where(has_box, POSITIVE, NO_POINT)
    return Prompts(
        points=torch.stack((centres_of_cells(points), centres), dim=1),
        labels=torch.stack((prior_labels, centre_labels), dim=1),
        boxes=grown,
        has_box=has_box,
    )


def grow_boxes(boxes: Tensor, margin: float, geometry: Geometry) -> Tensor:
    """Boxes, float, N×4, XYXY in pixels of SAM's input, grown on each side, but not out of the frame."""
    height, width = geometry.input_size()
    sides = boxes.new_tensor([-margin, -margin, margin, margin])
    limit = boxes.new_tensor([width, height, width, height]) - 0.5
    return torch.minimum((boxes + sides).clamp(min=-0.5), limit)


def boxes_of(masks: Tensor) -> tuple[Tensor, Tensor]:
    """The boxes around masks, on the grid of the low-res logits.

    Args:
        masks: bool, N×rows×columns.
    Returns:
        boxes, float, N×4, XYXY in pixels of SAM's input, and bool, N: whether there is one (an empty mask has none).
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
    return torch.where(has_box[:, None], cells * LOW_RES_STRIDE, 0) - 0.5, has_box


def centres_of_cells(cells: Tensor) -> Tensor:
    """Cells of the low-res grid, int, …×2, as points in pixels of SAM's input, float."""
    return (cells + 0.5) * LOW_RES_STRIDE - 0.5
