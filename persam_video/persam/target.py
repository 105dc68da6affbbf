"""What is known of the objects from the first frame (PerSAM eq. 3, 4 and 9)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.sam.image_encoder import Features
from persam_video.sam.preprocess import FEATURE_SIZE, to_grid


@dataclass(frozen=True, eq=False, slots=True)
class Targets:
    """What the first frame tells of N objects.

    Args:
        embeddings: float, N×256, of unit length: one vector that stands for all local features of an object.
        centre: float, 256: the mean of all local features of the first frame.
        objects: for each object its local features (eq. 4), less ``centre``, of unit length: float, n×256 each.
        background: the same of all cells that belong to no object: float, n×256.
    """

    embeddings: Tensor
    centre: Tensor
    objects: tuple[Tensor, ...]
    background: Tensor


def learn_targets(features: Features, masks: Tensor, ignored: Tensor | None = None) -> Targets:
    """The targets of a first frame.

    Args:
        features: of the first frame.
        masks: bool, N×H×W, in frame pixels, on the CPU; none is empty.
        ignored: bool, H×W: what is neither object nor background.
    """
    inside = features.geometry.inside(FEATURE_SIZE, features.tensor.device)
    local = unit_features(features)[:, inside].T  # [R, 256]
    belongs = foreground_cells(masks).to(inside.device)[:, inside]
    centre = local.mean(dim=0)
    distinct = F.normalize(local - centre, dim=1)
    is_background = ~belongs.any(dim=0)
    if ignored is not None:
        is_background &= (to_grid(ignored[None], FEATURE_SIZE)[0].to(inside.device) < 0.5)[inside]
    return Targets(
        embeddings=torch.stack([embed(features.tensor[0][:, inside][:, each]) for each in belongs]),
        centre=centre,
        objects=tuple(distinct[each] for each in belongs),
        background=distinct[is_background],
    )


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


def foreground_cells(masks: Tensor) -> Tensor:
    """The cells of the feature grid that belong to each object: those it covers by half or more.

    An object too small or too thin for any gets the cell that it covers most.

    Args:
        masks: bool, N×H×W, in frame pixels.
    Returns:
        bool, N×64×64.
    """
    return most_covered(to_grid(masks, FEATURE_SIZE))


def most_covered(coverage: Tensor) -> Tensor:
    """The cells that are covered by half or more, or where there is none, by most.

    Args:
        coverage: float, N×h×w, 0 to 1, somewhere above 0.
    Returns:
        bool, N×h×w.
    """
    most = coverage.flatten(1).amax(dim=1)[:, None, None]
    return coverage >= most.clamp(max=0.5)


def unit_features(features: Features) -> Tensor:
    """The features with every cell's vector of length 1, float, 256×64×64 ("pixel-wisely L2-normalized", eq. 5)."""
    return F.normalize(features.tensor[0], dim=0)
