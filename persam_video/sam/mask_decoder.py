"""SAM's mask decoder: all objects of a frame in one batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from persam_video.runtime.ambient import isolated
from persam_video.sam.image_encoder import Features
from persam_video.sam.inference_layers import pack_linears_if_faster, prepare_for_inference
from persam_video.sam.prompt_encoder import PromptEncoder, Prompts
from persam_video.sam.two_way_transformer import GuidedTransformer
from persam_video.sam.upscaling import MaskHypernetworks, MaskUpscaling

_MAX_BATCH = 32
"""Number of objects decoded at a time: each takes some 60 MB meanwhile, and larger batches are no faster."""


@dataclass(frozen=True, eq=False, slots=True)
class DecoderOutput:
    """SAM's masks of N objects: its three multimask outputs (whole, part and subpart) and its single-mask output.

    Args:
        logits: float32, N×3×rows×columns of the low-res grid (`Geometry.grid`).
        iou_predictions: float32, N×3, estimates of each mask's IoU with the true one.
        single_logits: float32, N×rows×columns; the mask meant for unambiguous prompts.
        single_iou_predictions: float32, N.
    """

    logits: Tensor
    iou_predictions: Tensor
    single_logits: Tensor
    single_iou_predictions: Tensor

    def best(self) -> tuple[Tensor, Tensor]:
        """Logits, N×rows×columns, and predicted IoU, N, of the multimask output with the highest predicted IoU."""
        iou_predictions, choice = self.iou_predictions.max(dim=1)
        return self.logits[torch.arange(len(choice), device=choice.device), choice], iou_predictions


class MaskDecoder:
    """A frozen prompt encoder and mask decoder.

    Args:
        prompt_encoder: encoder of the prompts.
        mask_decoder: ``segment_anything``'s `MaskDecoder`; its transformer and IoU head are shared, other weights are
            copied.
    """

    def __init__(self, prompt_encoder: PromptEncoder, mask_decoder: Any) -> None:
        self._prompt_encoder = prompt_encoder
        self._num_mask_tokens: int = mask_decoder.num_mask_tokens
        self._iou_prediction_head = mask_decoder.iou_prediction_head
        self._transformer = GuidedTransformer(mask_decoder.transformer)
        self._upscaling = MaskUpscaling(mask_decoder.output_upscaling)
        self._hypernetworks = MaskHypernetworks(mask_decoder.output_hypernetworks_mlps)
        with torch.no_grad():
            self._image_pe = prompt_encoder.get_dense_pe()
            self._tokens = torch.cat((mask_decoder.iou_token.weight, mask_decoder.mask_tokens.weight))[None]

    @classmethod
    def for_inference(cls, prompt_encoder: Any, mask_decoder: Any, device: torch.device) -> Self:
        """Decoder on a device with faster layers that give the same numbers; it can no longer be tuned.

        Args:
            prompt_encoder: ``segment_anything``'s `PromptEncoder`; changed in place.
            mask_decoder: ``segment_anything``'s `MaskDecoder`; changed in place.
            device: target device.
        """
        for part in (prompt_encoder, mask_decoder):
            prepare_for_inference(part, device, torch.float32)
        decoder = cls(PromptEncoder(prompt_encoder), mask_decoder)  # after the move: it copies weights
        if device.type == "cpu":
            # Not the attention between tokens and image, which multiplies with its weights as they are.
            for layer in decoder._transformer.layers:
                pack_linears_if_faster(layer.self_attn)
                pack_linears_if_faster(layer.mlp)
            pack_linears_if_faster(decoder._upscaling)
        return decoder

    @isolated()
    def __call__(self, features: Features, prompts: Prompts) -> DecoderOutput:
        """Output for all objects at once, always in float32: the decoder is small, and its logits are compared."""
        return self.forward(features, prompts)

    def forward(self, features: Features, prompts: Prompts) -> DecoderOutput:
        """The same with gradients, for tuning the decoder: of all but `persam_video.sam.upscaling`, whose weights are
        copies."""
        parts = [self._predict_masks(features, part) for part in prompts.split(_MAX_BATCH)]
        masks, iou_predictions = (torch.cat(each) for each in zip(*parts, strict=True))
        return DecoderOutput(masks[:, 1:], iou_predictions[:, 1:], masks[:, 0], iou_predictions[:, 0])

    def _predict_masks(self, features: Features, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Logits, N×4×rows×columns, and predicted IoU, N×4: the single-mask output, then the multimask ones."""
        sparse, dense = self._prompt_encoder(prompts)
        rows, columns = features.tensor.shape[2:]
        image_pe = self._image_pe[:, :, :rows, :columns]
        image = features.tensor + dense.expand(len(sparse), -1, -1, -1)
        tokens = torch.cat((self._tokens.expand(len(sparse), -1, -1), sparse), dim=1)

        tokens, image = self._transformer(image, image_pe, tokens, prompts.guidance)
        weights = self._hypernetworks(tokens[:, 1 : 1 + self._num_mask_tokens])
        masks = self._upscaling(image, weights, rows)
        return masks, self._iou_prediction_head(tokens[:, 0])
