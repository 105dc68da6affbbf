"""Fusion of the classifier, the optical flow and SAM.

SAM finds outlines but not identities; the classifier finds identities, but coarsely; the flow propagates the masks of
the previous frame with their errors. Each gives log-odds for every cell of the low-res grid, which are clamped, so that
none of them overrules clear evidence of another, and added. SAM is prompted with the sum of the other two.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from persam_video.methods.appearance.descriptors import Colours
from persam_video.methods.appearance.motion_prior import MotionPrior
from persam_video.methods.appearance.residuals import ResidualInputs
from persam_video.methods.appearance.settings import Settings
from persam_video.methods.appearance.windows import densest_cells
from persam_video.sam.boxes import boxes_of_masks, cell_centres, grow_boxes
from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import MaskDecoder
from persam_video.sam.object_masks import argmax_masks, softmax_with_background
from persam_video.sam.prompt_encoder import POSITIVE, Prompts

_MIN_CORRECTED_LOGIT = -2.0
"""Cells out of the search region are corrected above these log-odds."""


@dataclass(frozen=True, eq=False, slots=True)
class Fused:
    """Fused masks of N objects in a frame.

    Args:
        logits: float, N×h×w of the low-res grid: log-odds.
        iou_predictions: float, N, 0 to 1: the highest IoU that SAM predicts.
        residual_inputs: inputs of the residual model.
        regions: bool, N×h×w: cells that the residual model may correct.
    """

    logits: Tensor
    iou_predictions: Tensor
    residual_inputs: ResidualInputs
    regions: Tensor


def fuse(
    decode: MaskDecoder,
    features: Features,
    colours: Colours,
    evidence: Tensor,
    motion: MotionPrior,
    settings: Settings,
) -> Fused:
    """Fused masks of all objects in a frame.

    Args:
        colours: of the frame, on the low-res grid.
        evidence: float, N×h×w: the classifier's log-odds.
        motion: prior of the frame.
    """
    was_absent = motion.absent[:, None, None]
    search_region = motion.search_region
    appearance = evidence.clamp(-settings.max_negative_log_odds, settings.max_positive_log_odds)
    out_of_reach = appearance.clamp(max=settings.max_log_odds_out_of_reach)
    appearance = torch.where(search_region | was_absent, appearance, out_of_reach)
    propagated = motion.propagated.logit().clamp(-settings.max_motion_log_odds, settings.max_motion_log_odds)
    prior = appearance + torch.where(was_absent, 0, settings.motion_weight * propagated)
    sam_logits, iou_predictions = _prompt_sam(decode, features, prior, motion.areas, settings)
    logits = sam_logits + prior
    residual_inputs = ResidualInputs.of(colours, sam_logits, prior, settings)
    return Fused(logits, iou_predictions, residual_inputs, search_region | (logits > _MIN_CORRECTED_LOGIT))


def _prompt_sam(
    decode: MaskDecoder, features: Features, prior: Tensor, areas: Tensor, settings: Settings
) -> tuple[Tensor, Tensor]:
    """SAM's log-odds, float, N×h×w, and predicted IoU, float, N, for prompts of the prior."""
    sam_logits = torch.zeros_like(prior)
    iou_predictions = prior.new_zeros(len(prior))
    for _ in range(settings.decodes):
        output = decode(features, _prompts(features, sam_logits + prior, areas, settings))
        # The mean of SAM's three masks (whole, part, subpart) is steadier than the choice of one of them.
        sam_logits = output.logits.mean(dim=1).clamp(-settings.max_sam_log_odds, settings.max_sam_log_odds)
        iou_predictions = output.iou_predictions.amax(dim=1).clamp(0, 1)
    return sam_logits, iou_predictions


def _prompts(features: Features, logits: Tensor, areas: Tensor, settings: Settings) -> Prompts:
    """A point in the densest part of each object, its box and its mask."""
    probabilities = softmax_with_background(logits)
    boxes, has_box = boxes_of_masks(argmax_masks(logits))
    points = densest_cells(probabilities, (areas.sqrt() / 4).long())
    return Prompts(
        points=cell_centres(points)[:, None],
        labels=torch.full((len(logits), 1), POSITIVE, device=logits.device),
        boxes=grow_boxes(boxes, settings.box_margin, features.geometry),
        has_box=has_box,
        masks=probabilities.logit(),
    )
