"""Signals that end a command: all of them like Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType

_ENDING_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class InterruptedBySignal(KeyboardInterrupt):
    """What a signal raises. After a KeyboardInterrupt itself Python may forget the exit code, even if it is caught."""


class Interruption:
    """Handler of signals that end a command.

    Attributes:
        number: of the first signal that came; None: none did.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.number is None:
            self.number = number
        raise InterruptedBySignal


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt again after a signal: other code may have caught it, or it came within a finaliser."""
    handler = signal.getsignal(signal.SIGINT)
    if isinstance(handler, Interruption) and handler.number is not None:
        raise InterruptedBySignal


@contextmanager
def interruptible() -> Generator[Interruption, None, None]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt as Ctrl-C does. What is ignored (``nohup``) stays ignored.

    A block within such a block has the handler of that one.
    """
    outer = signal.getsignal(signal.SIGINT)
    interruption = outer if isinstance(outer, Interruption) else Interruption()
    before = {}
    for name in _ENDING_SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            with suppress(ValueError):  # not in the main thread
                before[number] = signal.signal(number, interruption)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
