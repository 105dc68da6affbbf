"""The decoder's transformer: tokens and image attend to one another, and the tokens can be guided to a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, eq=False, slots=True)
class Guidance:
    """What draws SAM's tokens to each of N targets (PerSAM §3.2).

    Args:
        attention: float, N×rows×columns of the features' grid: added to what every token attends to in the image,
            after the softmax, which is then taken again (eq. 8); None for no guidance.
        semantics: float, N×256: added to all tokens before each block and before the last attention (eq. 10); or None.
    """

    attention: Tensor | None = None
    semantics: Tensor | None = None


class GuidedTransformer(nn.Module):
    """``segment_anything``'s `TwoWayTransformer` with fused attention and `Guidance`; the same numbers without.

    Args:
        transformer: with its weights, which are shared.
    """

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.layers = transformer.layers
        self.final_attn_token_to_image = transformer.final_attn_token_to_image
        self.norm_final_attn = transformer.norm_final_attn

    def forward(
        self, image: Tensor, position: Tensor, tokens: Tensor, guidance: Guidance | None = None
    ) -> tuple[Tensor, Tensor]:
        """Let tokens and image attend to one another.

        Args:
            image: float, N×C×h×w.
            position: float, 1×C×h×w, the encoding of the places.
            tokens: float, N×T×C.
        Returns:
            the tokens, N×T×C, and the image, N×h·w×C.
        """
        attention = semantics = None
        if guidance is not None and guidance.attention is not None:
            attention = guidance.attention.flatten(1)[:, None, None]  # [N, heads, tokens, places]
        if guidance is not None and guidance.semantics is not None:
            semantics = guidance.semantics[:, None]
        keys = image.flatten(2).transpose(1, 2)
        places = position.flatten(2).transpose(1, 2)
        queries = tokens
        placed = keys + places
        for layer in self.layers:
            if semantics is not None:
                queries = queries + semantics
            # Tokens attend to one another: in the first layer they are nothing but their positions.
            if layer.skip_first_layer_pe:
                queries = _attend(layer.self_attn, queries, queries, queries)
            else:
                named = queries + tokens
                queries = queries + _attend(layer.self_attn, named, named, queries)
            queries = layer.norm1(queries)
            to_image = _attend(layer.cross_attn_token_to_image, queries + tokens, placed, keys, attention)
            queries = layer.norm2(queries + to_image)
            queries = layer.norm3(queries + layer.mlp(queries))
            keys = layer.norm4(keys + _attend(layer.cross_attn_image_to_token, placed, queries + tokens, queries))
            placed = keys + places
        last = queries + tokens if semantics is None else queries + tokens + semantics
        queries = queries + _attend(self.final_attn_token_to_image, last, placed, keys, attention)
        return self.norm_final_attn(queries), keys


def _attend(attention: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """``segment_anything``'s `Attention`; a bias is added to its weights, which are then normalised again."""
    heads = attention.num_heads
    q, k, v = (
        project(each).unflatten(2, (heads, -1)).transpose(1, 2)
        for project, each in ((attention.q_proj, q), (attention.k_proj, k), (attention.v_proj, v))
    )  # [N, heads, tokens, channels]
    if bias is None:
        out = F.scaled_dot_product_attention(q, k, v)
    else:
        weights = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(dim=3)
        out = (weights + bias).softmax(dim=3) @ v
    projected: Tensor = attention.out_proj(out.transpose(1, 2).flatten(2))
    return projected
