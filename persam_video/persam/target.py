"""What is known of the objects from the first frame (PerSAM eq. 3, 4 and 9)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.sam.image_encoder import Features
from persam_video.sam.preprocess import FEATURE_SIZE, INPUT_SIZE, to_grid


def learn_embeddings(features: Features, masks: Tensor) -> Tensor:
    """What stands for each object of a first frame.

    Args:
        features: of the first frame.
        masks: bool, N×H×W, in frame pixels, on the CPU; none is empty.
    Returns:
        float, N×256, of unit length.
    """
    cells = foreground_cells(masks, features.geometry.side).to(features.tensor.device)
    return torch.stack([embed(features.tensor[0][:, each]) for each in cells])


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
    """The features, every cell's of length 1 ("pixel-wisely L2-normalized", eq. 5): float, 256×rows×columns."""
    return F.normalize(features.tensor[0], dim=0)
