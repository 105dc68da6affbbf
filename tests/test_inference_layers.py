"""What is quicker than torch's layers and must give the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from persam_video.sam.inference_layers import GeluInPlace, PackedLinear, pack_linears, write_over

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
def test_of_what_is_not_contiguous_too() -> None:
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


def test_a_gelu_in_place_gives_the_same() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 8), nn.Sequential(nn.GELU()))
    x = torch.randn(3, 4)
    with torch.no_grad():
        expected = network(x)
        write_over(network)
        torch.testing.assert_close(network(x), expected)
    assert isinstance(network[1], GeluInPlace) and isinstance(network[3][0], GeluInPlace)


def test_the_approximate_gelu_is_another_function() -> None:
    network = nn.Sequential(nn.GELU(approximate="tanh"))
    write_over(network)
    assert isinstance(network[0], nn.GELU)
