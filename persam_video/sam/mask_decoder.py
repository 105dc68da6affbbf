"""SAM's prompt encoder and mask decoder: all objects of a frame in one batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from persam_video.sam.image_encoder import Features
from persam_video.sam.two_way_transformer import Guidance, GuidedTransformer

POSITIVE = 1
NEGATIVE = 0
NO_POINT = -1

_MAX_BATCH = 32
"""Objects decoded at a time: each takes some 60 MB while it is decoded, and more than this is no faster."""


@dataclass(frozen=True, eq=False, slots=True)
class Prompts:
    """What SAM is asked, for N objects at once. Coordinates are (x, y) in pixels of the 1024×1024 input, as SAM
    counts them: the centre of the first pixel is (0, 0).

    Args:
        points: float, N×P×2.
        labels: int, N×P: `POSITIVE`, `NEGATIVE`, or `NO_POINT` where this object has no such point.
        boxes: float, N×4, XYXY; None if no object has one.
        has_box: bool, N; None together with ``boxes``.
        masks: float, N×rows×columns of the low-res grid, logits of an earlier decode, or None.
        guidance: what draws SAM to the objects, or None.
    """

    points: Tensor
    labels: Tensor
    boxes: Tensor | None = None
    has_box: Tensor | None = None
    masks: Tensor | None = None
    guidance: Guidance | None = None

    def split(self, size: int) -> Iterator[Prompts]:
        """The same prompts for at most ``size`` objects at a time."""
        for start in range(0, len(self.points), size):
            part = slice(start, start + size)
            guidance = self.guidance
            yield Prompts(
                points=self.points[part],
                labels=self.labels[part],
                boxes=_of(self.boxes, part),
                has_box=_of(self.has_box, part),
                masks=_of(self.masks, part),
                guidance=guidance and Guidance(_of(guidance.attention, part), _of(guidance.semantics, part)),
            )


def _of(tensor: Tensor | None, part: slice) -> Tensor | None:
    return None if tensor is None else tensor[part]


@dataclass(frozen=True, eq=False, slots=True)
class Decoded:
    """SAM's answer for N objects: three masks each, for the whole, the part and the subpart, and a single one.

    Args:
        logits: float32, N×3×rows×columns of the low-res grid (`Geometry.grid`).
        scores: float32, N×3: the IoU with the true mask that SAM expects.
        single: float32, N×rows×columns: the mask meant for prompts that leave no doubt.
        single_scores: float32, N.
    """

    logits: Tensor
    scores: Tensor
    single: Tensor
    single_scores: Tensor

    def best(self) -> tuple[Tensor, Tensor]:
        """The logits, N×rows×columns, and the score, N, of the mask with the highest score."""
        scores, choice = self.scores.max(dim=1)
        return self.logits[torch.arange(len(choice), device=choice.device), choice], scores


class MaskDecoder:
    """A frozen prompt encoder and mask decoder.

    Args:
        prompt_encoder: ``segment_anything``'s `PromptEncoder`.
        mask_decoder: ``segment_anything``'s `MaskDecoder`, whose parts are used.
    """

    def __init__(self, prompt_encoder: Any, mask_decoder: Any) -> None:
        self._prompt_encoder = prompt_encoder
        self._parts = mask_decoder
        self._transformer = GuidedTransformer(mask_decoder.transformer)
        with torch.no_grad():
            self._position = prompt_encoder.get_dense_pe()
            self._tokens = torch.cat((mask_decoder.iou_token.weight, mask_decoder.mask_tokens.weight))[None]

    @torch.no_grad()
    def __call__(self, features: Features, prompts: Prompts) -> Decoded:
        """Decode all objects at once, always in float32 (the decoder is small, and its logits are compared)."""
        return self.forward(features, prompts)

    def forward(self, features: Features, prompts: Prompts) -> Decoded:
        """The same with gradients, for whoever tunes a decoder."""
        parts = [self._decode(features, part) for part in prompts.split(_MAX_BATCH)]
        masks, scores = (torch.cat(each) for each in zip(*parts, strict=True))
        return Decoded(masks[:, 1:], scores[:, 1:], masks[:, 0], scores[:, 0])

    def _decode(self, features: Features, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Four masks and their scores: the single one, and the three."""
        sparse, dense = self._prompt_encoder(
            points=(prompts.points, prompts.labels),
            boxes=prompts.boxes,
            masks=None if prompts.masks is None else prompts.masks[:, None],
        )
        if prompts.has_box is not None:
            # The box's two corners are the last two tokens; an object without a box gets SAM's token for "no point".
            no_point = self._prompt_encoder.not_a_point_embed.weight
            sparse[:, -2:] = torch.where(prompts.has_box[:, None, None], sparse[:, -2:], no_point)
        rows, columns = features.tensor.shape[2:]
        position = self._position[:, :, :rows, :columns]
        image = features.tensor + dense[:, :, :rows, :columns]  # without a mask it is the square's
        tokens = torch.cat((self._tokens.expand(len(sparse), -1, -1), sparse), dim=1)

        tokens, places = self._transformer(image, position, tokens, prompts.guidance)
        upscaled = self._parts.output_upscaling(places.transpose(1, 2).unflatten(2, (rows, columns)))
        networks = self._parts.output_hypernetworks_mlps
        weights = torch.stack([network(tokens[:, 1 + i]) for i, network in enumerate(networks)], dim=1)  # [N, 4, 32]
        masks = torch.einsum("nmc,nchw->nmhw", weights, upscaled)
        return masks, self._parts.iou_prediction_head(tokens[:, 0])
