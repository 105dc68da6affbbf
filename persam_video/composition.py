"""How objects share the places of a frame: each place belongs to one of them, or to the background."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

NEVER = 1e-5
"""The least probability that is told apart from 0, so that log-odds stay finite."""


def compose(parts: Iterable[Tensor]) -> Tensor:
    """Which object each place belongs to: the one with the highest logit, if that is positive.

    Args:
        parts: the logits of all objects in order, some at a time: float, n×H×W each.
    Returns:
        int64, H×W: 0 = background, 1, 2, … = the objects.
    """
    highest: Tensor | float = 0.0
    owner: Tensor | int = 0
    count = 0
    for logits in parts:
        top, which = logits.max(dim=0)
        better = top > highest
        highest = torch.where(better, top, highest)
        owner = torch.where(better, which + 1 + count, owner)
        count += len(logits)
    return torch.as_tensor(owner)


def owned(logits: Tensor) -> Tensor:
    """The places that belong to each object (`compose`), bool, N×h×w."""
    number = torch.arange(1, len(logits) + 1, device=logits.device)
    return compose([logits]) == number[:, None, None]


def exclusive(logits: Tensor) -> Tensor:
    """Probabilities of objects that exclude one another: the softmax of their log-odds and the background's 0.

    Args:
        logits: float, N×h×w.
    Returns:
        float, N×h×w, from `NEVER` to 1 - `NEVER`.
    """
    background = torch.zeros_like(logits[:1])
    return torch.cat((background, logits)).softmax(dim=0)[1:].clamp(NEVER, 1 - NEVER)
