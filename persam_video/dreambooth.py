"""PerSAM-assisted DreamBooth (PerSAM §3.4): a diffusion loss that leaves the background of the photos out."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def masked_loss(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The mean squared error over the foreground alone.

    DreamBooth teaches a diffusion model a subject by a few photos, of which it also learns the backgrounds. With the
    subject's masks (``persam-segment --dreambooth``) the error is decoupled from them.

    Args:
        pred: float, B×C×h×w, the noise that the model predicts, in its latent space.
        target: float, B×C×h×w, the noise that was added.
        mask: float or bool, B×1×H×W, 1 = subject; resized to h×w by how much of each cell is the subject's.
    Returns:
        float, scalar: each photo counts the same, however large its subject is; one whose mask is empty counts as 0.
    Raises:
        ValueError: the shapes do not go together.
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
