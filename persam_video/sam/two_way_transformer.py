"""The decoder's two-way transformer: attention between tokens and image, with PerSAM's guidance to a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, eq=False, slots=True)
class Guidance:
    """Guidance of SAM's decoder to each of N targets (PerSAM §3.2).

    Args:
        attention: float, N×rows×columns of the feature grid: added to the token-to-image attention after its softmax,
            which is then applied again (eq. 8); None: no guided attention.
        semantics: float, N×256: added to all tokens before each block and before the last attention (eq. 10); None: no
            semantic guidance.
    """

    attention: Tensor | None = None
    semantics: Tensor | None = None


class GuidedTransformer(nn.Module):
    """``segment_anything``'s `TwoWayTransformer` with `Guidance`; the same numbers without.

    The projections of queries and keys are linear, so those of the image can be moved to the tokens: the few tokens are
    projected to the image's channels, not the many image tokens to the channels of attention. That is half the work for
    some ten tokens.

    Args:
        transformer: ``segment_anything``'s module; its weights are shared.
    """

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.layers = transformer.layers
        self.final_attn_token_to_image = transformer.final_attn_token_to_image
        self.norm_final_attn = transformer.norm_final_attn

    def forward(
        self, image: Tensor, image_pe: Tensor, tokens: Tensor, guidance: Guidance | None = None
    ) -> tuple[Tensor, Tensor]:
        """Tokens and image after attention to each other.

        Args:
            image: float, N×C×h×w, image embedding.
            image_pe: float, 1×C×h×w, positional encoding of the image.
            tokens: float, N×T×C; also their own positional encoding.
            guidance: guidance to N targets.
        Returns:
            tokens, N×T×C, and image tokens, N×h·w×C.
        """
        attention = semantics = None
        if guidance is not None and guidance.attention is not None:
            attention = guidance.attention.flatten(1)[:, None]  # [N, heads · T, h · w]
        if guidance is not None and guidance.semantics is not None:
            semantics = guidance.semantics[:, None]
        keys = image.flatten(2).transpose(1, 2)
        key_pe = image_pe.flatten(2).transpose(1, 2)
        queries = tokens
        keys_with_pe = keys + key_pe
        for layer in self.layers:
            if semantics is not None:
                queries = queries + semantics
            if layer.skip_first_layer_pe:  # in the first layer the queries are the positional encoding
                queries = _self_attn(layer.self_attn, queries, queries)
            else:
                queries = queries + _self_attn(layer.self_attn, queries + tokens, queries)
            queries = layer.norm1(queries)
            attended = _cross_attn_token_to_image(
                layer.cross_attn_token_to_image, queries + tokens, keys_with_pe, keys, attention
            )
            queries = layer.norm2(queries + attended)
            queries = layer.norm3(queries + layer.mlp(queries))
            keys = layer.norm4(
                _add_cross_attn_image_to_token(
                    layer.cross_attn_image_to_token, keys, keys_with_pe, queries + tokens, queries
                )
            )
            keys_with_pe = keys + key_pe
        last = queries + tokens if semantics is None else queries + tokens + semantics
        queries = queries + _cross_attn_token_to_image(
            self.final_attn_token_to_image, last, keys_with_pe, keys, attention
        )
        return self.norm_final_attn(queries), keys


def _self_attn(attention: Any, tokens_with_pe: Tensor, tokens: Tensor) -> Tensor:
    """``segment_anything``'s `Attention` between tokens, N×T×C: of ``tokens_with_pe`` as queries and keys, and
    ``tokens`` as values."""
    q, k, v = (
        _split_heads(project(each), attention.num_heads).transpose(1, 2)
        for project, each in (
            (attention.q_proj, tokens_with_pe),
            (attention.k_proj, tokens_with_pe),
            (attention.v_proj, tokens),
        )
    )  # [N, heads, T, channels]
    projected: Tensor = attention.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
    return projected


def _cross_attn_token_to_image(
    attention: Any, tokens_with_pe: Tensor, image_with_pe: Tensor, image: Tensor, guidance: Tensor | None
) -> Tensor:
    """``segment_anything``'s `Attention` of tokens, N×T×C, as queries, to image tokens, N×h·w×C, as keys (with their
    positional encoding) and values; guidance, N×1×h·w, is added after the softmax, which is then applied again."""
    heads = attention.num_heads
    # The bias of the keys adds the same to all image tokens, which the softmax cancels.
    weight, _ = _weight_and_bias(attention.k_proj, attention.embedding_dim)
    queries = _project_heads(_scale(attention.q_proj(tokens_with_pe), heads), weight, heads)
    weights = (queries @ image_with_pe.transpose(1, 2)).softmax(dim=2)
    if guidance is not None:
        weights = (weights + guidance).softmax(dim=2)
    attended = weights @ image
    weight, bias = _weight_and_bias(attention.v_proj, attention.embedding_dim)
    by_head = attended.reshape(len(attended), heads, -1, attended.shape[2])
    values = torch.einsum("nhtc,hdc->nthd", by_head, weight.reshape(heads, -1, attended.shape[2])).flatten(2) + bias
    projected: Tensor = attention.out_proj(values)
    return projected


def _add_cross_attn_image_to_token(
    attention: Any, image: Tensor, image_with_pe: Tensor, tokens_with_pe: Tensor, tokens: Tensor
) -> Tensor:
    """Image tokens, N×h·w×C, plus ``segment_anything``'s `Attention` of them (with their positional encoding) as
    queries, to tokens, N×T×C, as keys (with theirs) and values."""
    heads = attention.num_heads
    keys = _scale(attention.k_proj(tokens_with_pe), heads)
    weight, bias = _weight_and_bias(attention.q_proj, attention.embedding_dim)
    biases = _split_heads(keys * bias, heads).sum(dim=3).transpose(1, 2).flatten(1)[..., None]
    logits = torch.baddbmm(biases, _project_heads(keys, weight, heads), image_with_pe.transpose(1, 2))
    weights = logits.reshape(len(logits), heads, -1, logits.shape[2]).softmax(dim=2).flatten(1, 2)
    # The weights of each head sum to 1, so that each can add its share of the bias.
    weight, bias = _weight_and_bias(attention.out_proj, attention.internal_dim)
    values = _project_heads(attention.v_proj(tokens), weight.T, heads) + bias / heads
    return torch.baddbmm(image, weights.transpose(1, 2), values)


def _scale(projected: Tensor, heads: int) -> Tensor:
    """Queries or keys divided by the square root of the number of channels of a head."""
    scaled: Tensor = projected / (projected.shape[2] / heads) ** 0.5
    return scaled


def _split_heads(tensor: Tensor, heads: int) -> Tensor:
    """…×heads·channels as …×heads×channels."""
    return tensor.reshape(*tensor.shape[:-1], heads, -1)


def _project_heads(tokens: Tensor, weight: Tensor, heads: int) -> Tensor:
    """Tokens, N×T×inner, with each head's channels multiplied by its rows of a weight, inner×C: N×heads·T×C."""
    by_head = weight.reshape(heads, -1, weight.shape[1])
    projected: Tensor = torch.einsum("nthd,hdc->nhtc", _split_heads(tokens, heads), by_head).flatten(1, 2)
    return projected


def _weight_and_bias(layer: nn.Module, inputs: int) -> tuple[Tensor, Tensor]:
    """Weight, outputs×inputs, and bias of a linear layer, or of an affine module that replaces it, such as LoRA."""
    if isinstance(layer, nn.Linear):
        return layer.weight, layer.bias
    unit = torch.eye(inputs).to(next(layer.parameters()))
    bias = layer(torch.zeros_like(unit[:1]))
    return (layer(unit) - bias).T, bias[0]
