"""The caller's settings of torch, which must not reach into this package's work, nor be changed by it."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import torch

from persam_video.errors import InputError

_AUTOCAST_DEVICES = ("cpu", "cuda", "mps")
_CPU = torch.device("cpu")
_process: int | None = None  # the first one in which torch has worked for this package


@contextmanager
def isolated() -> Generator[None, None, None]:
    """Block, or function if used as a decorator, in which torch works in this thread as if the caller had set nothing:
    no gradients, normal tensors, no autocast, and new tensors on the CPU. A few microseconds.

    The default dtype stays, as it is that of all threads: code in such a block names the dtypes of its tensors.

    Raises:
        InputError: torch would wait for ever, or CUDA fail, because this process was forked from one that used them.
    """
    check_process()
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for kind in _AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device() != _CPU:
            stack.enter_context(_CPU)
        yield


def check_process() -> None:
    """Raise InputError in a process forked from one in which torch has worked: its threads are missing here."""
    global _process
    current = os.getpid()
    if _process is None:
        _process = current
    if current != _process and (torch.get_num_threads() > 1 or torch.cuda._is_in_bad_fork()):
        raise InputError(
            "this process was forked from one in which the model was used or loaded, so that torch cannot work in it; "
            "start processes with multiprocessing.get_context('spawn'), and load the model in each of them"
        )
