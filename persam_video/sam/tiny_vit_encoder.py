"""MobileSAM's image encoder, and its preparation for inference."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from persam_video.sam.grids import INPUT_SIZE
from persam_video.sam.inference_layers import (
    ConvGelu,
    GeluInPlace,
    has_onednn,
    pack_linears_if_faster,
    prepare_for_inference,
)
from persam_video.sam.segment_anything_networks import LayerNorm2d
from persam_video.sam.tiny_vit import Attention, ConvNorm, TinyVit, attend

_CONV_THEN_GELU = (("conv1", "act"), ("conv1", "act1"), ("conv2", "act2"))
"""Names of a convolution and of the GELU after it."""


class TinyVitEncoder(nn.Module):
    """TinyViT-5M whose last stage keeps the resolution, and SAM's neck.

    Zhang et al. 2023, "Faster Segment Anything"; Wu et al. 2022, "TinyViT". The names of the parameters are timm's;
    `persam_video.sam.mobile_sam` translates those of MobileSAM's checkpoint.
    """

    img_size = INPUT_SIZE

    def __init__(self) -> None:
        super().__init__()
        backbone = TinyVit()
        self.patch_embed = backbone.patch_embed
        self.stages = backbone.stages
        self.neck = nn.Sequential(
            nn.Conv2d(320, 256, kernel_size=1, bias=False),
            LayerNorm2d(256),
            nn.Conv2d(256, 256, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(256),
        )

    def for_inference(self, device: torch.device, dtype: torch.dtype, *, compile: bool = False) -> Self:
        """This encoder, changed in place: frozen, with faster layers that give the same numbers, on a device.

        Args:
            device: target device.
            dtype: dtype of autocast, which the weights are rounded to; float32: no autocast.
            compile: compile the whole encoder with `torch.compile`.
        """
        self.eval()
        self._fold_batch_norms()
        self._fuse_attention()
        prepare_for_inference(self, device, dtype)
        if compile:
            self.compile()
        elif device.type == "cpu" and dtype == torch.float32:
            pack_linears_if_faster(self)
            if has_onednn("_convolution_pointwise"):
                self._fuse_gelus()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Features, B×256×h/16×w/16, of images, float, B×3×h×w, with sides that are multiples of 16."""
        features: Tensor = self.neck(self.stages(self.patch_embed(x)))
        return features

    def _fold_batch_norms(self) -> None:
        """Fold every batch norm into the convolution before it."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                layer: Any = module
                layer.conv = fuse_conv_bn_eval(layer.conv, layer.bn)
                layer.bn = nn.Identity()

    def _fuse_attention(self) -> None:
        """Replace attention by `_Attention`."""
        for module in list(self.modules()):
            for name, child in module.named_children():
                if isinstance(child, Attention):
                    setattr(module, name, _Attention(child))

    def _fuse_gelus(self) -> None:
        """Fuse every GELU with the convolution before it, for float32 on a CPU."""
        for module in list(self.modules()):
            for conv, act in _CONV_THEN_GELU:
                layer = getattr(module, conv, None)
                if isinstance(layer, ConvNorm) and isinstance(getattr(module, act, None), GeluInPlace):
                    setattr(module, conv, ConvGelu(layer.conv))
                    setattr(module, act, nn.Identity())


class _Attention(nn.Module):
    """`Attention` with its biases copied in the layout of torch's fused kernels.

    Args:
        attention: its layers are shared.
    """

    bias: Tensor

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.norm, self.qkv, self.proj, self.heads = attention.norm, attention.qkv, attention.proj, attention.heads
        # heads×tokens×tokens, not 1×heads×tokens×tokens: a move of the network to channels_last would reorder a tensor
        # of four dimensions, and CUDA has no fused kernel for that order.
        bias = attention.attention_biases.detach()[:, attention.attention_bias_idxs]
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Output of attention, float, windows×tokens×C, of tokens of the same shape."""
        return attend(self, x, self.bias)
