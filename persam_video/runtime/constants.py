"""Tables that follow from sizes alone: made once on each device, and not freed while recorded work uses them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, wraps

import torch
from torch import Tensor

_KEPT = 32
"""Of each kind, the last used; the largest, for 4K, have 4 MB."""
_used: ContextVar[list[Tensor] | None] = ContextVar("_used", default=None)


def device_constant(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """What makes a table on the CPU from numbers, as what gives it on a device, the last argument. It must not be
    changed."""

    @lru_cache(_KEPT)
    def kept(*sizes: int, device: torch.device) -> Tensor:
        return make(*sizes).to(device)  # waited for, so that it can be used in any stream

    @wraps(make)
    def get(*arguments: int | torch.device) -> Tensor:
        *sizes, device = arguments
        made = kept(*sizes, device=device)
        used = _used.get()
        if used is not None:
            used.append(made)
        return made

    return get


@contextmanager
def constants_used() -> Generator[list[Tensor], None, None]:
    """The tables that this thread uses meanwhile: who plays what it did (`GraphedCallable`) has to keep them."""
    used: list[Tensor] = []
    before = _used.set(used)
    try:
        yield used
    finally:
        _used.reset(before)
