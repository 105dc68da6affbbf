"""Cascaded post-refinement (PerSAM §3.2): two more decodes, prompted with the mask so far and its box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from persam_video.methods.persam.scale_weights import aggregate_scales
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
    """Refined masks of all objects.

    Args:
        decode: SAM's decoder.
        prompts: of the first decode. Their points stay, their guidance does not. The second decode has the mask's box
            too; the first only where ``prompts`` have boxes, as in a video.
        logits: float, N×h×w: the initial masks.
        scale_weights: float, N×3, to aggregate SAM's three masks by; None: the mask of the highest predicted IoU.
    Returns:
        logits, float, N×h×w, and SAM's highest predicted IoU, float, N.
    """
    prompts = replace(prompts, guidance=None)
    first = replace(prompts, masks=logits) if prompts.boxes is None else _with_boxes(prompts, logits)
    logits, _ = _masks(decode(features, first), scale_weights)
    return _masks(decode(features, _with_boxes(prompts, logits)), scale_weights)


def _masks(output: DecoderOutput, scale_weights: Tensor | None) -> tuple[Tensor, Tensor]:
    logits, iou_predictions = output.best()
    if scale_weights is not None:
        logits = aggregate_scales(output.logits, scale_weights)
    return logits, iou_predictions


def _with_boxes(prompts: Prompts, logits: Tensor) -> Prompts:
    """Prompts with masks and their boxes."""
    boxes, has_box = boxes_of_masks(logits > 0)
    return replace(prompts, boxes=boxes, has_box=has_box, masks=logits)
