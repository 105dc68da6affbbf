"""Targets: what PerSAM takes from the reference image and its masks (eq. 3, 4 and 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.methods.state_check import Shape
from persam_video.sam.grids import FEATURE_SIZE, INPUT_SIZE, most_covered, to_grid
from persam_video.sam.image_encoder import Features

STATE_SHAPES: dict[str, Shape] = {
    "embeddings": ("objects", 256),
    "semantics": ("objects", 256),
    "scale_weights": ("objects", 3),
}
"""Shapes of `Targets`."""


@dataclass(frozen=True, eq=False, slots=True)
class Targets:
    """N targets.

    Args:
        embeddings: float, N×256, of unit length: what features are compared with (`target_embedding`).
        semantics: float, N×256: mean of the local features, T_R of eq. 9.
        scale_weights: float, N×3: weights of SAM's three masks (eq. 11).
    """

    embeddings: Tensor
    semantics: Tensor
    scale_weights: Tensor

    @classmethod
    def empty(cls, device: torch.device) -> Targets:
        """No targets."""
        return cls(*(torch.empty(0, size, dtype=torch.float32, device=device) for size in (256, 256, 3)))

    @classmethod
    def concatenate(cls, parts: Sequence[Targets]) -> Targets:
        """Targets of different objects, in order."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def select(self, rows: Tensor) -> Targets:
        """Targets of some rows, int64."""
        return Targets(self.embeddings[rows], self.semantics[rows], self.scale_weights[rows])

    @classmethod
    def pool(cls, references: Sequence[Targets]) -> Targets:
        """Mean of the targets of the same objects in several reference images."""
        means = (torch.stack([getattr(each, field.name) for each in references]).mean(dim=0) for field in fields(cls))
        embeddings, semantics, scale_weights = means
        return cls(F.normalize(embeddings, dim=1), semantics, scale_weights)


def extract_embeddings(features: Features, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Embeddings and semantics (`Targets`) of the objects in a reference image, float, N×256 each.

    Args:
        features: of the image.
        masks: bool, N×H×W, in image pixels, on the CPU; none is empty.
    """
    cells = foreground_cells(masks, features.geometry.side).to(features.tensor.device)
    local = [features.tensor[0][:, each] for each in cells]
    return torch.stack([target_embedding(each) for each in local]), torch.stack([each.mean(dim=1) for each in local])


def target_embedding(local_features: Tensor) -> Tensor:
    """One vector that stands for all local features of an object.

    By eq. 5 and 6 it would be the mean of the unit features, as the mean of their confidence maps is the map of their
    mean. The published code takes the mean plus the maximum of every channel instead, which keeps more of the object's
    parts and is more accurate (measured with `persam-davis`).

    Args:
        local_features: float, 256×n (eq. 4).
    Returns:
        float, 256, of unit length.
    """
    return F.normalize(local_features.mean(dim=1) + local_features.amax(dim=1), dim=0)


def foreground_cells(masks: Tensor, side: int = INPUT_SIZE) -> Tensor:
    """Cells of the feature grid that each object covers by half or more; where there is none, the one it covers most.

    Args:
        masks: bool, N×H×W, in image pixels.
        side: of the image's `Geometry`.
    Returns:
        bool, N×rows×columns of the feature grid.
    """
    return most_covered(to_grid(masks, FEATURE_SIZE, side))
