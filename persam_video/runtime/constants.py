"""Constant tensors that depend on sizes alone: built once per device, kept while a captured CUDA graph uses them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, wraps

import torch
from torch import Tensor

_CACHE_SIZE = 32
"""Tensors kept of each kind, the most recently used; the largest, for 4K, have 4 MB."""
_used: ContextVar[list[Tensor] | None] = ContextVar("_used", default=None)


def device_constant(build: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorator: a function that builds a tensor on the CPU from numbers becomes one that returns it, cached, on a
    device, which is its last argument. The tensor must not be changed."""

    @lru_cache(_CACHE_SIZE)
    def cached(*sizes: int, device: torch.device) -> Tensor:
        return build(*sizes).to(device)  # synchronous, so that every stream can use it

    @wraps(build)
    def get(*arguments: int | torch.device) -> Tensor:
        *sizes, device = arguments
        constant = cached(*sizes, device=device)
        used = _used.get()
        if used is not None:
            used.append(constant)
        return constant

    return get


@contextmanager
def constants_used() -> Generator[list[Tensor], None, None]:
    """List of the device constants that this thread uses in the block: a `GraphedCallable`, which replays the block,
    has to keep them."""
    used: list[Tensor] = []
    before = _used.set(used)
    try:
        yield used
    finally:
        _used.reset(before)
