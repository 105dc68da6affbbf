"""What is known of the objects from their reference (PerSAM eq. 3, 4 and 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.sam.grids import FEATURE_SIZE, INPUT_SIZE, most_covered, to_grid
from persam_video.sam.image_encoder import Features


@dataclass(frozen=True, eq=False, slots=True)
class Targets:
    """What is known of N objects.

    Args:
        embeddings: float, N×256, of unit length: what features are compared with (see `embed`).
        semantics: float, N×256: the mean of the local features, T_R of eq. 9.
        scale_weights: float, N×3: how SAM's three masks are weighed (eq. 11).
    """

    embeddings: Tensor
    semantics: Tensor
    scale_weights: Tensor

    @classmethod
    def of_none(cls, device: torch.device) -> Targets:
        """Those of no object."""
        return cls(*(torch.empty(0, size, device=device) for size in (256, 256, 3)))

    @classmethod
    def join(cls, several: Sequence[Targets]) -> Targets:
        """The objects of all, one after another."""
        return cls(*(torch.cat([getattr(each, field.name) for each in several]) for field in fields(cls)))

    def select(self, indices: Tensor) -> Targets:
        """Some of the objects."""
        return Targets(self.embeddings[indices], self.semantics[indices], self.scale_weights[indices])

    @classmethod
    def pool(cls, several: Sequence[Targets]) -> Targets:
        """What several pictures tell of the same objects: their mean."""
        means = (torch.stack([getattr(each, field.name) for each in several]).mean(dim=0) for field in fields(cls))
        embeddings, semantics, scale_weights = means
        return cls(F.normalize(embeddings, dim=1), semantics, scale_weights)


def learn_embeddings(features: Features, masks: Tensor) -> tuple[Tensor, Tensor]:
    """What stands for each object of a picture in which it is given.

    Args:
        features: of the picture.
        masks: bool, N×H×W, in frame pixels, on the CPU; none is empty.
    Returns:
        embeddings and semantics of `Targets`, float, N×256 each.
    """
    cells = foreground_cells(masks, features.geometry.side).to(features.tensor.device)
    local = [features.tensor[0][:, each] for each in cells]
    return torch.stack([embed(each) for each in local]), torch.stack([each.mean(dim=1) for each in local])


def embed(local_features: Tensor) -> Tensor:
    """One vector for all local features of an object.

    By eq. 5, 6 and 9 it would be their mean, as the mean of their confidence maps is the map of their mean. The
    published code takes half the mean and half the maximum of every channel, which keeps more of what only a part of
    the object has, and finds objects better (measured with `persam-davis`).

    Args:
        local_features: float, 256×n (eq. 4).
    Returns:
        float, 256, of unit length.
    """
    return F.normalize(local_features.mean(dim=1) + local_features.amax(dim=1), dim=0)


def foreground_cells(masks: Tensor, side: int = INPUT_SIZE) -> Tensor:
    """The cells of the feature grid that belong to each object: those it covers by half or more.

    An object too small or too thin for any gets the cell that it covers most.

    Args:
        masks: bool, N×H×W, in frame pixels.
        side: of the frame's `Geometry`.
    Returns:
        bool, N×rows×columns of the features' grid.
    """
    return most_covered(to_grid(masks, FEATURE_SIZE, side))
