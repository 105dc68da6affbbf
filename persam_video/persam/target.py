"""What is known of the objects from the first frame (PerSAM eq. 3, 4 and 9)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.sam.image_encoder import Features
from persam_video.sam.preprocess import FEATURE_SIZE, to_grid


def foreground_cells(masks: Tensor) -> Tensor:
    """The cells of the feature grid that belong to each object: those it covers by half or more.

    An object too small or too thin for any gets the cell that it covers most.

    Args:
        masks: bool, N×H×W, in frame pixels.
    Returns:
        bool, N×64×64.
    """
    coverage = to_grid(masks, FEATURE_SIZE)
    most = coverage.flatten(1).amax(dim=1)[:, None, None]
    return (coverage >= most.clamp(max=0.5)) & (coverage > 0)


def unit_features(features: Features) -> Tensor:
    """The features with every cell's vector of length 1, float, 256×64×64 ("pixel-wisely L2-normalized", eq. 5)."""
    return F.normalize(features.tensor[0], dim=0)


def target_embeddings(features: Features, masks: Tensor) -> Tensor:
    """The mean of the local features of each object (eq. 4, 9), of unit length each.

    The mean of the confidence maps of all local features (eq. 6) is the map of their mean, so that this one vector is
    all that is needed of them.

    Args:
        features: of the first frame.
        masks: bool, N×H×W, in frame pixels; none is empty.
    Returns:
        float, N×256.
    """
    cells = foreground_cells(masks).flatten(1).to(torch.float32)  # [N, 64*64]
    local = unit_features(features).flatten(1)  # [256, 64*64]
    return cells @ local.T / cells.sum(dim=1, keepdim=True)
