"""PerSAM-assisted DreamBooth (PerSAM §3.4): the diffusion loss without the background of the training images."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def masked_loss(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error over the foreground: a scalar.

    DreamBooth fine-tunes a diffusion model on a few images of a subject, and the model learns their backgrounds too.
    With masks of the subject (``persam-segment --dreambooth``) the background does not contribute to the loss.

    Every image has the same weight, however large its subject is; one whose mask is empty contributes 0.

    Args:
        pred: float, B×C×h×w: the noise that the model predicts, in its latent space.
        target: float, B×C×h×w: the noise that was added.
        mask: float or bool, B×1×H×W, 1 = subject; resized to h×w, each cell to the fraction that the subject covers.
    Raises:
        ValueError: the shapes do not match.
    """
    if pred.shape != target.shape or pred.ndim != 4:
        raise ValueError(
            f"pred and target must be B×C×h×w, both the same; got {tuple(pred.shape)}, {tuple(target.shape)}"
        )
    if mask.ndim != 4 or mask.shape[:2] != (len(pred), 1):
        raise ValueError(f"the mask must be {len(pred)}×1×H×W, got {tuple(mask.shape)}")
    weights = F.interpolate(mask.to(pred), size=pred.shape[2:], mode="area")
    squared = (pred - target).square().mean(dim=1, keepdim=True)
    return ((weights * squared).sum(dim=(1, 2, 3)) / weights.sum(dim=(1, 2, 3)).clamp(min=1e-6)).mean()
