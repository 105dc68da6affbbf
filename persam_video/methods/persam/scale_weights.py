"""Which of SAM's three scales an object is (PerSAM-F, §3.3, eq. 11): the two numbers that are learned per object."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_STEPS = 100
VIDEO_RANGE = 800 * 4e-4
IMAGE_RANGE = 1000 * 1e-3
"""How far the weights may go in all, as in the published scripts: steps × learning rate."""
_ADAM_EPS = 1e-4
_FOCAL_ALPHA = 0.25
_FOCAL_GAMMA = 2.0


def weigh_scales(logits: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum of the masks of the three scales (eq. 11).

    Args:
        logits: float, N×3×h×w.
        weights: float, N×3, from `fit_scale_weights`.
    Returns:
        float, N×h×w.
    """
    return torch.einsum("ns,nshw->nhw", weights, logits)


def fit_scale_weights(logits: Tensor, masks: Tensor, valid: Tensor, *, within: float) -> Tensor:
    """Fit w1 and w2 of eq. 11 for all objects together, from 1/3 each, by dice and focal loss to the given masks.

    SAM is frozen, so its logits never change: they are decoded once. The published scripts take 800 steps of AdamW at
    4e-4 for videos, and 1000 at 1e-3 for pictures, with a cosine schedule. Adam's steps have the length of the learning
    rate whatever the gradient's size, so an eighth of the steps at eight times the rate goes the same way, as far.

    Args:
        logits: float, N×3×h×w, for the first frame.
        masks: float, N×h×w, 0 to 1: how much of each cell the object covers.
        valid: bool, h×w: the cells that count.
        within: `VIDEO_RANGE` or `IMAGE_RANGE`.
    Returns:
        float, N×3: (1-w1-w2, w1, w2), as the published scripts order them.
    """
    with torch.inference_mode(False), torch.enable_grad():
        scales = logits[:, :, valid].clone()  # [N, 3, cells]
        wanted = masks[:, valid].clone()
        learned = torch.full((len(logits), 2), 1 / 3, device=logits.device, requires_grad=True)
        optimiser = torch.optim.AdamW([learned], lr=within / _STEPS, eps=_ADAM_EPS)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
        for _ in range(_STEPS):
            weights = _all_three(learned)
            predicted = torch.einsum("ns,nsc->nc", weights, scales)
            # The sum over objects: each has its own two weights, so that they do not influence one another.
            loss = (dice_loss(predicted, wanted) + focal_loss(predicted, wanted)).sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    learned = learned.detach()
    return _all_three(learned)


def _all_three(learned: Tensor) -> Tensor:
    """Those of the three scales, N×3, from the two that are learned, N×2: of the second and the third."""
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
    agreement = probability * masks + (1 - probability) * (1 - masks)
    balance = _FOCAL_ALPHA * masks + (1 - _FOCAL_ALPHA) * (1 - masks)
    return (balance * (1 - agreement) ** _FOCAL_GAMMA * cross_entropy).mean(dim=1)
