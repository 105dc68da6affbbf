"""From the parameter names of MobileSAM's checkpoint (``mobile_sam.pt``) to those of `models.build_network`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

StateDict = dict[str, Tensor]
"""Parameters and buffers by name."""


def to_timm(state: Mapping[str, Tensor]) -> StateDict:
    """State dict with timm's names of the image encoder, without the classifier head, which SAM does not use.

    Args:
        state: state dict with MobileSAM's names. Names of other parts stay as they are.
    """
    renamed = {}
    for name, tensor in state.items():
        if re.match(r"image_encoder\.(norm_head|head)\.", name) or name.endswith("attention_bias_idxs"):
            continue
        name = name.replace("image_encoder.patch_embed.seq.0.", "image_encoder.patch_embed.conv1.")
        name = name.replace("image_encoder.patch_embed.seq.2.", "image_encoder.patch_embed.conv2.")
        # A downsampling layer belongs to the stage after it in timm, to the one before in MobileSAM.
        name = re.sub(r"layers\.(\d)\.downsample", lambda match: f"stages.{int(match[1]) + 1}.downsample", name)
        name = name.replace("image_encoder.layers.", "image_encoder.stages.")
        if name.startswith("image_encoder."):
            name = name.replace(".c.weight", ".conv.weight")
        renamed[f"{name} twice" if name in renamed else name] = tensor  # the odd name is refused as unknown
    return renamed
