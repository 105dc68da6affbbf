"""Parameter-efficient tuning of SAM's mask decoder to a reference image (PerSAM, Table 5); all else is frozen.

Prompt tokens: 48 learned tokens after the prompts. Adapter: a bottleneck of 128 in parallel to the MLP of both blocks.
LoRA: rank 24 on every projection of the attention. Three mask weights: eq. 11 with three free weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from persam_video.frame import IGNORE_ID, LabelMap, ids_in
from persam_video.methods.persam.scale_weights import dice_loss, focal_loss
from persam_video.methods.persam.segmentation import PersamConfig, initial_prompts, personalise
from persam_video.sam.checkpoints import fetch_checkpoint
from persam_video.sam.grids import LOW_RES_SIZE, to_grid
from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import DecoderOutput, MaskDecoder
from persam_video.sam.models import Sam, build_network, load_weights
from persam_video.sam.prompt_encoder import PromptEncoder, Prompts
from persam_video.sam.state_dicts import load_state_dict

_TOKENS = 48
_BOTTLENECK = 128
_RANK = 24
_LEARNING_RATE = 1e-3


class _Adapter(nn.Module):
    """A layer with a bottleneck in parallel, which is 0 at first."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.layer = layer
        self.down, self.up = nn.Linear(width, _BOTTLENECK), nn.Linear(_BOTTLENECK, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer(x) + self.up(self.down(x).relu())
        return result


class _Lora(nn.Module):
    """A linear layer with a low-rank one in parallel, which is 0 at first."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.down = nn.Linear(linear.in_features, _RANK, bias=False)
        self.up = nn.Linear(_RANK, linear.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear(x) + self.up(self.down(x))
        return result


class _PromptTokens(PromptEncoder):
    """Prompt encoder that appends learned tokens to the prompts of every object."""

    def __init__(self, encoder: Any) -> None:
        super().__init__(encoder)
        self.tokens = nn.Parameter(torch.randn(_TOKENS, encoder.embed_dim) * 0.02)

    def forward(self, prompts: Prompts) -> tuple[Tensor, Tensor]:
        sparse, dense = super().forward(prompts)
        return torch.cat((sparse, self.tokens.expand(len(sparse), -1, -1)), dim=1), dense


def _prompt_tokens(network: Any) -> None:
    network.prompt_encoder = _PromptTokens(network.prompt_encoder.encoder)


def _adapter(network: Any) -> None:
    for layer in network.mask_decoder.transformer.layers:
        layer.mlp = _Adapter(layer.mlp, network.mask_decoder.transformer.embedding_dim)


def _lora(network: Any) -> None:
    transformer = network.mask_decoder.transformer
    attentions = [
        *(each for layer in transformer.layers for each in (layer.self_attn, layer.cross_attn_token_to_image)),
        *(layer.cross_attn_image_to_token for layer in transformer.layers),
        transformer.final_attn_token_to_image,
    ]
    for attention in attentions:
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(attention, name, _Lora(getattr(attention, name)))


METHODS: dict[str, Callable[[Any], None]] = {"prompt tokens": _prompt_tokens, "adapter": _adapter, "LoRA": _lora}
"""Functions that add the parameters of a method to a network."""


def tune(
    sam: Sam, name: str, image: npt.NDArray[np.uint8], label_map: LabelMap, *, config: PersamConfig, steps: int
) -> tuple[Sam, int]:
    """Model whose decoder is tuned to a reference, and the number of learned parameters."""
    network: Any = _plain_network(sam).requires_grad_(False)
    METHODS[name](network)
    learned = [each for each in network.parameters() if each.requires_grad]
    decoder = MaskDecoder(network.prompt_encoder, network.mask_decoder)
    reference = _Reference(sam, decoder, image, label_map, config)
    _minimise(learned, lambda: reference.loss(decoder.forward(*reference.inputs).single_logits), steps)
    return replace(sam, decode=decoder), sum(each.numel() for each in learned)


def tune_mask_weights(
    sam: Sam, image: npt.NDArray[np.uint8], label_map: LabelMap, *, config: PersamConfig, steps: int
) -> tuple[Sam, int]:
    """Model whose single mask is the sum of its three masks with free weights learned from a reference, and 3."""
    reference = _Reference(sam, sam.decode, image, label_map, config)
    logits = sam.decode(*reference.inputs).logits
    weights = nn.Parameter(torch.full((3,), 1 / 3, device=sam.device))

    def weighted(logits: Tensor) -> Tensor:
        return torch.einsum("s,nshw->nhw", weights, logits)

    _minimise([weights], lambda: reference.loss(weighted(logits)), steps)
    weights.requires_grad_(False)

    def decode(features: Features, prompts: Prompts) -> DecoderOutput:
        output = sam.decode(features, prompts)
        return replace(output, single_logits=weighted(output.logits))

    decoder: Any = decode
    return replace(sam, decode=decoder), 3


class _Reference:
    """Inputs of the decoder for a reference, and the loss of its logits."""

    def __init__(
        self, sam: Sam, decode: Any, image: npt.NDArray[np.uint8], label_map: LabelMap, config: PersamConfig
    ) -> None:
        features = sam.encode(image)
        masks = torch.stack([torch.from_numpy(label_map == i) for i in ids_in(label_map)])
        ignored = torch.from_numpy(label_map == IGNORE_ID)
        targets = personalise(decode, features, masks, ignored, config)
        self.inputs = features, initial_prompts(features, targets, config)
        self._coverage = to_grid(masks, LOW_RES_SIZE, features.geometry.side).to(sam.device).flatten(1)

    def loss(self, logits: Tensor) -> Tensor:
        flat = logits.flatten(1)
        return (dice_loss(flat, self._coverage) + focal_loss(flat, self._coverage)).sum()


def _minimise(learned: list[nn.Parameter], loss: Callable[[], Tensor], steps: int) -> None:
    optimiser = torch.optim.AdamW(learned, lr=_LEARNING_RATE, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    with torch.enable_grad():
        for _ in range(steps):
            value = loss()
            optimiser.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()


def _plain_network(sam: Sam) -> Any:
    """Network with the same weights in layers that can be tuned."""
    network = build_network(sam.options.model)
    path = sam.checkpoint or fetch_checkpoint(sam.options.model, progress=False)
    load_weights(network, load_state_dict(path), model=sam.options.model, name=str(path))
    network.prompt_encoder = PromptEncoder(network.prompt_encoder)
    return network.eval().to(sam.device)
