"""What the appearance classifier sees of a cell: SAM's features, and the cell's colours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.frame import Image
from persam_video.persam.target import unit_features
from persam_video.sam.image_encoder import Features
from persam_video.sam.preprocess import FEATURE_SIZE, INPUT_SIZE


def describe_cells(features: Features, image: Image) -> tuple[Tensor, Tensor]:
    """Both descriptions of every cell of a frame.

    Args:
        features: of the frame.
        image: the frame, RGB, uint8, H×W×3.
    Returns:
        unit features, float, cells×256, and colours, float, cells×6: mean and standard deviation of red, green and
        blue over the cell, 0 to 1. Row by row of the features' grid.
    """
    unit = unit_features(features).flatten(1).T
    geometry = features.geometry
    rows, columns = geometry.grid(FEATURE_SIZE)
    side, cells = geometry.longer_side, FEATURE_SIZE * geometry.side // INPUT_SIZE  # both of the frame's longer side
    # On the CPU, as not every device pools to any size.
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
    reached = (-(-rows * side // cells), -(-columns * side // cells))  # pixels that the cells cover
    pixels = F.pad(pixels, (0, reached[1] - image.shape[1], 0, reached[0] - image.shape[0]), mode="replicate")
    mean, square = (F.adaptive_avg_pool2d(each, (rows, columns))[0] for each in (pixels, pixels * pixels))
    deviation = (square - mean * mean).clamp(min=0).sqrt()
    return unit, torch.cat((mean, deviation)).flatten(1).T.to(unit.device)
