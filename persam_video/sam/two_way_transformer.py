"""The decoder's transformer: tokens and image attend to one another, and the tokens can be guided to a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
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
    """``segment_anything``'s `TwoWayTransformer` with `Guidance`; the same numbers without.

    What attention does with queries and keys is linear but for the softmax. So the few tokens are taken to the image's
    channels, and not the image's many places to the channels of attention: half the work for some ten tokens.

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
            attention = guidance.attention.flatten(1)[:, None]  # [N, heads and tokens, places]
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
                queries = _among_tokens(layer.self_attn, queries, queries)
            else:
                queries = queries + _among_tokens(layer.self_attn, queries + tokens, queries)
            queries = layer.norm1(queries)
            seen = _to_image(layer.cross_attn_token_to_image, queries + tokens, placed, keys, attention)
            queries = layer.norm2(queries + seen)
            queries = layer.norm3(queries + layer.mlp(queries))
            keys = layer.norm4(_to_tokens(layer.cross_attn_image_to_token, keys, placed, queries + tokens, queries))
            placed = keys + places
        last = queries + tokens if semantics is None else queries + tokens + semantics
        queries = queries + _to_image(self.final_attn_token_to_image, last, placed, keys, attention)
        return self.norm_final_attn(queries), keys


def _among_tokens(attention: Any, named: Tensor, tokens: Tensor) -> Tensor:
    """``segment_anything``'s `Attention` of tokens to one another; queries and keys are ``to_object_ids``, N×T×C."""
    q, k, v = (
        _by_head(project(each), attention.num_heads).transpose(1, 2)
        for project, each in ((attention.q_proj, named), (attention.k_proj, named), (attention.v_proj, tokens))
    )  # [N, heads, T, channels]
    projected: Tensor = attention.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
    return projected


def _to_image(attention: Any, tokens: Tensor, placed: Tensor, image: Tensor, bias: Tensor | None) -> Tensor:
    """``segment_anything``'s `Attention` of tokens, N×T×C, to an image, N×places×C, whose keys are ``placed``; a bias
    is added to its weights, which are then normalised again."""
    heads = attention.num_heads
    # What the keys' bias adds is the same for all places, so that the softmax takes it away.
    matrix, _ = _affine(attention.k_proj, attention.embedding_dim)
    asked = _through_heads(_scaled(attention.q_proj(tokens), heads), matrix, heads)
    weights = (asked @ placed.transpose(1, 2)).softmax(dim=2)
    if bias is not None:
        weights = (weights + bias).softmax(dim=2)
    seen = weights @ image
    matrix, shift = _affine(attention.v_proj, attention.embedding_dim)
    parts = seen.reshape(len(seen), heads, -1, seen.shape[2])
    values = torch.einsum("nhtc,hdc->nthd", parts, matrix.reshape(heads, -1, seen.shape[2])).flatten(2) + shift
    projected: Tensor = attention.out_proj(values)
    return projected


def _to_tokens(attention: Any, image: Tensor, placed: Tensor, named: Tensor, tokens: Tensor) -> Tensor:
    """An image, N×places×C, and to it ``segment_anything``'s `Attention` of its ``placed`` to tokens, N×T×C, whose keys
    are ``to_object_ids``."""
    heads = attention.num_heads
    keys = _scaled(attention.k_proj(named), heads)
    matrix, shift = _affine(attention.q_proj, attention.embedding_dim)
    shifts = _by_head(keys * shift, heads).sum(dim=3).transpose(1, 2).flatten(1)[..., None]
    scores = torch.baddbmm(shifts, _through_heads(keys, matrix, heads), placed.transpose(1, 2))
    weights = scores.reshape(len(scores), heads, -1, scores.shape[2]).softmax(dim=2).flatten(1, 2)
    # The weights of each head add up to 1, so that each can bring its share of the bias.
    matrix, shift = _affine(attention.out_proj, attention.internal_dim)
    values = _through_heads(attention.v_proj(tokens), matrix.T, heads) + shift / heads
    return torch.baddbmm(image, weights.transpose(1, 2), values)


def _scaled(projected: Tensor, heads: int) -> Tensor:
    """Divided by the root of a head's channels."""
    scaled: Tensor = projected / (projected.shape[2] / heads) ** 0.5
    return scaled


def _by_head(tensor: Tensor, heads: int) -> Tensor:
    """…×heads·channels as …×heads×channels."""
    return tensor.reshape(*tensor.shape[:-1], heads, -1)


def _through_heads(tokens: Tensor, matrix: Tensor, heads: int) -> Tensor:
    """Tokens, N×T×inner, each head's channels through its rows of a matrix, inner×C: N×heads·T×C."""
    parts = matrix.reshape(heads, -1, matrix.shape[1])
    through: Tensor = torch.einsum("nthd,hdc->nhtc", _by_head(tokens, heads), parts).flatten(1, 2)
    return through


def _affine(layer: nn.Module, inputs: int) -> tuple[Tensor, Tensor]:
    """The matrix, outputs×inputs, and the bias of a linear layer, or of what stands in its place."""
    if isinstance(layer, nn.Linear):
        return layer.weight, layer.bias
    unit = torch.eye(inputs).to(next(layer.parameters()))
    bias = layer(torch.zeros_like(unit[:1]))
    return (layer(unit) - bias).T, bias[0]
