"""Inference-only replacements of torch's layers: the same numbers in less time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from persam_video.sam.segment_anything_networks import LayerNorm2d


class GeluInPlace(nn.Module):
    """`torch.nn.GELU` in place, which saves memory traffic; only where the input is not used again."""

    def forward(self, x: Tensor) -> Tensor:
        """The input tensor, overwritten with the result."""
        result: Tensor = torch.ops.aten.gelu_(x)
        return result


class ChannelNorm(nn.LayerNorm):
    """``segment_anything``'s `LayerNorm2d` as one fused kernel, always in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Input, float, N×C×h×w, normalised over C in every cell; faster in channels-last order. Float32."""
        return super().forward(x.permute(0, 2, 3, 1).float()).permute(0, 3, 1, 2)


class ConvGelu(nn.Module):
    """`torch.nn.Conv2d` and `torch.nn.GELU` as one oneDNN kernel, which saves memory traffic; float32 on a CPU.

    Args:
        conv: the convolution; its weights are shared.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """GELU of the convolution of float32, N×C×h×w."""
        conv = self.conv
        how = (conv.padding, conv.stride, conv.dilation, conv.groups)
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(x, conv.weight, conv.bias, *how, "gelu", [], "none")
        return result


class PackedLinear(nn.Module):
    """`torch.nn.Linear` by oneDNN, with its weight packed once for the processor; float32 on a CPU.

    Torch itself uses MKL, which is half as fast on processors with AVX-512 that are not Intel's.

    Args:
        linear: the layer; its weights are copied.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        bias = None if linear.bias is None else linear.bias.detach()
        self.register_buffer("weight", torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach()), False)
        self.register_buffer("bias", bias, False)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs, float32, …×outputs, of inputs, float32, …×inputs."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return result


def prepare_for_inference(network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Freeze a network, replace its layers by faster ones, round its weights and move it to a device.

    Args:
        network: changed in place; its convolutions are then in channels-last order.
        device: target device.
        dtype: dtype of autocast; float32: none.
    """
    network.eval().requires_grad_(False)
    replace_gelu(network)
    replace_layer_norm2d(network)
    if dtype != torch.float32:
        round_weights(network, dtype)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def replace_gelu(network: nn.Module) -> None:
    """Replace every exact GELU of a network by `GeluInPlace`."""

    def replacement(layer: nn.Module) -> nn.Module:
        return GeluInPlace() if isinstance(layer, nn.GELU) and layer.approximate == "none" else layer

    _replace(network, replacement)


def replace_layer_norm2d(network: nn.Module) -> None:
    """Replace every `LayerNorm2d` of a network by `ChannelNorm`."""

    def replacement(layer: nn.Module) -> nn.Module:
        if not isinstance(layer, LayerNorm2d):
            return layer
        norm = ChannelNorm(len(layer.weight), layer.eps, device="meta")
        norm.weight, norm.bias = layer.weight, layer.bias
        return norm

    _replace(network, replacement)


def round_weights(network: nn.Module, dtype: torch.dtype) -> None:
    """Round the weights of linear layers and convolutions once, as autocast would in every pass."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(dtype)


def is_packing_faster() -> bool:
    """Whether `PackedLinear` is faster than torch's own layer on this processor; without AVX-512 it is 5 % slower."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and has_onednn("_linear_pointwise")


def has_onednn(operation: str) -> bool:
    """Whether this build of torch has a oneDNN operation."""
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(available) and hasattr(torch.ops.mkldnn, operation)


def pack_linears(network: nn.Module) -> None:
    """Replace every linear layer of a network by `PackedLinear`."""
    _replace(network, lambda layer: PackedLinear(layer) if type(layer) is nn.Linear else layer)


def pack_linears_if_faster(network: nn.Module) -> None:
    """Replace every linear layer of a network, float32 on a CPU, by `PackedLinear` where `is_packing_faster`."""
    if is_packing_faster():
        pack_linears(network)


def _replace(network: nn.Module, replacement: Callable[[nn.Module], nn.Module]) -> None:
    """Set every child module of a network to its replacement."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            layer = replacement(child)
            if layer is not child:
                setattr(module, name, layer)
