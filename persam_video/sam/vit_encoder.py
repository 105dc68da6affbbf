"""SAM's own image encoder, ViT-B/L/H, without the padding to a square and with fused attention."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from segment_anything.modeling import ImageEncoderViT
from torch import Tensor, nn

_COMPILED_KEPT = 64  # for some sizes of frames, numbers of them at once, and both kinds of blocks
_GRIDS_KEPT = 4  # frames of a video share one size; those of a dataset have a few


class VitEncoder(nn.Module):
    """``segment_anything``'s `ImageEncoderViT`, the same numbers for less work, for frames of any shape.

    Kirillov et al. 2023, "Segment Anything"; Li et al. 2022, "Exploring Plain Vision Transformer Backbones for Object
    Detection". A frame smaller than the square has the positions of the square's upper left part, where SAM's padding
    would put it; the only difference is that no token attends to the padding.

    Args:
        encoder: with its weights, which must not change any more, and with relative positions, as all of SAM's have;
            its parameters are shared, not copied.
    """

    def __init__(self, encoder: ImageEncoderViT) -> None:
        super().__init__()
        self.img_size: int = encoder.img_size
        self.patch_embed = encoder.patch_embed
        self.pos_embed: Tensor = encoder.pos_embed
        self.blocks: Any = nn.ModuleList(map(_Block, encoder.blocks))
        self.neck = encoder.neck

    def forward(self, x: Tensor) -> Tensor:
        """Encode pictures.

        Args:
            x: float, B×3×h×w, sides that are multiples of 16 and at most ``img_size``.
        Returns:
            The features, float32, B×256×h/16×w/16, under autocast too.
        """
        x = self.patch_embed(x)  # [B, h/16, w/16, C]
        x = x + self.pos_embed[:, : x.shape[1], : x.shape[2]]
        kind = x.device.type
        is_mixed = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if is_mixed else x.dtype
        for block in self.blocks:
            x = block(x, block.attn.tables(x.shape[1], x.shape[2], dtype))
        features: Tensor = self.neck(x.permute(0, 3, 1, 2))
        return features

    def compile_blocks(self) -> None:
        """Put the blocks through `torch.compile`: once for all that are alike, which takes seconds instead of a minute
        for the whole."""
        from torch._dynamo import config as dynamo_config  # late: nothing else needs it

        dynamo_config.recompile_limit = max(_COMPILED_KEPT, dynamo_config.recompile_limit)
        for block in self.blocks:
            block.compile(dynamic=False)


class _Block(nn.Module):
    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm1 = block.norm1
        self.attn = _Attention(block.attn, block.window_size)
        self.norm2 = block.norm2
        self.mlp = block.mlp

    def forward(self, x: Tensor, tables: _Tables) -> Tensor:
        x = x + self.attn(self.norm1(x), tables)
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class _Tables(NamedTuple):
    """What a grid of rows×columns tokens needs for its relative positions.

    Args:
        by_row: rows×size×rows; for each row of the query, the offsets of all rows of the keys.
        by_column: columns×size×(columns + pad); the same of the columns, and zeros that fill up the head.
        one_hots: tokens×(rows + columns + pad); 1 at each key's row and at its column.
    """

    by_row: Tensor
    by_column: Tensor
    one_hots: Tensor


class _Attention(nn.Module):
    """Attention with decomposed relative positions (Li et al. 2022, "MViTv2", eq. 4), in windows or over the grid.

    The bias of a pair of tokens, q·H[i - i'] + q·W[j - j'], is a product too: of the query's terms for all rows and
    columns, and of the one-hots of the key's row and column. Appended to q and to k they leave attention without a
    bias, for which there are fused kernels.

    Args:
        attention: ``segment_anything``'s; its parameters are shared.
        window: the side of a window, in tokens; 0 for one that is the whole grid.
    """

    def __init__(self, attention: Any, window: int) -> None:
        super().__init__()
        self.qkv = attention.qkv
        self.proj = attention.proj
        self.rel_pos_h: Tensor = attention.rel_pos_h
        self.rel_pos_w: Tensor = attention.rel_pos_w
        self.window = window
        self._kept: OrderedDict[tuple[int, int, torch.dtype, torch.device], _Tables] = OrderedDict()

    def forward(self, x: Tensor, tables: _Tables) -> Tensor:
        """Float B×h×w×C to the same, with the `tables` for h×w and what the layer computes in."""
        batch, height, width, _ = x.shape
        size = self.rel_pos_h.shape[1]
        rows, columns = (self.window, self.window) if self.window else (height, width)
        down, across = -(-height // rows), -(-width // columns)

        qkv = self.qkv(x)
        if (down * rows, across * columns) != (height, width):
            # SAM fills up the last windows with zeros before this layer: after it they are its bias.
            padded = self.qkv.bias.to(qkv.dtype).repeat(batch, down * rows, across * columns, 1)
            padded[:, :height, :width] = qkv
            qkv = padded
        # [B, down, across, heads, rows, columns, size] each
        q, k, v = qkv.view(batch, down, rows, across, columns, 3, -1, size).permute(5, 0, 1, 3, 6, 2, 4, 7)

        for_rows = torch.einsum("...ijc,ick->...ijk", q, tables.by_row)
        for_columns = torch.einsum("...ijc,jck->...ijk", q, tables.by_column)
        one_hots = tables.one_hots.view(rows, columns, -1).expand(*k.shape[:-1], -1)
        q = torch.cat((q * size**-0.5, for_rows, for_columns), dim=-1)
        k = torch.cat((k, one_hots), dim=-1)
        v = F.pad(v, (0, q.shape[-1] - size))  # the kernels want one size for all three
        q, k, v = (each.flatten(4, 5).flatten(0, 2) for each in (q, k, v))  # [B · windows, heads, tokens, size]
        out = F.scaled_dot_product_attention(q, k, v, scale=1.0)[..., :size]

        out = out.reshape(batch, down, across, -1, rows, columns, size).permute(0, 1, 4, 2, 5, 3, 6)
        out = out.reshape(batch, down * rows, across * columns, -1)[:, :height, :width]
        projected: Tensor = self.proj(out)
        return projected

    def tables(self, height: int, width: int, dtype: torch.dtype) -> _Tables:
        """What is needed for a grid; it is kept."""
        rows, columns = (self.window, self.window) if self.window else (height, width)
        key = (rows, columns, dtype, self.rel_pos_h.device)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        device = self.rel_pos_h.device
        size = self.rel_pos_h.shape[1]
        pad = -(size + rows + columns) % 8  # flash attention wants a head of a multiple of 8
        token = torch.arange(rows * columns)
        one_hots = torch.cat((F.one_hot(token // columns, rows), F.one_hot(token % columns, columns)), dim=1)
        tables = _Tables(
            by_row=_offsets(self.rel_pos_h, rows).to(dtype),
            by_column=F.pad(_offsets(self.rel_pos_w, columns), (0, pad)).to(dtype),
            one_hots=F.pad(one_hots, (0, pad)).to(device, dtype),
        )
        self._kept[key] = tables
        if len(self._kept) > _GRIDS_KEPT:
            self._kept.popitem(last=False)
        return tables


def _offsets(table: Tensor, length: int) -> Tensor:
    """Relative positions, (2·n - 1)×size for a side of n tokens, as length×size×length for its first ``length``."""
    place = torch.arange(length, device=table.device)
    offset = place[:, None] - place + (table.shape[0] - 1) // 2  # [query, key], from the centre
    return table.detach()[offset].transpose(1, 2)
