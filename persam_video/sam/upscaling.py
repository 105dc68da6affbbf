"""From the decoder's features to masks of four times their resolution."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_STEP = 2
"""How much finer each of the two steps makes the grid."""


class MaskUpscaling(nn.Module):
    """``segment_anything``'s upscaling of the image and its product with the masks' weights, the same numbers with one
    place after another in memory: each step is then a linear layer, and only the masks are put in order.

    Args:
        upscaling: the decoder's `output_upscaling`; its convolutions' weights are copied.
    """

    def __init__(self, upscaling: Any) -> None:
        super().__init__()
        first, self.norm, self.act, second, self.last_act = upscaling
        self.first, self.second = _as_linear(first), _as_linear(second)

    def forward(self, places: Tensor, weights: Tensor, rows: int) -> Tensor:
        """The logits of M masks of N objects: float, N×M×4·rows×4·columns.

        Args:
            places: float, N×rows·columns×C, the image row by row.
            weights: float, N×M×C/8, of each mask.
            rows: of the image.
        """
        norm: Any = self.norm
        count = len(places)
        x = self.first(places).reshape(count, -1, len(norm.weight))
        x = self.act(F.layer_norm(x, x.shape[2:], norm.weight, norm.bias, norm.eps))
        x = self.last_act(self.second(x)).reshape(count, -1, weights.shape[2])
        masks = weights @ x.transpose(1, 2)  # [N, M, places, those within them, those within these]
        grids = masks.reshape(count, weights.shape[1], rows, -1, *[_STEP] * 4)
        whole: Tensor = grids.permute(0, 1, 2, 4, 6, 3, 5, 7).flatten(5, 7).flatten(2, 4)
        return whole


class MaskHypernetworks(nn.Module):
    """``segment_anything``'s networks from each mask's token to its weights, all in one go.

    Args:
        networks: the decoder's `output_hypernetworks_mlps`, one for each mask; their weights are copied.
    """

    def __init__(self, networks: Any) -> None:
        super().__init__()
        self._layers = [
            (
                torch.stack([each.weight.T for each in same]).detach(),  # [M, inputs, outputs]
                torch.stack([each.bias[None] for each in same]).detach(),  # [M, 1, outputs]
            )
            for same in zip(*(network.layers for network in networks), strict=True)
        ]

    def forward(self, tokens: Tensor) -> Tensor:
        """Float, N×M×C, the tokens of M masks: N×M×C/8."""
        x = tokens.transpose(0, 1)
        *hidden, (matrices, biases) = self._layers
        for inner, shift in hidden:
            x = torch.baddbmm(shift, x, inner).relu_()
        return torch.baddbmm(biases, x, matrices).transpose(0, 1)


def _as_linear(layer: nn.ConvTranspose2d) -> nn.Linear:
    """What a transposed convolution, whose steps are as large as its kernel, does to each place: its outputs for one
    place after another of the kernel, row by row."""
    channels, outputs, height, width = layer.weight.shape
    weight = layer.weight.detach().permute(2, 3, 1, 0).reshape(-1, channels)
    linear = nn.Linear(channels, height * width * outputs, device="meta")  # no random weights first
    assert layer.bias is not None
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(layer.bias.detach().repeat(height * width), requires_grad=False)
    return linear
