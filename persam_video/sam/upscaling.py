"""Masks of the low-res grid from the decoder's image tokens, four times their resolution."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_STEP = 2
"""Factor by which each of the two transposed convolutions refines the grid."""


class MaskUpscaling(nn.Module):
    """``segment_anything``'s upscaling of the image and its product with the weights of the masks: the same numbers.

    Channels stay last in memory, so that each transposed convolution is a linear layer and only the final masks are
    reordered into a grid.

    Args:
        upscaling: ``output_upscaling`` of SAM's decoder; the weights of its convolutions are copied.
    """

    def __init__(self, upscaling: Any) -> None:
        super().__init__()
        first, self.norm, self.act, second, self.last_act = upscaling
        self.first, self.second = _as_linear(first), _as_linear(second)

    def forward(self, image: Tensor, weights: Tensor, rows: int) -> Tensor:
        """Logits of M masks of N objects, float, N×M×4·rows×4·columns.

        Args:
            image: float, N×rows·columns×C, the image tokens row by row.
            weights: float, N×M×C/8, from `MaskHypernetworks`.
            rows: number of rows of the feature grid.
        """
        norm: Any = self.norm
        count = len(image)
        x = self.first(image).reshape(count, -1, len(norm.weight))
        x = self.act(F.layer_norm(x, x.shape[2:], norm.weight, norm.bias, norm.eps))
        x = self.last_act(self.second(x)).reshape(count, -1, weights.shape[2])
        masks = weights @ x.transpose(1, 2)  # [N, M, image tokens × 4 cells in each × 4 cells in each]
        grids = masks.reshape(count, weights.shape[1], rows, -1, *[_STEP] * 4)
        logits: Tensor = grids.permute(0, 1, 2, 4, 6, 3, 5, 7).flatten(5, 7).flatten(2, 4)
        return logits


class MaskHypernetworks(nn.Module):
    """``segment_anything``'s networks from the token of each mask to its weights, as one batch.

    Args:
        networks: ``output_hypernetworks_mlps`` of SAM's decoder, one for each mask; their weights are copied.
    """

    def __init__(self, networks: Any) -> None:
        super().__init__()
        self._layers = [
            (
                torch.stack([layer.weight.T for layer in layers]).detach(),  # [M, inputs, outputs]
                torch.stack([layer.bias[None] for layer in layers]).detach(),  # [M, 1, outputs]
            )
            for layers in zip(*(network.layers for network in networks), strict=True)
        ]

    def forward(self, tokens: Tensor) -> Tensor:
        """Weights, float, N×M×C/8, of the tokens of M masks, N×M×C."""
        x = tokens.transpose(0, 1)
        *hidden, (matrices, biases) = self._layers
        for matrix, bias in hidden:
            x = torch.baddbmm(bias, x, matrix).relu_()
        return torch.baddbmm(biases, x, matrices).transpose(0, 1)


def _as_linear(layer: nn.ConvTranspose2d) -> nn.Linear:
    """Linear layer equal to a transposed convolution whose stride is its kernel size: from a cell's inputs to the
    outputs of all kernel positions, row by row."""
    channels, outputs, height, width = layer.weight.shape
    weight = layer.weight.detach().permute(2, 3, 1, 0).reshape(-1, channels)
    linear = nn.Linear(channels, height * width * outputs, device="meta")  # no random weights first
    assert layer.bias is not None
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(layer.bias.detach().repeat(height * width), requires_grad=False)
    return linear
