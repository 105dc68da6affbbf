"""How a processor's cores are shared: all of them work on one frame, or each on its own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

_FEW_CORES = 3
_MANY_OBJECTS = 16


class Cores:
    """The cores that torch uses, for a video with so many objects.

    A core that has a frame to itself waits for no other, so that a few cores do more frames a second where each does
    its own. With many cores, or so many objects that a frame is sooner encoded than tracked, the one core that tracks
    would be waited for: there all work on one frame.

    Args:
        objects: how many are tracked.
    """

    def __init__(self, objects: int) -> None:
        self._all = torch.get_num_threads()
        self.frames = self._all if self._all <= _FEW_CORES and objects <= _MANY_OBJECTS else 1
        """How many frames are encoded at once while another is tracked; 1: each step takes all cores in turn."""

    @contextmanager
    def share(self) -> Generator[None, None, None]:
        """What torch does in this thread meanwhile takes one core, where several frames are worked on at once."""
        if self.frames == 1:
            yield
            return
        torch.set_num_threads(1)  # of this thread, and of those that begin while it is so
        try:
            yield
        finally:
            torch.set_num_threads(self._all)
