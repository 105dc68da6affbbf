"""How a processor's cores are shared: all of them work on one frame, or each on its own.

Beside a GPU each thread of the pipeline takes one.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

import cv2
import torch

_FEW_CORES = 3
_MANY_OBJECTS = 16
_opencv_lock = threading.Lock()
_opencv_threads: list[int] = []
_ON_CORES = ("cpu",)
"""Devices whose work takes the cores that everything else needs."""


class ThreadPlan:
    """The cores that torch and OpenCV use, for a video with so many objects.

    A core that has a frame to itself waits for no other, so that a few cores do more frames a second where each does
    its own. With many cores, or so many objects that a frame is sooner encoded than tracked, the one core that tracks
    would be waited for: there all work on one frame.

    Beside a GPU many threads do little each: where all of them take all cores, they are in each other's way.

    Args:
        objects: how many are tracked.
        device: where the model computes.
    """

    def __init__(self, objects: int, device: torch.device) -> None:
        self._all = torch.get_num_threads()
        self.model_on_cpu = device.type in _ON_CORES
        """Whether the model does."""
        is_shared = self.model_on_cpu and self._all <= _FEW_CORES and objects <= _MANY_OBJECTS
        self.parallel_frames = self._all if is_shared else 1
        """How many frames are encoded at once while another is tracked; 1: one after another."""
        self._one_each = self.parallel_frames > 1 or not self.model_on_cpu

    @contextmanager
    def single_threaded(self) -> Generator[None, None, None]:
        """What torch does in this thread meanwhile takes one core, where each is to have its own."""
        if not self._one_each:
            yield
            return
        torch.get_num_threads()  # at first a thread takes the number of all, even where it has set its own before
        torch.set_num_threads(1)  # of this thread, and of those that begin while it is so
        try:
            yield
        finally:
            torch.set_num_threads(self._all)

    @contextmanager
    def limit_opencv(self) -> Generator[None, None, None]:
        """Beside a GPU, what OpenCV does meanwhile, in any thread, takes one core each time."""
        if self.model_on_cpu:
            yield
            return
        with _opencv_lock:
            _opencv_threads.append(cv2.getNumThreads())
            cv2.setNumThreads(1)
        try:
            yield
        finally:
            with _opencv_lock:  # the last who ends gives back what the first has found
                before = _opencv_threads.pop()
                if not _opencv_threads:
                    cv2.setNumThreads(before)
