"""Which places of a frame are likest to an object's own places in the first frame, and not to any others.

The confidence map (PerSAM eq. 6) is the mean of the maps of all local features (eq. 5), which tells where an object
is likely, but hardly where it is not. Of the same maps the highest decides here: a place matches an object if the
likest place of the first frame belongs to it. What matches is used three times: the location prior is taken there, of
SAM's three masks the one is kept that agrees with it, and a mask that it does not support means that the object has
left or is hidden.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.persam.target import Targets, unit_features
from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import Decoded
from persam_video.sam.preprocess import FEATURE_SIZE, LOW_RES_SIZE

PRESENCE = 0.25
"""The share of a mask that must match for its object to be there. Masks that SAM makes up for an absent object match
in some hundredths, true ones in more than half of their area, less for thin or changed objects."""


def match_maps(features: Features, targets: Targets) -> Tensor:
    """The places that match each object.

    Args:
        features: of the frame.
        targets: from `learn_targets`.
    Returns:
        bool, N×256×256, on the grid of the low-res logits.
    """
    inside = features.geometry.inside(FEATURE_SIZE, features.tensor.device)
    local = F.normalize(unit_features(features)[:, inside] - targets.centre[:, None], dim=0)  # [256, cells]
    highest = torch.stack([_highest(each, local) for each in (*targets.objects, targets.background)])  # [N+1, cells]
    grid = local.new_full((len(targets.objects), FEATURE_SIZE, FEATURE_SIZE), -1)
    for i in range(len(targets.objects)):
        others = torch.cat((highest[:i], highest[i + 1 :])).amax(dim=0)
        grid[i, inside] = highest[i] - others
    # Not only above 0: an object smaller than a cell may have it in common with another object.
    return F.interpolate(grid[:, None], size=LOW_RES_SIZE, mode="bilinear", align_corners=False)[:, 0] >= 0


def _highest(reference: Tensor, local: Tensor) -> Tensor:
    """The highest similarity of each place, 256×cells, to any of some local features, n×256; -1 if there is none."""
    if not len(reference):
        return local.new_full(local.shape[1:], -1)
    return (reference @ local).amax(dim=0)


def best_matching(answer: Decoded, matches: Tensor) -> tuple[Tensor, Tensor]:
    """Of SAM's three masks of each object, the one with the highest product of SAM's score and the intersection over
    union with what matches.

    Args:
        answer: SAM's, for N objects.
        matches: bool, N×256×256, from `match_maps`.
    Returns:
        logits, float, N×256×256, and SAM's scores of them, float, N.
    """
    masks, wanted = (answer.logits > 0).flatten(2).float(), matches.flatten(1).float()
    common = torch.einsum("nsc,nc->ns", masks, wanted)
    union = masks.sum(dim=2) + wanted.sum(dim=1, keepdim=True) - common
    choice = (answer.scores * common / union.clamp(min=1)).argmax(dim=1)
    every = torch.arange(len(choice), device=choice.device)
    return answer.logits[every, choice], answer.scores[every, choice]


def matching_share(masks: Tensor, matches: Tensor) -> Tensor:
    """The share of each mask that matches its object.

    Args:
        masks: bool, N×256×256.
        matches: bool, N×256×256, from `match_maps`.
    Returns:
        float, N, 0 to 1; 0 for an empty mask.
    """
    area = masks.flatten(1).sum(dim=1)
    return (masks & matches).flatten(1).sum(dim=1) / area.clamp(min=1)
