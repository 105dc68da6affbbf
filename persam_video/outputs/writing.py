"""What becomes of the results: mask files and an overlaid video, each prepared in one thread and written in another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

import numpy as np

from persam_video.frame import FrameResult
from persam_video.outputs.mask_writer import MaskWriter
from persam_video.outputs.overlay import draw_overlay
from persam_video.runtime.prefetch import BackgroundWriter
from persam_video.video.reader import VideoInfo
from persam_video.video.writer import VideoWriter

T = TypeVar("T")

_DEPTH = 4
_PREPARED = 1


class Output(Protocol):
    """Something that results are written to. It is made before the first frame is tracked, and refuses then what it
    could not write later (`OutputError`)."""

    path: Path

    def prepare(self, result: FrameResult) -> Callable[[], None]:
        """What adds one frame: it is called in another thread, in the frames' order."""

    def close(self) -> None:
        """Finish: only now, or file by file as they are whole, is there anything under the final name."""

    def discard(self) -> None:
        """Remove what is not whole."""


class MaskOutput:
    """A folder of DAVIS masks, one palette PNG a frame.

    Args:
        binary: write every object as 255, as DAVIS-2016 has it, instead of as its id.
    """

    def __init__(self, folder: Path, *, binary: bool = False, overwrite: bool = False) -> None:
        self.path = folder
        self._binary = binary
        self._writer = MaskWriter(folder, overwrite=overwrite)
        self.close = self._writer.close
        self.discard = self._writer.close  # every mask is whole

    def prepare(self, result: FrameResult) -> Callable[[], None]:
        label_map = np.where(result.label_map, 255, 0).astype(np.uint8) if self._binary else result.label_map
        return partial(self._writer.write, result.frame.name, label_map)


class OverlayOutput:
    """A video with the masks drawn over it, with the timing and the sound of the original."""

    def __init__(self, path: Path, video: VideoInfo, *, overwrite: bool = False) -> None:
        self.path = path
        self._writer = VideoWriter(
            path,
            width=video.width,
            height=video.height,
            time_base=video.time_base,
            frame_rate=video.frame_rate,
            audio_from=None if video.is_images else video.path,
            overwrite=overwrite,
        )
        self.close = self._writer.close
        self.discard = self._writer.discard

    def prepare(self, result: FrameResult) -> Callable[[], None]:
        frame = result.frame
        picture = draw_overlay(frame.image, result.label_map, object_ids=result.object_ids)
        return partial(self._writer.write, picture, frame.index if frame.pts is None else frame.pts)


class OutputThreads:
    """Writes every result to all outputs, behind the caller's back; a context manager.

    On leaving, the outputs are finished with the frames they have, whatever ended the tracking: what is whole is worth
    keeping. Of an output that cannot be written, what is not whole is removed.
    """

    def __init__(self, outputs: Sequence[Output]) -> None:
        self._threads = [_OutputThread(output) for output in outputs]
        self.faults: list[Exception] = []
        """What went wrong with an output, at the end."""

    @property
    def seconds(self) -> float:
        """How long the outputs were at work, all together."""
        return sum(thread.seconds for thread in self._threads)

    def put(self, result: FrameResult) -> None:
        """Hand a result over to be written.

        Raises:
            OutputError: an earlier one could not be written.
        """
        for thread in self._threads:
            thread.queue.put(result)

    def __enter__(self) -> OutputThreads:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Backwards: the first may have made the folder that the others are in.
        self.faults = [fault for thread in reversed(self._threads) if (fault := thread.finish()) is not None]
        if self.faults and error is None:
            raise self.faults[0]


class _OutputThread:
    """Two of them: while one frame is written, the next is prepared."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._seconds = {"prepare": 0.0, "write": 0.0}
        self._writing = BackgroundWriter(partial(self._timed, "write"), output.close, _PREPARED)
        self.queue = BackgroundWriter(self._prepare, self._writing.close, _DEPTH)

    @property
    def seconds(self) -> float:
        return sum(self._seconds.values())

    def _prepare(self, result: FrameResult) -> None:
        self._writing.put(self._timed("prepare", partial(self._output.prepare, result)))

    def _timed(self, what: str, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        done = work()
        self._seconds[what] += time.perf_counter() - started
        return done

    def finish(self) -> Exception | None:
        """Write what waits and finish the output; what went wrong, if that cannot be done."""
        try:
            _uninterrupted(self.queue.close)
        except Exception as error:
            _uninterrupted(self._writing.abandon)
            _uninterrupted(self._output.discard)
            return error
        return None


def _uninterrupted(work: Callable[[], None]) -> None:
    """Begin again after Ctrl-C, which threads do not see: they need but a moment."""
    while True:
        try:
            return work()
        except KeyboardInterrupt:
            continue
