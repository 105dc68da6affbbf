"""Prompts from the location prior and the previous boxes.

Coordinates are (x, y) in pixels of SAM's input, in SAM's convention: the centre of the first pixel is (0, 0).
"""

from __future__ import annotations

import torch
from torch import Tensor

from persam_video.sam.boxes import Boxes, cell_centres, grow_boxes
from persam_video.sam.image_encoder import Features
from persam_video.sam.prompt_encoder import NEGATIVE, NO_POINT, POSITIVE, Prompts
from persam_video.sam.two_way_transformer import Guidance

BOX_MARGIN = 12.0
"""Margin added to each side of the previous box, in pixels of SAM's input: the published 10 pixels of a frame 854
wide."""


def prior_prompts(
    positive: Tensor, negative: Tensor | None, boxes: Boxes | None, guidance: Guidance | None, features: Features
) -> Prompts:
    """Prompts of the first decode: the location prior (eq. 7), and in a video the previous box and its centre.

    Args:
        positive: int, N×2, (x, y) cells of the low-res grid: the maxima of the confidence maps.
        negative: int, N×2, their minima; or None.
        boxes: of the previous frame; None for a single image.
        features: of the image; the grown boxes are clamped to it.
    """
    points = [cell_centres(positive)]
    labels = [torch.full_like(positive[:, 0], POSITIVE)]
    if negative is not None:
        points.append(cell_centres(negative))
        labels.append(torch.full_like(negative[:, 0], NEGATIVE))
    grown = has_box = None
    if boxes is not None:
        corners, has_box = boxes
        grown = grow_boxes(corners, BOX_MARGIN, features.geometry)
        points.append((grown[:, :2] + grown[:, 2:]) / 2)
        labels.append(torch.where(has_box, POSITIVE, NO_POINT))
    return Prompts(torch.stack(points, dim=1), torch.stack(labels, dim=1), grown, has_box, guidance=guidance)
