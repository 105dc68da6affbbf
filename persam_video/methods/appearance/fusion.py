"""What the classifier, the flow and SAM say together, each of which is doubted.

SAM knows where things end but not which thing is meant; the classifier knows which but only coarsely where; the flow
carries what was found before, with its mistakes. All three give log-odds for every place, which are added, each within
a limit, so that none decides alone against a clear word of another. SAM is prompted with what the other two say.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from persam_video.methods.appearance.descriptors import Colours
from persam_video.methods.appearance.motion_prior import Whereabouts
from persam_video.methods.appearance.residuals import Places
from persam_video.methods.appearance.settings import Settings
from persam_video.methods.appearance.windows import densest_cells
from persam_video.sam.boxes import boxes_of_masks, cell_centres, grow_boxes
from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import MaskDecoder
from persam_video.sam.object_masks import argmax_masks, softmax_with_background
from persam_video.sam.prompt_encoder import POSITIVE, Prompts

_POSSIBLE = -2.0
"""Log-odds of places that may well be the object's."""


@dataclass(frozen=True, eq=False, slots=True)
class Consensus:
    """What all say of N objects in a frame.

    Args:
        logits: float, N×h×w of the low-res grid: log-odds.
        expected: float, N: the IoU that SAM expects.
        places: what the errors of the logits depend on.
        regions: bool, N×h×w: where errors may be corrected.
    """

    logits: Tensor
    expected: Tensor
    places: Places
    regions: Tensor


def consult(
    decode: MaskDecoder,
    features: Features,
    colours: Colours,
    evidence: Tensor,
    whereabouts: Whereabouts,
    settings: Settings,
) -> Consensus:
    """Ask all of a frame.

    Args:
        colours: of the low-res grid.
        evidence: float, N×h×w: the classifier's log-odds.
        whereabouts: before this frame.
    """
    away = whereabouts.absent[:, None, None]
    near_by = whereabouts.near_by
    appearance = evidence.clamp(-settings.least_appearance, settings.most_appearance)
    appearance = torch.where(near_by | away, appearance, appearance.clamp(max=settings.out_of_reach))
    motion = settings.motion_weight * whereabouts.carried.logit().clamp(-settings.most_motion, settings.most_motion)
    prior = appearance + torch.where(away, 0, motion)
    said, expected = _ask_sam(decode, features, prior, whereabouts.areas, settings)
    logits = said + prior
    return Consensus(logits, expected, Places.of(colours, said, prior, settings), near_by | (logits > _POSSIBLE))


def _ask_sam(
    decode: MaskDecoder, features: Features, prior: Tensor, areas: Tensor, settings: Settings
) -> tuple[Tensor, Tensor]:
    """What SAM says, asked with what the others say: log-odds, float, N×h×w, and the IoU that it expects, float, N."""
    said = torch.zeros_like(prior)
    expected = prior.new_zeros(len(prior))
    for _ in range(settings.decodes):
        answer = decode(features, _prompts(features, said + prior, areas, settings))
        # SAM's three masks are of the whole, the part and the subpart: their mean is none of them, but steady.
        said = answer.logits.mean(dim=1).clamp(-settings.most_sam, settings.most_sam)
        expected = answer.scores.amax(dim=1).clamp(0, 1)
    return said, expected


def _prompts(features: Features, logits: Tensor, areas: Tensor, settings: Settings) -> Prompts:
    found = softmax_with_background(logits)
    boxes, has_box = boxes_of_masks(argmax_masks(logits))
    points = densest_cells(found, (areas.sqrt() / 4).long())
    return Prompts(
        points=cell_centres(points)[:, None],
        labels=torch.full((len(found), 1), POSITIVE, device=found.device),
        boxes=grow_boxes(boxes, settings.box_margin, features.geometry),
        has_box=has_box,
        masks=found.logit(),
    )
