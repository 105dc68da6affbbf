"""The cascaded post-refinement (PerSAM §3.2): SAM is asked twice more, with its own mask and that mask's box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from persam_video.persam.prompts import boxes_of
from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import Decoded, Prompts

_STEPS = 2


def refine(
    decode: Callable[[Features, Prompts], Decoded],
    features: Features,
    prompts: Prompts,
    logits: Tensor,
) -> tuple[Tensor, Tensor]:
    """Refine the masks of all objects at once.

    Args:
        decode: SAM's decoder.
        prompts: those of the first decode; their points are kept.
        logits: float, N×h×w: the masks so far.
    Returns:
        logits, float, N×h×w, and scores, float, N: of SAM's three masks those that it gives the highest score.
    """
    scores = logits.new_zeros(len(logits))
    for _ in range(_STEPS):
        boxes, has_box = boxes_of(logits > 0)
        logits, scores = decode(features, replace(prompts, boxes=boxes, has_box=has_box, masks=logits)).best()
    return logits, scores
