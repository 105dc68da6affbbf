"""PerSAM and PerSAM-F on one image: personalise objects from a reference, segment them in another (§3.2, §3.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from persam_video.methods.persam.guidance import build_guidance
from persam_video.methods.persam.location_prior import confidence_maps, to_low_res
from persam_video.methods.persam.prompts import prior_prompts
from persam_video.methods.persam.refinement import refine
from persam_video.methods.persam.scale_weights import (
    IMAGE_TOTAL_LR,
    VIDEO_TOTAL_LR,
    aggregate_scales,
    fit_scale_weights,
)
from persam_video.methods.persam.target import Targets, extract_embeddings
from persam_video.sam.boxes import Boxes, argmax_cells
from persam_video.sam.grids import LOW_RES_SIZE, to_grid
from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import DecoderOutput
from persam_video.sam.prompt_encoder import Prompts

Decode = Callable[[Features, Prompts], DecoderOutput]


@dataclass(frozen=True, slots=True)
class PersamConfig:
    """The paper's components (Table 4) that are on, beside the positive location prior.

    Args:
        negative_prior: a negative point at the minimum of the confidence map (eq. 7).
        refinement: cascaded post-refinement.
        guided_attention: target-guided attention (eq. 8), where there is no previous box.
        semantic_prompt: target-semantic prompting (eq. 10).
        scale_tuning: SAM's three masks aggregated by learned scale weights (eq. 11); otherwise its single mask.
        weighted_refinement: refined masks aggregated by the scale weights too; otherwise those of the highest predicted
            IoU, which may be of another scale than the learned one.
    """

    negative_prior: bool = False
    refinement: bool = False
    guided_attention: bool = False
    semantic_prompt: bool = False
    scale_tuning: bool = False
    weighted_refinement: bool = False


PERSAM = PersamConfig(negative_prior=True, refinement=True, guided_attention=True, semantic_prompt=True)
"""PerSAM, which is training-free."""
PERSAM_F = PersamConfig(refinement=True, scale_tuning=True)
"""PerSAM-F as in its authors' scripts."""
PERSAM_F_IMAGES = replace(PERSAM_F, weighted_refinement=True)
"""PerSAM-F for single images, where no previous box keeps the refinement at the learned scale."""


def personalise(
    decode: Decode,
    features: Features,
    masks: Tensor,
    ignored: Tensor,
    config: PersamConfig,
    boxes: Boxes | None = None,
) -> Targets:
    """Targets of the objects in a reference image.

    Args:
        decode: SAM's decoder.
        features: of the image.
        masks: bool, N×H×W, in image pixels, on the CPU; none is empty.
        ignored: bool, H×W, on the CPU: pixels that are neither object nor background.
        config: without ``scale_tuning`` all scale weights are 1/3.
        boxes: of the objects, for a video: the scale weights are then fitted on prompts with boxes.
    """
    device = features.tensor.device
    embeddings, semantics = extract_embeddings(features, masks)
    targets = Targets(embeddings, semantics, torch.full_like(embeddings[:, :3], 1 / 3))
    if not config.scale_tuning:
        return targets
    side = features.geometry.side
    coverage = to_grid(masks, LOW_RES_SIZE, side).to(device)
    valid = to_grid(ignored[None], LOW_RES_SIZE, side)[0].to(device) < 0.5
    logits = decode(features, initial_prompts(features, targets, config, boxes)).logits
    total_lr = IMAGE_TOTAL_LR if boxes is None else VIDEO_TOTAL_LR
    return replace(targets, scale_weights=fit_scale_weights(logits, coverage, valid, total_lr=total_lr))


def segment(
    decode: Decode, features: Features, targets: Targets, config: PersamConfig, boxes: Boxes | None = None
) -> tuple[Tensor, Tensor]:
    """Masks of all targets in an image.

    Args:
        decode: SAM's decoder.
        features: of the image.
        boxes: of the targets in the previous frame, for a video.
    Returns:
        logits, float, N×rows×columns of the low-res grid, and predicted IoU, float, N.
    """
    prompts = initial_prompts(features, targets, config, boxes)
    output = decode(features, prompts)
    logits, iou_predictions = output.single_logits, output.single_iou_predictions
    if config.scale_tuning:
        best, iou_predictions = output.best()
        logits = aggregate_scales(output.logits, targets.scale_weights)
        is_empty = (logits <= 0).flatten(1).all(dim=1)
        logits = torch.where(is_empty[:, None, None], best, logits)
    if not config.refinement:
        return logits, iou_predictions
    return refine(decode, features, prompts, logits, targets.scale_weights if config.weighted_refinement else None)


def initial_prompts(features: Features, targets: Targets, config: PersamConfig, boxes: Boxes | None = None) -> Prompts:
    """Prompts of the first decode, with its guidance. Arguments as for `segment`."""
    maps = confidence_maps(features, targets.embeddings)
    low_res_maps = to_low_res(maps, features.geometry)
    negative = argmax_cells(-low_res_maps) if config.negative_prior else None
    # After the second softmax of eq. 8 attention is nearly uniform, and a box has little effect (dance-twirl: J&F .24
    # instead of .73).
    is_guided = config.guided_attention and boxes is None
    guidance = build_guidance(maps if is_guided else None, targets.semantics if config.semantic_prompt else None)
    return prior_prompts(argmax_cells(low_res_maps), negative, boxes, guidance, features)
