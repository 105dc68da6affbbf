"""From masks and cells of the low-res grid to the points and boxes that SAM is prompted with.

Coordinates are (x, y) in pixels of SAM's input, counted as SAM does: the centre of the first pixel is (0, 0).
"""

from __future__ import annotations

import torch
from torch import Tensor

from persam_video.sam.image_encoder import Features
from persam_video.sam.preprocess import LOW_RES_STRIDE, Geometry
from persam_video.sam.prompt_encoder import NEGATIVE, NO_POINT, POSITIVE, Prompts
from persam_video.sam.two_way_transformer import Guidance

BOX_MARGIN = 12.0
"""How far the previous box is grown on each side, in pixels of SAM's input: the published 10 pixels of a frame 854
wide."""


Boxes = tuple[Tensor, Tensor]
"""Boxes, float, N×4, XYXY, and whether there is one, bool, N."""


def prior_prompts(
    positive: Tensor, negative: Tensor | None, boxes: Boxes | None, guidance: Guidance | None, features: Features
) -> Prompts:
    """What SAM is asked first: the location prior, and in a video the box and its centre of the frame before.

    Args:
        positive: int, N×2, (x, y) cells of the low-res grid, from `location_prior`.
        negative: likewise, where each object is surely not; or None.
        boxes: of the frame before; None for a picture by itself.
        features: of the new frame; the boxes are grown, but not out of it.
    """
    points = [centres_of_cells(positive)]
    labels = [torch.full_like(positive[:, 0], POSITIVE)]
    if negative is not None:
        points.append(centres_of_cells(negative))
        labels.append(torch.full_like(negative[:, 0], NEGATIVE))
    grown = has_box = None
    if boxes is not None:
        corners, has_box = boxes
        grown = grow_boxes(corners, BOX_MARGIN, features.geometry)
        points.append((grown[:, :2] + grown[:, 2:]) / 2)
        labels.append(torch.where(has_box, POSITIVE, NO_POINT))
    return Prompts(torch.stack(points, dim=1), torch.stack(labels, dim=1), grown, has_box, guidance=guidance)


def grow_boxes(boxes: Tensor, margin: float, geometry: Geometry) -> Tensor:
    """Boxes, float, N×4, XYXY in pixels of SAM's input, grown on each side, but not out of the frame."""
    height, width = geometry.input_size()
    least, most = (boxes - margin).clamp(min=-0.5), boxes + margin
    (left, top, _, _), (_, _, right, bottom) = least.unbind(1), most.unbind(1)
    return torch.stack((left, top, right.clamp(max=width - 0.5), bottom.clamp(max=height - 0.5)), dim=1)


def boxes_of(masks: Tensor) -> Boxes:
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
