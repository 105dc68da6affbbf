"""Streams of a command: what is printed never ends the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from persam_video.messages import printable


def say(text: str) -> None:
    """Print a line on stdout, control characters escaped."""
    print(printable(text))


def complain(text: str) -> None:
    """Print a line on stderr, control characters escaped."""
    print(printable(text), file=sys.stderr)


class _TolerantStream:
    """Text stream whose reader may go away, or whose disk may fill: everything is discarded from then on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._discard()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _discard(self) -> None:
        """Lead the stream to nowhere, so that what it still holds can be flushed."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            self._stream.flush()


@contextmanager
def tolerant_streams() -> Generator[None, None, None]:
    """Let prints to stdout and stderr never raise: not for closed pipes, full disks, closed descriptors, or characters
    that the terminal lacks, which become escapes."""
    _open_missing_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_tolerant(*each) for each in zip(before, (1, 2), strict=True))
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _open_missing_descriptors() -> None:
    """Open descriptors 0 to 2 where the caller closed them: else a file that is written could become stderr."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free


def _tolerant(stream: TextIO | None, descriptor: int) -> TextIO:
    if stream is None:  # it was closed when Python started
        stream = os.fdopen(os.dup(descriptor), "w")
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    return cast(TextIO, _TolerantStream(stream))
