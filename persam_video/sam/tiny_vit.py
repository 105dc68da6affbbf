"""TinyViT, the backbone of MobileSAM's image encoder (Wu et al. 2022, "TinyViT: Fast Pretraining Distillation for Small
Vision Transformers", §3 and table 8). The names of the parameters are timm's."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EXPANSION = 4
"""Hidden channels of MBConv and MLP, relative to their inputs."""


class ConvNorm(nn.Sequential):
    """Convolution without a bias, and batch norm."""

    bn: nn.Module

    def __init__(self, inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)


class PatchEmbed(nn.Module):
    """From images to patches of 4×4 pixels, by two convolutions of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, channels // 2, 3, stride=2)
        self.act: nn.Module = nn.GELU()
        self.conv2 = ConvNorm(channels // 2, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Patches, B×channels×h/4×w/4, of images, B×3×h×w."""
        patches: Tensor = self.conv2(self.act(self.conv1(x)))
        return patches


class MBConv(nn.Module):
    """Inverted residual block: pointwise expansion, depthwise convolution and projection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = _EXPANSION * channels
        self.conv1 = ConvNorm(channels, hidden)
        self.act1: nn.Module = nn.GELU()
        self.conv2 = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.act2: nn.Module = nn.GELU()
        self.conv3 = ConvNorm(hidden, channels)
        self.act3: nn.Module = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same shape, B×channels×h×w."""
        hidden = self.act2(self.conv2(self.act1(self.conv1(x))))
        maps: Tensor = self.act3(self.conv3(hidden) + x)
        return maps


class PatchMerging(nn.Module):
    """From one stage to the next: more channels, and fewer cells by the stride."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs)
        self.act1: nn.Module = nn.GELU()
        self.conv2 = ConvNorm(outputs, outputs, 3, stride, groups=outputs)
        self.act2: nn.Module = nn.GELU()
        self.conv3 = ConvNorm(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps, B×outputs×h/stride×w/stride, of maps, B×inputs×h×w."""
        maps: Tensor = self.conv3(self.act2(self.conv2(self.act1(self.conv1(x)))))
        return maps


class Attention(nn.Module):
    """Parameters of attention within windows, with a learned bias for every offset between two tokens.

    Args:
        channels: of the tokens.
        heads: number of heads.
        window: side of a window, in tokens.
    """

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        row, column = torch.arange(window * window) // window, torch.arange(window * window) % window
        # The bias of two tokens is that of the distances between their rows and columns.
        offsets = (row[:, None] - row).abs() * window + (column[:, None] - column).abs()
        self.register_buffer("attention_bias_idxs", offsets, persistent=False)

    attention_bias_idxs: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Output of attention, windows×tokens×channels, of tokens of the same shape."""
        return attend(self, x, self.attention_biases[:, self.attention_bias_idxs])


def attend(layers: Any, x: Tensor, bias: Tensor) -> Tensor:
    """Output of attention, float, windows×tokens×C, of tokens of the same shape, by torch's fused kernels.

    Args:
        layers: `Attention`, or a module with its layers.
        bias: float, heads×tokens×tokens.
    """
    qkv = layers.qkv(layers.norm(x)).unflatten(2, (layers.heads, 3, -1)).transpose(1, 2)
    q, k, v = qkv.unbind(3)  # [windows, heads, tokens, size]
    # A bias of three dimensions would take torch's slow path on a CPU.
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype)[None])
    projected: Tensor = layers.proj(out.transpose(1, 2).flatten(2))
    return projected


class Mlp(nn.Module):
    """Layer norm and two linear layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, _EXPANSION * channels)
        self.act: nn.Module = nn.GELU()
        self.fc2 = nn.Linear(_EXPANSION * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens of the same shape, …×channels."""
        tokens: Tensor = self.fc2(self.act(self.fc1(self.norm(x))))
        return tokens


class TinyVitBlock(nn.Module):
    """Attention within windows, a depthwise convolution, and an MLP.

    Args:
        channels: of the tokens.
        heads: of attention.
        window: side of a window, in tokens.
    """

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn: nn.Module = Attention(channels, heads, window)
        self.mlp = Mlp(channels)
        self.local_conv = ConvNorm(channels, channels, 3, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens of the same shape, B×h×w×channels."""
        x = x + self._attention(x)
        x = self.local_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        result: Tensor = x + self.mlp(x)
        return result

    def _attention(self, x: Tensor) -> Tensor:
        batch, rows, columns, channels = x.shape
        side = self.window
        below, right = -rows % side, -columns % side
        padded = F.pad(x, (0, 0, 0, right, 0, below)) if below or right else x
        down, across = (rows + below) // side, (columns + right) // side
        windows = padded.view(batch, down, side, across, side, channels).transpose(2, 3)
        tokens = self.attn(windows.reshape(-1, side * side, channels))
        windows = tokens.view(batch, down, across, side, side, channels).transpose(2, 3)
        joined: Tensor = windows.reshape(batch, down * side, across * side, channels)
        return joined[:, :rows, :columns]


class ConvStage(nn.Module):
    """First stage: inverted residual blocks."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(MBConv(channels) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same shape, B×channels×h×w."""
        maps: Tensor = self.blocks(x)
        return maps


class TinyVitStage(nn.Module):
    """Later stage: downsampling, then blocks with attention.

    Args:
        inputs: channels of the stage before.
        channels: of this stage.
        depth: number of blocks.
        heads: of attention.
        window: side of its windows, in tokens.
        stride: of downsampling.
    """

    def __init__(self, inputs: int, channels: int, *, depth: int, heads: int, window: int, stride: int) -> None:
        super().__init__()
        self.downsample = PatchMerging(inputs, channels, stride)
        self.blocks = nn.Sequential(*(TinyVitBlock(channels, heads, window) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """Maps, B×channels×h/stride×w/stride, of maps, B×inputs×h×w."""
        tokens: Tensor = self.blocks(self.downsample(x).permute(0, 2, 3, 1))
        return tokens.permute(0, 3, 1, 2)


class TinyVit(nn.Module):
    """TinyViT-5M without its classifier, whose last stage keeps the resolution (Zhang et al. 2023, "Faster Segment
    Anything")."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(64)
        self.stages = nn.Sequential(
            ConvStage(64, depth=2),
            TinyVitStage(64, 128, depth=2, heads=4, window=7, stride=2),
            TinyVitStage(128, 160, depth=6, heads=5, window=14, stride=2),
            TinyVitStage(160, 320, depth=2, heads=10, window=7, stride=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps, B×320×h/16×w/16, of images, float, B×3×h×w, with sides that are multiples of 16."""
        maps: Tensor = self.stages(self.patch_embed(x))
        return maps
