"""Work for a GPU that several threads start, lined up in streams: what is in one does not wait for another's."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import Tensor

Synchronize = Callable[..., None]
"""Lets the current stream wait for tensors of another, and keeps their memory until the work with them is done."""


@lru_cache
def capture_stream(device: torch.device) -> torch.cuda.Stream:
    """The one in which work is recorded (`capture_cuda_graph`): what else is started there would be recorded too."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class SideStream:
    """A line of its own for what one thread has a device do. Devices that have no streams do all in one line.

    Args:
        device: what has been started there before is done before anything of this stream.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            # There are but 32, which torch hands out in turn.
            while self._stream is None or self._stream == capture_stream(device):
                self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._stream.wait_stream(torch.cuda.current_stream(device))

    @contextmanager
    def active(self) -> Generator[None, None, None]:
        """What is started in this thread meanwhile goes into this stream."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield

    def mark(self) -> Synchronize:
        """For tensors that are made in this stream by what was started up to now, to be called where they are used."""
        if self._stream is None:
            return lambda *tensors: None
        made = self._stream.record_event()

        def wait(*tensors: Tensor) -> None:
            stream = torch.cuda.current_stream(tensors[0].device)
            stream.wait_event(made)
            for tensor in tensors:
                tensor.record_stream(stream)

        return wait


class StreamSerializer:
    """Lets work on the same memory, which is started in several streams, be done one after another."""

    def __init__(self) -> None:
        self._last: torch.cuda.Event | None = None

    @contextmanager
    def exclusive(self, device: torch.device) -> Generator[None, None, None]:
        """What is started meanwhile waits for what was started in the turn before; only one at a time may begin."""
        if device.type != "cuda":
            yield
            return
        stream = torch.cuda.current_stream(device)
        if self._last is not None:
            stream.wait_event(self._last)
        yield
        self._last = stream.record_event()


def copy_to_host(*tensors: Tensor) -> Callable[[], list[Tensor]]:
    """Tensors on the CPU, copied if they are elsewhere, which is waited for when they are asked for."""
    device = tensors[0].device
    if device.type != "cuda":
        copies = [tensor.cpu() for tensor in tensors]
        return lambda: copies
    copies = [tensor.to("cpu", non_blocking=True) for tensor in tensors]  # into memory that is pinned for it
    done = torch.cuda.current_stream(device).record_event()

    def wait() -> list[Tensor]:
        done.synchronize()
        return copies

    return wait
