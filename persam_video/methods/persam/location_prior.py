"""Location confidence maps (PerSAM eq. 5-6)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.sam.grids import LOW_RES_SIZE, Geometry
from persam_video.sam.image_encoder import Features, unit_features


def confidence_maps(features: Features, embeddings: Tensor) -> Tensor:
    """Confidence map of each target: cosine similarity of an image's features and the target's embedding (eq. 5-6).

    Args:
        features: of the image.
        embeddings: float, N×256, of unit length (`Targets`).
    Returns:
        float, N×rows×columns of the feature grid, -1 to 1.
    """
    return torch.einsum("nc,chw->nhw", embeddings, unit_features(features))


def to_low_res(maps: Tensor, geometry: Geometry) -> Tensor:
    """Maps of the feature grid, float, N×h×w, resized to the low-res grid, bilinear."""
    size = geometry.grid(LOW_RES_SIZE)
    return F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
