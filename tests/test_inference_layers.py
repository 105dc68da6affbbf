"""Inference layers against the layers of torch and ``segment_anything`` that they replace."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import nn

from persam_video.sam.inference_layers import (
    ChannelNorm,
    ConvGelu,
    GeluInPlace,
    PackedLinear,
    pack_linears,
    replace_gelu,
    replace_layer_norm2d,
    round_weights,
)

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 64), (3, 196, 64), (1, 0, 64), (2, 5, 9, 64)])
def test_a_packed_linear_layer_gives_the_same(shape: tuple[int, ...], bias: bool) -> None:
    linear = nn.Linear(64, 96, bias=bias)
    x = torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(PackedLinear(linear)(x), linear(x), rtol=1e-5, atol=1e-5)


@needs_onednn
def test_a_packed_linear_layer_with_a_strided_input() -> None:
    linear = nn.Linear(64, 96)
    x = torch.randn(64, 5, 9).permute(2, 1, 0)
    with torch.no_grad():
        torch.testing.assert_close(PackedLinear(linear)(x), linear(x), rtol=1e-5, atol=1e-5)


@needs_onednn
def test_all_linear_layers_are_packed_wherever_they_are() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.Sequential(nn.ReLU(), nn.Linear(8, 2)))
    x = torch.randn(3, 4)
    with torch.no_grad():
        expected = network(x)
        pack_linears(network)
        torch.testing.assert_close(network(x), expected)
    assert [type(module) for module in network.modules() if not list(module.children())] == [
        PackedLinear,
        nn.ReLU,
        PackedLinear,
    ]


@needs_onednn
@pytest.mark.parametrize("how", [{}, {"padding": 1, "stride": 2}, {"padding": 1, "groups": 8}, {"bias": False}])
def test_a_convolution_with_its_gelu_gives_the_same(how: dict[str, Any]) -> None:
    conv = nn.Conv2d(8, 16, 3, **how).to(memory_format=torch.channels_last)
    x = torch.randn(2, 8, 13, 10).to(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(ConvGelu(conv)(x), nn.GELU()(conv(x)), rtol=1e-5, atol=1e-5)


def test_a_gelu_in_place_gives_the_same() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 8), nn.Sequential(nn.GELU()))
    x = torch.randn(3, 4)
    with torch.no_grad():
        expected = network(x)
        replace_gelu(network)
        torch.testing.assert_close(network(x), expected)
    assert isinstance(network[1], GeluInPlace) and isinstance(network[3][0], GeluInPlace)


def test_channels_are_normalised_as_by_sam() -> None:
    network = nn.Sequential(LayerNorm2d(8, eps=1e-3), nn.Sequential(LayerNorm2d(8)))
    for parameter in network.parameters():
        parameter.detach().normal_()
    x = torch.randn(2, 8, 5, 7) * 0.1
    with torch.no_grad():
        expected = network(x)
        replace_layer_norm2d(network)
        torch.testing.assert_close(network(x), expected)
        torch.testing.assert_close(network(x.to(memory_format=torch.channels_last)), expected)
    assert isinstance(network[0], ChannelNorm) and isinstance(network[1][0], ChannelNorm)


def test_the_approximate_gelu_is_another_function() -> None:
    network = nn.Sequential(nn.GELU(approximate="tanh"))
    replace_gelu(network)
    assert isinstance(network[0], nn.GELU)


def test_weights_are_rounded_once_as_autocast_rounds_them() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Flatten(2), nn.Linear(36, 5))
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = network(x)
        round_weights(network, torch.bfloat16)
        assert torch.equal(network(x), expected)
    assert [each.dtype for each in network.parameters()] == [torch.bfloat16] * 2 + [torch.float32] * 2 + [
        torch.bfloat16
    ] * 2
