"""Rewritten layers of the mask decoder against ``segment_anything``'s own."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.mask_decoder import MLP
from segment_anything.modeling.transformer import TwoWayTransformer
from torch import Tensor, nn

from persam_video.sam.two_way_transformer import GuidedTransformer
from persam_video.sam.upscaling import MaskHypernetworks, MaskUpscaling


@pytest.fixture
def transformer() -> TwoWayTransformer:
    torch.manual_seed(0)
    made = TwoWayTransformer(depth=2, embedding_dim=64, mlp_dim=128, num_heads=4).requires_grad_(False)
    for parameter in made.parameters():  # the default biases of 0 would hide a missing one
        parameter.normal_(std=0.2)
    return made


def transformer_inputs(tokens: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(3, 64, 5, 9), torch.randn(1, 64, 5, 9), torch.randn(3, tokens, 64)


@pytest.mark.parametrize("tokens", [1, 7, 60])
def test_transformer_equals_sams(transformer: TwoWayTransformer, tokens: int) -> None:
    image, image_pe, queries = transformer_inputs(tokens)
    expected = transformer(image, image_pe.expand(3, -1, -1, -1), queries)
    for ours, theirs in zip(GuidedTransformer(transformer)(image, image_pe, queries), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


class ParallelLinear(nn.Module):
    """A linear layer with another in parallel, as in LoRA."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer, self.parallel = layer, nn.Linear(layer.in_features, layer.out_features)

    def forward(self, x: Tensor) -> Tensor:
        both: Tensor = self.layer(x) + self.parallel(x)
        return both


def test_replacements_of_linear_layers_are_used_and_get_gradients(transformer: TwoWayTransformer) -> None:
    for part in (*transformer.layers, transformer):
        for attention in (each for each in part.children() if hasattr(each, "q_proj")):
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                setattr(attention, name, ParallelLinear(getattr(attention, name)))
    image, image_pe, queries = transformer_inputs()
    expected = transformer(image, image_pe.expand(3, -1, -1, -1), queries)
    trainable = [each for each in transformer.parameters() if each.requires_grad]
    gradients = torch.autograd.grad(sum(each.square().sum() for each in expected), trainable, allow_unused=True)
    ours = GuidedTransformer(transformer)(image, image_pe, queries)
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
    total = cast(Any, sum(each.square().sum() for each in ours))
    for gradient, theirs in zip(torch.autograd.grad(total, trainable, allow_unused=True), gradients, strict=True):
        # The softmax cancels the bias of the keys: its gradient is rounding errors, or None.
        gradient = torch.zeros_like(theirs) if gradient is None else gradient
        torch.testing.assert_close(gradient, theirs, atol=1e-2, rtol=1e-3)


@pytest.mark.parametrize("objects", [1, 3])
def test_mask_upscaling_equals_sams(objects: int) -> None:
    layers = nn.Sequential(
        nn.ConvTranspose2d(64, 16, 2, 2), LayerNorm2d(16), nn.GELU(), nn.ConvTranspose2d(16, 8, 2, 2), nn.GELU()
    )
    for parameter in layers.parameters():
        parameter.detach().normal_()
    tokens, weights = torch.randn(objects, 5 * 9, 64), torch.randn(objects, 4, 8)
    image = layers(tokens.transpose(1, 2).unflatten(2, (5, 9)))
    expected = torch.einsum("nmc,nchw->nmhw", weights, image)
    torch.testing.assert_close(MaskUpscaling(layers)(tokens, weights, rows=5), expected, atol=1e-3, rtol=1e-4)


def test_mask_hypernetworks_equal_sams() -> None:
    networks = nn.ModuleList([MLP(64, 64, 8, 3) for _ in range(4)]).requires_grad_(False)
    tokens = torch.randn(3, 4, 64)
    expected = torch.stack([network(tokens[:, i]) for i, network in enumerate(networks)], dim=1)
    torch.testing.assert_close(MaskHypernetworks(networks)(tokens), expected)
