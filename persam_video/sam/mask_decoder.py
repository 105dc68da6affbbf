"""SAM's mask decoder: all objects of a frame in one batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from persam_video.sam.image_encoder import Features
from persam_video.sam.inference_layers import pack_linears
from persam_video.sam.prompt_encoder import PromptEncoder, Prompts
from persam_video.sam.two_way_transformer import GuidedTransformer
from persam_video.sam.upscaling import MaskHypernetworks, MaskUpscaling

_MAX_BATCH = 32
"""Objects decoded at a time: each takes some 60 MB while it is decoded, and more than this is no faster."""


@dataclass(frozen=True, eq=False, slots=True)
class DecoderOutput:
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
        prompt_encoder: for the prompts.
        mask_decoder: ``segment_anything``'s `MaskDecoder`, whose parts are used.
    """

    def __init__(self, prompt_encoder: PromptEncoder, mask_decoder: Any) -> None:
        self._prompt_encoder = prompt_encoder
        self._parts = mask_decoder
        self._transformer = GuidedTransformer(mask_decoder.transformer)
        self._upscaling = MaskUpscaling(mask_decoder.output_upscaling)
        self._weights = MaskHypernetworks(mask_decoder.output_hypernetworks_mlps)
        with torch.no_grad():
            self._position = prompt_encoder.places()
            self._tokens = torch.cat((mask_decoder.iou_token.weight, mask_decoder.mask_tokens.weight))[None]

    def pack_linears(self) -> None:
        """Make it quicker for good on a CPU on which `PackedLinear` is; it can no longer be tuned. Attention between
        tokens and image needs its matrices as they are."""
        for layer in self._transformer.layers:
            pack_linears(layer.self_attn)
            pack_linears(layer.mlp)
        pack_linears(self._upscaling)

    @torch.no_grad()
    def __call__(self, features: Features, prompts: Prompts) -> DecoderOutput:
        """Decode all objects at once, always in float32 (the decoder is small, and its logits are compared)."""
        return self.forward(features, prompts)

    def forward(self, features: Features, prompts: Prompts) -> DecoderOutput:
        """The same with gradients, for whoever tunes a decoder: all but what makes masks of the image
        (`persam_video.sam.upscaling`)."""
        parts = [self._decode(features, part) for part in prompts.split(_MAX_BATCH)]
        masks, scores = (torch.cat(each) for each in zip(*parts, strict=True))
        return DecoderOutput(masks[:, 1:], scores[:, 1:], masks[:, 0], scores[:, 0])

    def _decode(self, features: Features, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Four masks and their scores: the single one, and the three."""
        sparse, dense = self._prompt_encoder(prompts)
        rows, columns = features.tensor.shape[2:]
        position = self._position[:, :, :rows, :columns]
        image = features.tensor + dense.expand(len(sparse), -1, -1, -1)
        tokens = torch.cat((self._tokens.expand(len(sparse), -1, -1), sparse), dim=1)

        tokens, places = self._transformer(image, position, tokens, prompts.guidance)
        weights = self._weights(tokens[:, 1 : 1 + self._parts.num_mask_tokens])
        masks = self._upscaling(places, weights, rows)
        return masks, self._parts.iou_prediction_head(tokens[:, 0])
