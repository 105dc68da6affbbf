"""Check of the state of a method, which may come from a file of anybody's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Shape = tuple[int | str, ...]
"""Sizes of a tensor's dimensions: numbers, or names of sizes that are the same wherever the name occurs."""

_MAX_VALUE = 1e6
"""Well above all that occurs, as areas of at most 65,536 cells; sums and products of huge numbers would overflow."""


def state_fault(state: Mapping[str, Tensor], shapes: Mapping[str, Shape], sizes: Mapping[str, int]) -> str | None:
    """What is wrong with a state, in a few words; None: it has exactly these tensors, float32, of these shapes, and
    their values are finite.

    Args:
        shapes: of each tensor.
        sizes: those that are known before; the others are at least 1.
    """
    missing = [name for name in shapes if name not in state]
    if missing:
        return f"the tensor {missing[0]} is missing"
    unknown = [name for name in state if name not in shapes]
    if unknown:
        return f"the tensor {unknown[0][:100]} is unknown"
    known = dict(sizes)
    for name, shape in shapes.items():
        tensor = state[name]
        if tensor.dtype != torch.float32:
            return f"the tensor {name} is {str(tensor.dtype).removeprefix('torch.')}, not float32"
        if len(tensor.shape) != len(shape):
            return f"the tensor {name} has {len(tensor.shape)} dimensions, not {len(shape)}"
        for size, wanted in zip(tensor.shape, shape, strict=True):
            expected = known.setdefault(wanted, max(size, 1)) if isinstance(wanted, str) else wanted
            if size != expected:
                return f"the tensor {name} has a size of {size}, not {expected}"
        if not bool((tensor.abs() <= _MAX_VALUE).all()):  # false for NaN, too
            return f"the tensor {name} holds values that are not finite, or too large"
    return None
