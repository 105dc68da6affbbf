"""SAM's decoder: what is worked out otherwise than SAM does, against SAM's own layers."""

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
    for parameter in made.parameters():  # biases are 0 by default, and would not be missed
        parameter.normal_(std=0.2)
    return made


def asked(tokens: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(3, 64, 5, 9), torch.randn(1, 64, 5, 9), torch.randn(3, tokens, 64)


@pytest.mark.parametrize("tokens", [1, 7, 60])
def test_tokens_and_image_are_those_of_sams_transformer(transformer: TwoWayTransformer, tokens: int) -> None:
    image, position, queries = asked(tokens)
    expected = transformer(image, position.expand(3, -1, -1, -1), queries)
    for ours, theirs in zip(GuidedTransformer(transformer)(image, position, queries), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


class Beside(nn.Module):
    """A linear layer with another beside it, as one tunes it."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer, self.other = layer, nn.Linear(layer.in_features, layer.out_features)

    def forward(self, x: Tensor) -> Tensor:
        both: Tensor = self.layer(x) + self.other(x)
        return both


def test_what_stands_in_the_place_of_a_linear_layer_counts_and_learns(transformer: TwoWayTransformer) -> None:
    for part in (*transformer.layers, transformer):
        for attention in (each for each in part.children() if hasattr(each, "q_proj")):
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                setattr(attention, name, Beside(getattr(attention, name)))
    image, position, queries = asked()
    expected = transformer(image, position.expand(3, -1, -1, -1), queries)
    learned = [each for each in transformer.parameters() if each.requires_grad]
    gradients = torch.autograd.grad(sum(each.square().sum() for each in expected), learned, allow_unused=True)
    ours = GuidedTransformer(transformer)(image, position, queries)
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
    total = cast(Any, sum(each.square().sum() for each in ours))
    for gradient, theirs in zip(torch.autograd.grad(total, learned, allow_unused=True), gradients, strict=True):
        # The softmax takes the keys' bias away: rounding is all that is left of its gradient, or nothing is.
        gradient = torch.zeros_like(theirs) if gradient is None else gradient
        torch.testing.assert_close(gradient, theirs, atol=1e-2, rtol=1e-3)


@pytest.mark.parametrize("objects", [1, 3])
def test_masks_are_those_of_sams_upscaling(objects: int) -> None:
    layers = nn.Sequential(
        nn.ConvTranspose2d(64, 16, 2, 2), LayerNorm2d(16), nn.GELU(), nn.ConvTranspose2d(16, 8, 2, 2), nn.GELU()
    )
    for parameter in layers.parameters():
        parameter.detach().normal_()
    places, weights = torch.randn(objects, 5 * 9, 64), torch.randn(objects, 4, 8)
    image = layers(places.transpose(1, 2).unflatten(2, (5, 9)))
    expected = torch.einsum("nmc,nchw->nmhw", weights, image)
    torch.testing.assert_close(MaskUpscaling(layers)(places, weights, rows=5), expected, atol=1e-3, rtol=1e-4)


def test_the_weights_of_masks_are_those_of_sams_networks() -> None:
    networks = nn.ModuleList([MLP(64, 64, 8, 3) for _ in range(4)]).requires_grad_(False)
    tokens = torch.randn(3, 4, 64)
    expected = torch.stack([network(tokens[:, i]) for i, network in enumerate(networks)], dim=1)
    torch.testing.assert_close(MaskHypernetworks(networks)(tokens), expected)
