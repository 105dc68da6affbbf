"""Distribution of the CPU cores: all of them work on one frame, or one on each of several frames."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

import cv2
import torch

_FEW_CORES = 3
_MANY_OBJECTS = 16
_opencv_lock = threading.Lock()
_opencv_threads: list[int] = []  # before each `limit_opencv` that is active


class ThreadPlan:
    """Numbers of threads of torch and OpenCV, for a video with so many objects.

    A core that has a frame to itself never idles for another one, so that a few cores process more frames a second
    where each has its own. With many cores, or so many objects that a frame takes longer to track than to encode, the
    one core that tracks would be the bottleneck: there all cores work on one frame.

    Beside a GPU, many threads of the pipeline do little each; if each of them used all cores, they would only compete.

    Args:
        objects: number of tracked objects.
        device: of the model.
        large_frames: whether memory counts more than speed, so that as few frames as possible are held.
    """

    def __init__(self, objects: int, device: torch.device, *, large_frames: bool = False) -> None:
        self._all = torch.get_num_threads()
        self.model_on_cpu = device.type == "cpu"
        """Whether the model computes on the CPU."""
        is_parallel = self.model_on_cpu and self._all <= _FEW_CORES and objects <= _MANY_OBJECTS and not large_frames
        self.parallel_frames = self._all if is_parallel else 1
        """Number of frames that are encoded at once while another is tracked; 1: one after another."""
        self._one_core_each = self.parallel_frames > 1 or not self.model_on_cpu

    @contextmanager
    def single_threaded(self) -> Generator[None, None, None]:
        """In the block torch uses one core in this thread, where each thread is to have its own."""
        if not self._one_core_each:
            yield
            return
        torch.get_num_threads()  # the first call in a thread resets its number to the process's, even if set before
        torch.set_num_threads(1)  # of this thread, and of those that begin meanwhile
        try:
            yield
        finally:
            torch.set_num_threads(self._all)

    @contextmanager
    def limit_opencv(self) -> Generator[None, None, None]:
        """In the block OpenCV uses one core a call, in every thread, unless the model is on the CPU."""
        if self.model_on_cpu:
            yield
            return
        with _opencv_lock:
            _opencv_threads.append(cv2.getNumThreads())
            cv2.setNumThreads(1)
        try:
            yield
        finally:
            with _opencv_lock:  # the last one that ends restores the number that the first one found
                before = _opencv_threads.pop()
                if not _opencv_threads:
                    cv2.setNumThreads(before)
