"""MobileSAM's image encoder, and what makes it quick without changing its numbers."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from segment_anything.modeling.common import LayerNorm2d
from timm.models.tiny_vit import Attention, ConvNorm, TinyVit
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from persam_video.sam.grids import INPUT_SIZE
from persam_video.sam.inference_layers import ConvGelu, GeluInPlace

_CONV_THEN_GELU = (("conv1", "act"), ("conv1", "act1"), ("conv2", "act2"))
"""What timm's modules call a convolution and the GELU after it."""


class TinyVitEncoder(nn.Module):
    """TinyViT-5M whose last stage keeps the resolution, and SAM's neck.

    Zhang et al. 2023, "Faster Segment Anything"; Wu et al. 2022, "TinyViT". The names of the parameters are timm's;
    `persam_video.sam.mobile_sam` translates those of MobileSAM's checkpoint.
    """

    img_size = INPUT_SIZE

    def __init__(self) -> None:
        super().__init__()
        backbone: Any = TinyVit(
            embed_dims=(64, 128, 160, 320),
            depths=(2, 2, 6, 2),
            num_heads=(2, 4, 5, 10),
            window_sizes=(7, 7, 14, 7),
            num_classes=0,
        )
        self.patch_embed = backbone.patch_embed
        backbone.stages[3].downsample.conv2.conv.stride = (1, 1)
        self.stages = backbone.stages
        self.neck = nn.Sequential(
            nn.Conv2d(320, 256, kernel_size=1, bias=False),
            LayerNorm2d(256),
            nn.Conv2d(256, 256, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(256),
        )

    def freeze(self) -> None:
        """Make it quicker for good, with the same numbers: it can no longer be trained, nor its weights be changed.

        Every batch norm is folded into the convolution before it, and attention takes its biases in the shape for which
        there is a fused kernel.
        """
        modules: list[Any] = list(self.modules())
        for module in modules:
            if isinstance(module, ConvNorm):
                _fold(module)
            for name, child in module.named_children():
                if isinstance(child, Attention):
                    setattr(module, name, _Attention(child))

    def fuse_gelus(self) -> None:
        """Make it quicker on a CPU in float32, with the same numbers: GELUs are done with the convolutions before them.
        After `freeze` and `write_over`."""
        for module in list(self.modules()):
            for conv, act in _CONV_THEN_GELU:
                layer = getattr(module, conv, None)
                if isinstance(layer, ConvNorm) and isinstance(getattr(module, act, None), GeluInPlace):
                    setattr(module, conv, ConvGelu(layer.conv))
                    setattr(module, act, nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        """Encode pictures, float B×3×h×w with sides that are multiples of 16, into features, B×256×h/16×w/16."""
        features: Tensor = self.neck(self.stages(self.patch_embed(x)))
        return features


def _fold(layer: Any) -> None:
    layer.conv = fuse_conv_bn_eval(layer.conv, layer.bn)
    layer.bn = nn.Identity()


class _Attention(nn.Module):
    """Attention within windows, with a learned bias for every pair of places.

    Args:
        attention: timm's; its layers are shared.
    """

    bias: Tensor

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.norm = attention.norm
        self.qkv = attention.qkv
        self.proj = attention.proj
        self.heads = attention.num_heads
        self.sizes = [attention.key_dim, attention.key_dim, attention.val_dim]
        # heads×tokens×tokens: with four dimensions its memory would be put in channels-last order along with all
        # images, for which CUDA has no fused kernel.
        bias = attention.attention_biases.detach()[:, attention.attention_bias_idxs]
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Float windows×tokens×C to the same."""
        qkv = self.qkv(self.norm(x)).unflatten(2, (self.heads, -1)).transpose(1, 2)
        q, k, v = qkv.split(self.sizes, dim=3)  # [windows, heads, tokens, size]
        # With a leading 1: without it torch takes the slow path on a CPU.
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias.to(q.dtype)[None])
        projected: Tensor = self.proj(out.transpose(1, 2).flatten(2))
        return projected
