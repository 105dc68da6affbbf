"""SAM's own image encoder, ViT-B/L/H, without the padding to a square and with fused attention."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from persam_video.sam.inference_layers import pack_linears_if_faster, prepare_for_inference
from persam_video.sam.segment_anything_networks import ImageEncoderViT

_RECOMPILE_LIMIT = 64  # some frame sizes × batch sizes × both kinds of blocks
_CACHED_GRIDS = 16  # the frames of a video share one size, its windows have some


class VitEncoder(nn.Module):
    """``segment_anything``'s `ImageEncoderViT` for images of any shape: the same numbers for less work.

    Kirillov et al. 2023, "Segment Anything"; Li et al. 2022, "Exploring Plain Vision Transformer Backbones for Object
    Detection". An image smaller than the square gets the position embeddings of the square's upper left part, where
    SAM puts it before padding. The only difference from SAM is that no token attends to the padding.

    Args:
        encoder: encoder with relative positions, as all of SAM's have; its parameters, which must not change any more,
            are shared.
    """

    def __init__(self, encoder: ImageEncoderViT) -> None:
        super().__init__()
        self.img_size: int = encoder.img_size
        self.patch_embed = encoder.patch_embed
        self.pos_embed: Tensor = encoder.pos_embed
        self.blocks: Any = nn.ModuleList(map(_Block, encoder.blocks))
        self.neck = encoder.neck

    def for_inference(self, device: torch.device, dtype: torch.dtype, *, compile: bool = False) -> Self:
        """This encoder, changed in place: frozen, with faster layers that give the same numbers, on a device.

        Args:
            device: target device.
            dtype: dtype of autocast, which the weights are rounded to; float32: no autocast.
            compile: compile the blocks with `torch.compile`.
        """
        prepare_for_inference(self, device, dtype)
        if compile:
            self._compile_blocks()
        elif device.type == "cpu" and dtype == torch.float32:
            pack_linears_if_faster(self)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Features of images.

        Args:
            x: float, B×3×h×w, sides that are multiples of 16 and at most ``img_size``.
        Returns:
            float32 (also under autocast), B×256×h/16×w/16.
        """
        x = self.patch_embed(x)  # [B, h/16, w/16, C]
        x = x + self.pos_embed[:, : x.shape[1], : x.shape[2]]
        kind = x.device.type
        is_mixed = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if is_mixed else x.dtype
        for block in self.blocks:
            x = block(x, block.attn.relative_positions(x.shape[1], x.shape[2], dtype))
        features: Tensor = self.neck(x.permute(0, 3, 1, 2))
        return features

    def _compile_blocks(self) -> None:
        """Compile each block: blocks of one kind share the code, which takes seconds, not a minute as for the whole."""
        from torch._dynamo import config as dynamo_config  # late: only compilation needs it

        dynamo_config.recompile_limit = max(_RECOMPILE_LIMIT, dynamo_config.recompile_limit)
        for block in self.blocks:
            block.compile(dynamic=False)


class _Block(nn.Module):
    """Transformer block with the layers of ``segment_anything``'s `Block`, which are shared."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm1 = block.norm1
        self.attn = _Attention(block.attn, block.window_size)
        self.norm2 = block.norm2
        self.mlp = block.mlp

    def forward(self, x: Tensor, positions: _RelativePositions) -> Tensor:
        x = x + self.attn(self.norm1(x), positions)
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class _RelativePositions(NamedTuple):
    """Constants of a token grid of rows×columns for decomposed relative positions.

    Args:
        by_row: rows×size×rows; embeddings of the offsets from each query row to all key rows.
        by_column: columns×size×(columns + pad); the same for columns, and zeros that pad the head.
        one_hots: tokens×(rows + columns + pad); one-hot row and one-hot column of each key, and the zeros of the pad.
    """

    by_row: Tensor
    by_column: Tensor
    one_hots: Tensor


class _Attention(nn.Module):
    """Attention with decomposed relative positions (Li et al. 2022, "MViTv2", eq. 4), in windows or over the grid.

    The bias of a pair of tokens, q·H[i - i'] + q·W[j - j'], is a dot product too: of q·H and q·W of the query for all
    rows and columns, with the one-hot row and column of the key. Appended to q and k they make it attention without a
    bias, which fused kernels can compute.

    Args:
        attention: ``segment_anything``'s module; its parameters are shared.
        window: side of a window, in tokens; 0: one window over the whole grid.
    """

    def __init__(self, attention: Any, window: int) -> None:
        super().__init__()
        self.qkv = attention.qkv
        self.proj = attention.proj
        self.rel_pos_h: Tensor = attention.rel_pos_h
        self.rel_pos_w: Tensor = attention.rel_pos_w
        self.window = window
        self._cache: OrderedDict[tuple[int, int, torch.dtype, torch.device], _RelativePositions] = OrderedDict()

    def forward(self, x: Tensor, positions: _RelativePositions) -> Tensor:
        """Output of attention, float, B×h×w×C, of tokens of the same shape, with the `relative_positions` of h×w in the
        layer's dtype."""
        batch, height, width, _ = x.shape
        size = self.rel_pos_h.shape[1]
        rows, columns = (self.window, self.window) if self.window else (height, width)
        down, across = -(-height // rows), -(-width // columns)

        qkv = self.qkv(x)
        if (down * rows, across * columns) != (height, width):
            # SAM pads the last windows with zeros before this layer: after it they are its bias.
            padded = self.qkv.bias.to(qkv.dtype).repeat(batch, down * rows, across * columns, 1)
            padded[:, :height, :width] = qkv
            qkv = padded
        # [B, down, across, heads, rows, columns, size] each
        q, k, v = qkv.view(batch, down, rows, across, columns, 3, -1, size).permute(5, 0, 1, 3, 6, 2, 4, 7)

        rel_h = torch.einsum("...ijc,ick->...ijk", q, positions.by_row)
        rel_w = torch.einsum("...ijc,jck->...ijk", q, positions.by_column)
        one_hots = positions.one_hots.view(rows, columns, -1).expand(*k.shape[:-1], -1)
        q = torch.cat((q * size**-0.5, rel_h, rel_w), dim=-1)
        k = torch.cat((k, one_hots), dim=-1)
        v = F.pad(v, (0, q.shape[-1] - size))  # the kernels require one size for all three
        q, k, v = (each.flatten(4, 5).flatten(0, 2) for each in (q, k, v))  # [B · windows, heads, tokens, size]
        out = F.scaled_dot_product_attention(q, k, v, scale=1.0)[..., :size]

        out = out.reshape(batch, down, across, -1, rows, columns, size).permute(0, 1, 4, 2, 5, 3, 6)
        out = out.reshape(batch, down * rows, across * columns, -1)[:, :height, :width]
        projected: Tensor = self.proj(out)
        return projected

    def relative_positions(self, height: int, width: int, dtype: torch.dtype) -> _RelativePositions:
        """Constants of a grid of height×width tokens, on the device of the weights; cached."""
        rows, columns = (self.window, self.window) if self.window else (height, width)
        device = self.rel_pos_h.device
        key = (rows, columns, dtype, device)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        size = self.rel_pos_h.shape[1]
        pad = -(size + rows + columns) % 8  # flash attention requires a head size that is a multiple of 8
        token = torch.arange(rows * columns)
        one_hots = torch.cat((F.one_hot(token // columns, rows), F.one_hot(token % columns, columns)), dim=1)
        positions = _RelativePositions(
            by_row=_offset_embeddings(self.rel_pos_h, rows).to(dtype),
            by_column=F.pad(_offset_embeddings(self.rel_pos_w, columns), (0, pad)).to(dtype),
            one_hots=F.pad(one_hots, (0, pad)).to(device, dtype),
        )
        self._cache[key] = positions
        if len(self._cache) > _CACHED_GRIDS:
            self._cache.popitem(last=False)
        return positions


def _offset_embeddings(rel_pos: Tensor, length: int) -> Tensor:
    """Embeddings of the offsets between the first ``length`` tokens of a side, length×size×length (query, size, key).

    Args:
        rel_pos: (2·n - 1)×size, of the offsets -(n - 1) to n - 1 of a side of n tokens.
    """
    token = torch.arange(length, device=rel_pos.device)
    offset = token[:, None] - token + (rel_pos.shape[0] - 1) // 2  # [query, key], counted from offset 0 in the middle
    return rel_pos.detach()[offset].transpose(1, 2)
