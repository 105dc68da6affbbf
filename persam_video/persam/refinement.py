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
    choose: Callable[[Decoded], tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor]:
    """Refine the masks of all objects at once.

    Args:
        decode: SAM's decoder.
        prompts: those of the first decode; their points are kept.
        logits: float, N×256×256: the masks so far.
        choose: takes one of SAM's three masks for each object, and its score: `Decoded.best` is the paper's choice.
    Returns:
        logits, float, N×256×256, and scores, float, N.
    """
    scores = logits.new_zeros(len(logits))
    for _ in range(_STEPS):
        boxes, has_box = boxes_of(logits > 0)
        answer = decode(features, replace(prompts, boxes=boxes, has_box=has_box, masks=logits))
        logits, scores = choose(answer)
    return logits, scores
