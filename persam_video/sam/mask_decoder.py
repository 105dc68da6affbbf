"""SAM's prompt encoder and mask decoder: all objects of a frame in one batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from persam_video.sam.image_encoder import Features

POSITIVE = 1
NO_POINT = -1

_MAX_BATCH = 32
"""Objects decoded at a time: each takes some 60 MB while it is decoded, and more than this is no faster."""


@dataclass(frozen=True, eq=False, slots=True)
class Prompts:
    """What SAM is asked, for N objects at once. Coordinates are (x, y) in pixels of the 1024×1024 input, as SAM
    counts them: the centre of the first pixel is (0, 0).

    Args:
        points: float, N×P×2.
        labels: int, N×P: `POSITIVE`, 0 for negative, or `NO_POINT` where this object has no such point.
        boxes: float, N×4, XYXY.
        has_box: bool, N.
        masks: float, N×rows×columns of the low-res grid, logits of an earlier decode, or None.
    """

    points: Tensor
    labels: Tensor
    boxes: Tensor
    has_box: Tensor
    masks: Tensor | None = None

    def split(self, size: int) -> list[Prompts]:
        """The same prompts for at most ``size`` objects at a time."""
        slices = [slice(i, i + size) for i in range(0, len(self.points), size)]
        return [
            Prompts(
                points=self.points[part],
                labels=self.labels[part],
                boxes=self.boxes[part],
                has_box=self.has_box[part],
                masks=None if self.masks is None else self.masks[part],
            )
            for part in slices
        ]


@dataclass(frozen=True, eq=False, slots=True)
class Decoded:
    """SAM's answer for N objects: three masks each, for the whole, the part and the subpart.

    Args:
        logits: float32, N×3×rows×columns of the low-res grid (`Geometry.grid`).
        scores: float32, N×3: the IoU with the true mask that SAM expects.
    """

    logits: Tensor
    scores: Tensor

    def best(self) -> tuple[Tensor, Tensor]:
        """The logits, N×rows×columns, and the score, N, of the mask with the highest score."""
        scores, choice = self.scores.max(dim=1)
        return self.logits[torch.arange(len(choice), device=choice.device), choice], scores


class MaskDecoder:
    """A frozen prompt encoder and mask decoder.

    Args:
        prompt_encoder: ``segment_anything``'s `PromptEncoder`.
        mask_decoder: ``segment_anything``'s `MaskDecoder`.
    """

    def __init__(self, prompt_encoder: Any, mask_decoder: Any) -> None:
        self._prompt_encoder = prompt_encoder
        self._mask_decoder = mask_decoder
        with torch.no_grad():
            self._dense_position = prompt_encoder.get_dense_pe()

    @torch.no_grad()
    def __call__(self, features: Features, prompts: Prompts) -> Decoded:
        """Decode all objects at once, always in float32 (the decoder is small, and its logits are compared)."""
        parts = [self._decode(features, part) for part in prompts.split(_MAX_BATCH)]
        logits, scores = zip(*parts, strict=True)
        return Decoded(torch.cat(logits), torch.cat(scores))

    def _decode(self, features: Features, prompts: Prompts) -> tuple[Tensor, Tensor]:
        sparse, dense = self._prompt_encoder(
            points=(prompts.points, prompts.labels),
            boxes=prompts.boxes,
            masks=None if prompts.masks is None else prompts.masks[:, None],
        )
        rows, columns = features.tensor.shape[2:]
        # The box's two corners are the last two tokens; an object without a box gets SAM's token for "no point".
        no_point = self._prompt_encoder.not_a_point_embed.weight
        sparse[:, -2:] = torch.where(prompts.has_box[:, None, None], sparse[:, -2:], no_point)
        logits, scores = self._mask_decoder(
            image_embeddings=features.tensor,
            image_pe=self._dense_position[:, :, :rows, :columns],
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense[:, :, :rows, :columns],  # without a mask it is the square's
            multimask_output=True,
        )
        return logits, scores
