"""Layers for inference alone, which take the place of torch's: the same numbers in less time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn


class GeluInPlace(nn.Module):
    """`torch.nn.GELU` that writes over what it is given, which nobody needs any more: less memory is gone through."""

    def forward(self, x: Tensor) -> Tensor:
        """The same tensor, changed."""
        result: Tensor = torch.ops.aten.gelu_(x)
        return result


class ChannelNorm(nn.LayerNorm):
    """``segment_anything``'s `LayerNorm2d` in one go, and in float32 also where the rest is not."""

    def forward(self, x: Tensor) -> Tensor:
        """Float N×C×h×w, normalised over the channels of every place; the quicker if they are last in memory."""
        return super().forward(x.permute(0, 2, 3, 1).float()).permute(0, 3, 1, 2)


class ConvGelu(nn.Module):
    """`torch.nn.Conv2d` and `torch.nn.GELU` on a CPU in float32, in one go by oneDNN: less memory is gone through.

    Args:
        conv: with its weights, which are shared.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """What both do to float32, N×C×h×w."""
        conv = self.conv
        where = (conv.padding, conv.stride, conv.dilation, conv.groups)
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(x, conv.weight, conv.bias, *where, "gelu", [], "none")
        return result


class PackedLinear(nn.Module):
    """`torch.nn.Linear` on a CPU in float32 by oneDNN, its weight packed once for the processor.

    By itself torch leaves this to MKL, which is half as fast where a processor has AVX-512 and is not Intel's.

    Args:
        linear: with its weights, which must not change any more.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        bias = None if linear.bias is None else linear.bias.detach()
        self.register_buffer("weight", torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach()), False)
        self.register_buffer("bias", bias, False)

    def forward(self, x: Tensor) -> Tensor:
        """Float32, …×inputs to …×outputs."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return result


def write_over(network: nn.Module) -> None:
    """Replace every GELU of a network by `GeluInPlace`."""

    def changed(layer: nn.Module) -> nn.Module:
        return GeluInPlace() if isinstance(layer, nn.GELU) and layer.approximate == "none" else layer

    _replace(network, changed)


def fuse_norms(network: nn.Module) -> None:
    """Replace every `LayerNorm2d` of a network by `ChannelNorm`."""

    def changed(layer: nn.Module) -> nn.Module:
        if not isinstance(layer, LayerNorm2d):
            return layer
        norm = ChannelNorm(len(layer.weight), layer.eps, device="meta")
        norm.weight, norm.bias = layer.weight, layer.bias
        return norm

    _replace(network, changed)


def is_packing_faster() -> bool:
    """Whether `PackedLinear` is, on this processor: MKL is faster by some 5 % without AVX-512."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and has_onednn("_linear_pointwise")


def has_onednn(operation: str) -> bool:
    """Whether this torch has one of oneDNN's operations."""
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(available) and hasattr(torch.ops.mkldnn, operation)


def pack_linears(network: nn.Module) -> None:
    """Replace every linear layer of a network by `PackedLinear`."""
    _replace(network, lambda layer: PackedLinear(layer) if type(layer) is nn.Linear else layer)


def _replace(network: nn.Module, changed: Callable[[nn.Module], nn.Module]) -> None:
    """Put what each layer of a network is changed into in its place."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            layer = changed(child)
            if layer is not child:
                setattr(module, name, layer)


def keep_weights_as(network: nn.Module, dtype: torch.dtype) -> None:
    """Round the weights of linear layers and convolutions once to what autocast would round them to in every pass."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(dtype)
