"""Interface of an output, and threads that write results to several of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar, runtime_checkable

from persam_video.errors import InputError
from persam_video.files.json_file import shortened
from persam_video.files.overlaps import InputPath, OutputPath, refuse_overlaps
from persam_video.result import FrameResult
from persam_video.results.record import RunInfo
from persam_video.runtime.prefetch import BackgroundWriter
from persam_video.video.reader import VideoInfo

logger = logging.getLogger(__name__)
T = TypeVar("T")

OUTPUT_DEPTH = 4
_PREPARED_DEPTH = 1


class Output(Protocol):
    """A destination of results, such as a folder of masks.

    Attributes:
        path: file or folder that is written. A folder has the attribute ``is_folder = True``, too.
    """

    path: Path

    def open(self, video: VideoInfo, *, overwrite: bool) -> None:
        """Check that the output can be written, and prepare it, before any frame is tracked.

        Args:
            overwrite: replace an output that exists.
        Raises:
            OutputError: it cannot be written; nothing is changed then.
        """

    def prepare(self, result: FrameResult) -> Callable[[], None]:
        """Function that writes one frame; it is called in another thread, in the order of the frames."""

    def close(self) -> None:
        """Finish the output: a file has its final name only when it is whole."""

    def discard(self) -> None:
        """Remove everything that is not whole."""


def check_outputs(outputs: Any) -> None:
    """Refuse what is no list of outputs.

    Raises:
        InputError: it is none.
    """
    if isinstance(outputs, (str, PathLike)) or not isinstance(outputs, Iterable):
        raise InputError(f"outputs is of the type {type(outputs).__name__}; give a list, such as [MaskOutput('masks')]")
    for each in outputs:
        if not hasattr(each, "path") or not hasattr(each, "prepare"):
            raise InputError(f"outputs holds {shortened(each)}; give outputs, such as MaskOutput('masks')")


@runtime_checkable
class RunOutput(Output, Protocol):
    """An output that writes what the run is of, too."""

    def begin(self, run: RunInfo) -> None:
        """Take note of the run, after `open` and before the first frame."""


def begin_outputs(outputs: Sequence[Output], run: RunInfo) -> None:
    """Tell all outputs that want to know what the run is of."""
    for output in outputs:
        if isinstance(output, RunOutput):
            output.begin(run)


def open_outputs(outputs: Sequence[Output], video: VideoInfo, *, overwrite: bool) -> None:
    """Open all outputs or none.

    Raises:
        OutputError: one of them cannot be written.
    """
    opened: list[Output] = []
    try:
        for output in outputs:
            output.open(video, overwrite=overwrite)
            opened.append(output)
    except BaseException:
        discard_outputs(opened)
        raise


def discard_outputs(outputs: Sequence[Output]) -> None:
    """Discard outputs in reverse order: the first may have made the folder that contains the others."""
    for output in reversed(outputs):
        output.discard()


def refuse_output_overlaps(inputs: Iterable[InputPath], outputs: Sequence[Output], files: Iterable[Path] = ()) -> None:
    """Refuse outputs, and other files that are written, that would replace an input, or one another.

    Args:
        inputs: what is read, but for what outputs read (their ``inputs``).
    Raises:
        OutputError: see `refuse_overlaps`.
    """
    refuse_overlaps(
        [*inputs, *(InputPath(path) for each in outputs for path in getattr(each, "inputs", ()))],
        [*(OutputPath(each.path, getattr(each, "is_folder", False)) for each in outputs), *map(OutputPath, files)],
    )


def warn_of_unknown_objects(outputs: Sequence[Output], names: Mapping[int, str], object_ids: Collection[int]) -> None:
    """Log a warning of the objects that outputs were limited to (their ``objects``), and of the names that were given,
    of objects that there were not."""
    unused = [f"{i} ({name})" for i, name in names.items() if i not in object_ids]
    if unused:
        logger.warning(f"names of objects that there are not had no effect: {', '.join(unused)}")
    for output in outputs:
        unknown = sorted(set(getattr(output, "objects", None) or ()) - set(object_ids))
        if unknown:
            ids, known = (", ".join(map(str, each)) for each in (unknown, sorted(object_ids)))
            logger.warning(f"{output.path}: there was no object {ids}; the ids are {known}")


class OutputThreads:
    """Writes results to opened outputs in threads; a context manager.

    On exit all outputs are finished with the frames that they have, whatever ended the tracking. An output that cannot
    be written is discarded; the others are finished.

    Args:
        outputs: opened.
        depth: number of results that may wait for each.
        keep_partial: if false, an exception discards all outputs.
    """

    def __init__(self, outputs: Sequence[Output], *, depth: int = OUTPUT_DEPTH, keep_partial: bool = True) -> None:
        self._keep_partial = keep_partial
        self._threads = [_OutputThread(output, depth) for output in outputs]
        self.errors: list[Exception] = []
        """Errors of outputs, known after exit."""

    @property
    def seconds(self) -> float:
        """Seconds that all outputs worked, summed."""
        return sum(thread.seconds for thread in self._threads)

    def put(self, result: FrameResult) -> None:
        """Hand over a result to be written.

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
        # In reverse order: the first may have made the folder that contains the others.
        if error is not None and not self._keep_partial:
            for thread in reversed(self._threads):
                thread.discard()
            return
        self.errors = [failure for thread in reversed(self._threads) if (failure := thread.finish()) is not None]
        if self.errors and error is None:
            raise self.errors[0]


class _OutputThread:
    """Two threads of one output: while one frame is written, the next is prepared."""

    def __init__(self, output: Output, depth: int) -> None:
        self._output = output
        self._seconds = {"prepare": 0.0, "write": 0.0}
        self._writer = BackgroundWriter(partial(self._timed, "write"), output.close, _PREPARED_DEPTH)
        self.queue = BackgroundWriter(self._prepare, self._writer.close, depth)

    @property
    def seconds(self) -> float:
        return sum(self._seconds.values())

    def _prepare(self, result: FrameResult) -> None:
        self._writer.put(self._timed("prepare", partial(self._output.prepare, result)))

    def _timed(self, stage: str, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        done = work()
        self._seconds[stage] += time.perf_counter() - began
        return done

    def finish(self) -> Exception | None:
        """Write queued frames and finish the output; its error, if that fails."""
        try:
            _uninterrupted(self.queue.close)
        except Exception as error:
            self.discard()
            return error
        return None

    def discard(self) -> None:
        """End, and discard the output."""
        _uninterrupted(self.queue.abandon)
        _uninterrupted(self._writer.abandon)
        _uninterrupted(self._output.discard)


def _uninterrupted(work: Callable[[], None]) -> None:
    """Repeat after Ctrl-C, which threads do not receive: they need only a moment."""
    while True:
        try:
            return work()
        except KeyboardInterrupt:
            continue
