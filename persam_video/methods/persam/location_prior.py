"""Where each object is likely to be (PerSAM eq. 5-7)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.sam.grids import LOW_RES_SIZE
from persam_video.sam.image_encoder import Features, unit_features


def similarities(features: Features, embeddings: Tensor) -> Tensor:
    """How much every place of a picture looks like each object: the cosine similarity of its unit features to what
    stands for the object's (eq. 5, 6; see `target.embed`).

    Args:
        features: of the picture.
        embeddings: float, N×256, of unit length.
    Returns:
        float, N×rows×columns of the features' grid, -1 to 1.
    """
    return torch.einsum("nc,chw->nhw", embeddings, unit_features(features))


def confidence_maps(features: Features, embeddings: Tensor) -> Tensor:
    """The `similarities` on the low-res grid: float, N×rows×columns."""
    size = features.geometry.grid(LOW_RES_SIZE)
    maps = similarities(features, embeddings)[:, None]
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)[:, 0]
