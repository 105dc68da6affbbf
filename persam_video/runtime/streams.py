"""CUDA streams: the kernels of several threads run beside each other, and are synchronised where they share tensors."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import Tensor

Synchronize = Callable[..., None]
"""Makes the current stream wait for tensors of another stream, and keeps their memory until it has used them."""


@lru_cache
def capture_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream of `capture_cuda_graph`, reserved for it: other kernels launched there would be captured too."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class SideStream:
    """A stream for the kernels of one thread. On devices without streams it does nothing.

    Args:
        device: kernels launched in its current stream before are finished before any of this stream begins.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            # torch has a pool of 32 streams and hands them out in turn.
            while self._stream is None or self._stream == capture_stream(device):
                self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._stream.wait_stream(torch.cuda.current_stream(device))

    @contextmanager
    def active(self) -> Generator[None, None, None]:
        """Kernels that this thread launches in the block go into this stream."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield

    def mark(self) -> Synchronize:
        """Synchronisation with all kernels launched in this stream up to now, to be called with their tensors where
        these are used."""
        if self._stream is None:
            return lambda *tensors: None
        event = self._stream.record_event()

        def synchronize(*tensors: Tensor) -> None:
            stream = torch.cuda.current_stream(tensors[0].device)
            stream.wait_event(event)
            for tensor in tensors:
                tensor.record_stream(stream)

        return synchronize


class StreamSerializer:
    """Serialises kernels that use the same memory and are launched in several streams."""

    def __init__(self) -> None:
        self._last: torch.cuda.Event | None = None

    @contextmanager
    def exclusive(self, device: torch.device) -> Generator[None, None, None]:
        """Kernels launched in the block run after those of the block before; for one thread at a time."""
        if device.type != "cuda":
            yield
            return
        stream = torch.cuda.current_stream(device)
        if self._last is not None:
            stream.wait_event(self._last)
        yield
        self._last = stream.record_event()


def copy_to_host(*tensors: Tensor) -> Callable[[], list[Tensor]]:
    """Begin to copy tensors to the CPU; the function returned blocks until they are there and returns them."""
    device = tensors[0].device
    if device.type != "cuda":
        copies = [tensor.cpu() for tensor in tensors]
        return lambda: copies
    copies = [tensor.to("cpu", non_blocking=True) for tensor in tensors]  # into pinned memory
    event = torch.cuda.current_stream(device).record_event()

    def synchronize() -> list[Tensor]:
        event.synchronize()
        return copies

    return synchronize
