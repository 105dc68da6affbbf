"""Scale weights of PerSAM-F (§3.3, eq. 11): w1 and w2, the two parameters that are learned per object."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_STEPS = 100
VIDEO_TOTAL_LR = 800 * 4e-4
IMAGE_TOTAL_LR = 1000 * 1e-3
"""Steps × learning rate of the published scripts."""
_ADAM_EPS = 1e-4
_FOCAL_ALPHA = 0.25
_FOCAL_GAMMA = 2.0


def aggregate_scales(logits: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of the masks of SAM's three scales (eq. 11).

    Args:
        logits: float, N×3×h×w.
        weights: float, N×3, from `fit_scale_weights`.
    Returns:
        float, N×h×w.
    """
    return torch.einsum("ns,nshw->nhw", weights, logits)


def fit_scale_weights(logits: Tensor, masks: Tensor, valid: Tensor, *, total_lr: float) -> Tensor:
    """Scale weights of all objects, fitted from 1/3 each by dice and focal loss against the reference masks.

    SAM is frozen, so its logits are constant: they are decoded once. The published scripts take 800 steps of AdamW at
    4e-4 for videos and 1000 at 1e-3 for images, with a cosine schedule. Adam's step is about as long as the learning
    rate, whatever the gradient's size, so fewer steps at a higher rate reach the same weights.

    Args:
        logits: float, N×3×h×w, of the reference image.
        masks: float, N×h×w, 0 to 1: fraction of each cell that the object covers.
        valid: bool, h×w: cells that the loss includes.
        total_lr: steps × learning rate: `VIDEO_TOTAL_LR` or `IMAGE_TOTAL_LR`.
    Returns:
        float, N×3: (1-w1-w2, w1, w2), in the order of the published scripts.
    """
    with torch.inference_mode(False), torch.enable_grad():
        scales = logits[:, :, valid].clone()  # [N, 3, cells]
        truth = masks[:, valid].clone()
        learned = torch.full_like(logits[:, :2, 0, 0], 1 / 3, requires_grad=True)
        optimiser = torch.optim.AdamW([learned], lr=total_lr / _STEPS, eps=_ADAM_EPS)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
        for _ in range(_STEPS):
            predicted = torch.einsum("ns,nsc->nc", _with_remainder(learned), scales)
            # Sum over objects, not mean: each object's gradient is then independent of how many there are.
            loss = (dice_loss(predicted, truth) + focal_loss(predicted, truth)).sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return _with_remainder(learned.detach())


def _with_remainder(learned: Tensor) -> Tensor:
    """Weights of the three scales, N×3, (1-w1-w2, w1, w2), from (w1, w2), N×2."""
    return torch.cat((1 - learned.sum(dim=1, keepdim=True), learned), dim=1)


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - the dice coefficient, smoothed by one cell.

    Args:
        logits: float, N×cells.
        masks: float, N×cells, 0 to 1.
    Returns:
        float, N.
    """
    probability = logits.sigmoid()
    overlap = 2 * (probability * masks).sum(dim=1)
    return 1 - (overlap + 1) / (probability.sum(dim=1) + masks.sum(dim=1) + 1)


def focal_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Sigmoid focal loss (Lin et al. 2017), α = .25, γ = 2, mean over the cells.

    Args:
        logits: float, N×cells.
        masks: float, N×cells, 0 to 1.
    Returns:
        float, N.
    """
    probability = logits.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    p_t = probability * masks + (1 - probability) * (1 - masks)
    alpha_t = _FOCAL_ALPHA * masks + (1 - _FOCAL_ALPHA) * (1 - masks)
    return (alpha_t * (1 - p_t) ** _FOCAL_GAMMA * cross_entropy).mean(dim=1)
