"""PerSAM and PerSAM-F on one picture: personalise from a reference, and segment what was personalised (§3.2, §3.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from persam_video.methods.persam.guidance import guide
from persam_video.methods.persam.location_prior import confidence_maps, similarities
from persam_video.methods.persam.prompts import prior_prompts
from persam_video.methods.persam.refinement import refine
from persam_video.methods.persam.scale_weights import IMAGE_RANGE, VIDEO_RANGE, fit_scale_weights, weigh_scales
from persam_video.methods.persam.target import Targets, learn_embeddings
from persam_video.sam.boxes import Boxes, argmax_cells
from persam_video.sam.grids import LOW_RES_SIZE, to_grid
from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import DecoderOutput
from persam_video.sam.prompt_encoder import Prompts

Decode = Callable[[Features, Prompts], DecoderOutput]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which parts of the paper are at work, beside the positive location prior.

    Args:
        negative_prior: the least likely place is a negative point (eq. 7).
        refinement: SAM is asked twice more (cascaded post-refinement).
        guided_attention: SAM's tokens are drawn to likely places (eq. 8), where no box says where to look.
        semantic_prompt: they are told what the target looks like (eq. 10).
        scale_tuning: SAM's three masks are weighed as learned from the reference (eq. 11); without it SAM's single
            mask is taken.
        weighed_refinement: the refined masks are weighed in the same way; without it, those of SAM's highest score are
            taken, which may be of another scale than was learned.
    """

    negative_prior: bool = False
    refinement: bool = False
    guided_attention: bool = False
    semantic_prompt: bool = False
    scale_tuning: bool = False
    weighed_refinement: bool = False


PERSAM = Recipe(negative_prior=True, refinement=True, guided_attention=True, semantic_prompt=True)
"""PerSAM: nothing is learned."""
PERSAM_F = Recipe(refinement=True, scale_tuning=True)
"""PerSAM-F, as its authors' scripts have it."""
PERSAM_F_IMAGES = replace(PERSAM_F, weighed_refinement=True)
"""For pictures by themselves, where no box of the frame before holds the refinement to the scale."""


def personalise(
    decode: Decode,
    features: Features,
    masks: Tensor,
    ignored: Tensor,
    recipe: Recipe,
    boxes: Boxes | None = None,
) -> Targets:
    """Learn objects from a picture in which they are given.

    Args:
        decode: SAM's decoder.
        features: of the picture.
        masks: bool, N×H×W, in the picture's pixels, on the CPU; none is empty.
        ignored: bool, H×W, on the CPU: what is neither object nor background.
        recipe: without ``scale_tuning`` all scale weights are 1/3.
        boxes: theirs, for a video, where they will be looked for with a box: the scale weights are learned so.
    """
    device = features.tensor.device
    embeddings, semantics = learn_embeddings(features, masks)
    targets = Targets(embeddings, semantics, torch.full((len(masks), 3), 1 / 3, device=device))
    if not recipe.scale_tuning:
        return targets
    side = features.geometry.side
    coverage = to_grid(masks, LOW_RES_SIZE, side).to(device)
    counts = to_grid(ignored[None], LOW_RES_SIZE, side)[0].to(device) < 0.5
    logits = decode(features, prompts_for(features, targets, recipe, boxes)).logits
    within = IMAGE_RANGE if boxes is None else VIDEO_RANGE
    return Targets(embeddings, semantics, fit_scale_weights(logits, coverage, counts, within=within))


def segment(
    decode: Decode, features: Features, targets: Targets, recipe: Recipe, boxes: Boxes | None = None
) -> tuple[Tensor, Tensor]:
    """Find all targets in a picture.

    Args:
        decode: SAM's decoder.
        features: of the picture.
        boxes: where they were in the frame before, for a video.
    Returns:
        logits, float, N×rows×columns of the low-res grid, and the IoU that SAM expects, float, N.
    """
    prompts = prompts_for(features, targets, recipe, boxes)
    answer = decode(features, prompts)
    logits, scores = answer.single, answer.single_scores
    if recipe.scale_tuning:
        best, scores = answer.best()
        logits = weigh_scales(answer.logits, targets.scale_weights)
        nothing = (logits <= 0).flatten(1).all(dim=1)
        logits = torch.where(nothing[:, None, None], best, logits)
    if not recipe.refinement:
        return logits, scores
    return refine(decode, features, prompts, logits, targets.scale_weights if recipe.weighed_refinement else None)


def prompts_for(features: Features, targets: Targets, recipe: Recipe, boxes: Boxes | None = None) -> Prompts:
    """What SAM is asked first, as for `segment`."""
    maps = confidence_maps(features, targets.embeddings)
    negative = argmax_cells(-maps) if recipe.negative_prior else None
    # A softmax taken twice is nearly flat: SAM would no longer look into the box (dance-twirl: .24 against .73 J&F).
    guided = recipe.guided_attention and boxes is None
    guidance = guide(
        similarities(features, targets.embeddings) if guided else None,
        targets.semantics if recipe.semantic_prompt else None,
    )
    return prior_prompts(argmax_cells(maps), negative, boxes, guidance, features)
