"""The cascaded post-refinement (PerSAM §3.2): SAM is asked twice more, with its own mask and that mask's box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from persam_video.methods.persam.scale_weights import weigh_scales
from persam_video.sam.boxes import boxes_of_masks
from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import DecoderOutput
from persam_video.sam.prompt_encoder import Prompts


def refine(
    decode: Callable[[Features, Prompts], DecoderOutput],
    features: Features,
    prompts: Prompts,
    logits: Tensor,
    scale_weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Refine the masks of all objects at once.

    Args:
        decode: SAM's decoder.
        prompts: those of the first decode. Their points are kept; guidance is for the first decode alone. Where they
            had a box, as in a video, so has the first step; otherwise only the second, as in the paper.
        logits: float, N×h×w: the masks so far.
        scale_weights: float, N×3, to weigh SAM's three masks by; None: the one with the highest score is taken.
    Returns:
        logits, float, N×h×w, and SAM's highest score, float, N.
    """
    prompts = replace(prompts, guidance=None)
    first = replace(prompts, masks=logits) if prompts.boxes is None else _boxed(prompts, logits)
    logits, _ = _choose(decode(features, first), scale_weights)
    return _choose(decode(features, _boxed(prompts, logits)), scale_weights)


def _choose(answer: DecoderOutput, scale_weights: Tensor | None) -> tuple[Tensor, Tensor]:
    logits, scores = answer.best()
    return (logits if scale_weights is None else weigh_scales(answer.logits, scale_weights)), scores


def _boxed(prompts: Prompts, logits: Tensor) -> Prompts:
    boxes, has_box = boxes_of_masks(logits > 0)
    return replace(prompts, boxes=boxes, has_box=has_box, masks=logits)
