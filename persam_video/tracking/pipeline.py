"""Pipeline of reading, encoding and tracking, overlapped in threads with bounded queues (docs/architecture.md)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from persam_video.frame import Frame, LabelMap
from persam_video.methods.base import Prepared
from persam_video.result import FrameResult
from persam_video.runtime.heap import release_free_memory
from persam_video.runtime.prefetch import batched, delayed, map_ahead, prefetch
from persam_video.runtime.streams import SideStream, Synchronize
from persam_video.runtime.threads import ThreadPlan
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.sam.window import Window
from persam_video.tracking.tracker import Tracker
from persam_video.tracking.window_planner import DELAY

_READ_DEPTH = 4
_ENCODE_DEPTH = 2
_START_DEPTH = 1
_PREPARE_THREADS = max(2, min(4, (os.cpu_count() or 1) // 2))
"""Threads of `Method.prepare`; each prepares some 200 frames a second at 480p."""
_RELEASE_MEMORY_EVERY = 20
"""Frames."""

_Reduced = tuple[Frame, Any, Any]
"""A frame, its `Method.reduce`, and that of the frame before it."""
_Prepared = tuple[Frame, Prepared]
"""A frame and its `Method.prepare`."""


@dataclass(frozen=True, eq=False, slots=True)
class PlannedFrame:
    """A frame that is to be encoded.

    Args:
        frame: the frame.
        prepared: its `Method.prepare`.
        window: `Tracker.plan`; None: nothing is encoded.
        label_map: masks that are given for it.
    """

    frame: Frame
    prepared: Prepared
    window: Window | None
    label_map: LabelMap | None


Encoded = tuple[PlannedFrame, Features | None]
"""A frame, prepared for its window, and the features of this."""


@dataclass
class StageSeconds:
    """Seconds that each stage worked, summed over frames. Stages overlap, and on a few cores several frames are encoded
    at once, so that the sum can exceed the elapsed time. Time that a GPU needs counts for the stage that synchronises
    with it: tracking. `Method.prepare` ahead of tracking is not counted."""

    read: float = 0.0
    encode: float = 0.0
    track: float = 0.0
    write: float = 0.0


class Pipeline:
    """Reads, encodes and tracks the frames of a video.

    Args:
        tracker: tracker of the video.
        sam: its model.
        objects: number of objects at the start, which decides how cores are shared (`ThreadPlan`).
        seconds: stage times, updated while frames are processed.
        large_frames: frames are of more than `LARGE_FRAME_PIXELS`: hold few of them.
    """

    def __init__(
        self, tracker: Tracker, sam: Sam, *, objects: int, seconds: StageSeconds, large_frames: bool = False
    ) -> None:
        self._tracker = tracker
        self._sam = sam
        self._seconds = seconds
        self._threads = ThreadPlan(objects, sam.device, large_frames=large_frames)
        self._read_depth = _READ_DEPTH
        if large_frames:  # beside a CPU that tracks, reading one ahead would gain little
            self._read_depth = 0 if self._threads.model_on_cpu else 1
        self._release_every = 1 if large_frames else _RELEASE_MEMORY_EVERY
        # Windows follow results, and no GPU goes on without them for longer than a few frames.
        self._in_turn = self._threads.model_on_cpu or tracker.has_windows
        self._batch = 1 if tracker.has_windows else sam.batch

    def results(
        self,
        frames: Iterable[Frame],
        masks_at: Callable[[Frame], LabelMap | None],
        on_annotated: Callable[[Frame], None] = lambda _: None,
    ) -> Generator[FrameResult, None, None]:
        """Results of all frames, in order; memory does not grow with their number.

        Args:
            frames: frames of the video.
            masks_at: label map of a frame for which masks are given; None for all others. It is called a few frames
                before the frame is tracked.
            on_annotated: called after the tracker has personalised objects from a frame.
        """
        started_frames = self._started(frames, masks_at, on_annotated)
        # A GPU continues with the next frame while the result of this one is made.
        if self._threads.model_on_cpu:
            ahead = started_frames
        else:
            ahead = delayed(started_frames, DELAY - 1) if self._in_turn else prefetch(started_frames, _START_DEPTH)
        with self._threads.limit_opencv(), closing(ahead) as started:
            for result, seconds in started:
                began = time.perf_counter()
                made = result()
                self._seconds.track += seconds + time.perf_counter() - began
                yield made

    def _started(
        self,
        frames: Iterable[Frame],
        masks_at: Callable[[Frame], LabelMap | None],
        on_annotated: Callable[[Frame], None],
    ) -> Generator[tuple[Callable[[], FrameResult], float], None, None]:
        """Every frame's `Tracker.start`, and the seconds that it took."""
        with closing(self._encoded(frames, masks_at)) as encoded:
            for number, (planned, features) in enumerate(encoded):
                began = time.perf_counter()
                frame, prepared, label_map = planned.frame, planned.prepared, planned.label_map
                # While objects are personalised the next frames wait for them: all cores may help.
                with nullcontext() if label_map is not None else self._threads.single_threaded():
                    result = self._tracker.start(frame, label_map=label_map, features=features, prepared=prepared)
                if label_map is not None:
                    on_annotated(frame)
                if number % self._release_every == 0:
                    release_free_memory()
                yield result, time.perf_counter() - began

    def _encoded(
        self, source: Iterable[Frame], masks_at: Callable[[Frame], LabelMap | None]
    ) -> Generator[Encoded, None, None]:
        """Frames with their features, a few ahead of the tracker where threads or a GPU allow."""
        planned = self._planned(self._prepared(self._reduced(self._timed(source))), masks_at)
        if self._threads.parallel_frames > 1:
            return self._encoded_in_parallel(planned)
        encoded = self._encoded_in_turn(planned)
        if not self._in_turn:
            encoded = prefetch(encoded, max(_ENCODE_DEPTH, self._batch))
        return synchronized(encoded)

    def _timed(self, frames: Iterable[Frame]) -> Generator[Frame, None, None]:
        source = iter(frames)
        while True:
            began = time.perf_counter()
            frame = next(source, None)
            self._seconds.read += time.perf_counter() - began
            if frame is None:
                return
            yield frame

    def _reduced(self, frames: Generator[Frame, None, None]) -> Generator[_Reduced, None, None]:
        previous = None
        with closing(frames):
            for frame in frames:
                reduced = self._tracker.method.reduce(frame.image)
                yield frame, reduced, previous
                previous = reduced

    def _prepared(self, frames: Generator[_Reduced, None, None]) -> Generator[_Prepared, None, None]:
        """Frames that are read and prepared ahead: in the thread that reads them, beside a GPU in several more."""

        def prepare(reduced: _Reduced) -> Prepared:
            _, current, previous = reduced
            with self._threads.single_threaded():
                return self._tracker.method.prepare(current, previous)

        def in_turn() -> Generator[tuple[_Reduced, Prepared], None, None]:
            with closing(frames):
                yield from ((each, prepare(each)) for each in frames)

        if self._threads.model_on_cpu:
            prepared = prefetch(in_turn(), self._read_depth) if self._read_depth else in_turn()
        else:
            prepared = map_ahead(prepare, prefetch(frames, self._read_depth), _PREPARE_THREADS)
        with closing(prepared):
            yield from ((frame, each) for (frame, _, _), each in prepared)

    def _planned(
        self, frames: Generator[_Prepared, None, None], masks_at: Callable[[Frame], LabelMap | None]
    ) -> Generator[PlannedFrame, None, None]:
        with closing(frames):
            for frame, prepared in frames:
                label_map = masks_at(frame)
                window = self._tracker.plan(frame, prepared, label_map=label_map)
                yield PlannedFrame(frame, prepared, window, label_map)

    def _encoded_in_parallel(self, frames: Generator[PlannedFrame, None, None]) -> Generator[Encoded, None, None]:
        """Several batches at once, each encoded by one core."""

        def work(batch: list[PlannedFrame]) -> tuple[list[Encoded], float]:
            with self._threads.single_threaded():
                return self._encode(batch)

        workers = self._threads.parallel_frames
        depth = min(workers + 1, DELAY) if self._tracker.has_windows else workers + 1
        ahead = map_ahead(work, batched(frames, self._batch), workers, depth)
        with closing(frames), closing(ahead) as results:
            for _, (encoded, seconds) in results:
                self._seconds.encode += seconds
                yield from encoded

    def _encoded_in_turn(
        self, frames: Generator[PlannedFrame, None, None]
    ) -> Generator[tuple[Encoded, Synchronize], None, None]:
        """One batch after another, on a GPU in a stream of its own."""
        stream = SideStream(self._sam.device)
        with closing(frames):
            for batch in batched(frames, self._batch):
                with self._threads.single_threaded(), stream.active():
                    encoded, seconds = self._encode(batch)
                self._seconds.encode += seconds
                synchronize = stream.mark()
                yield from ((each, synchronize) for each in encoded)

    def _encode(self, batch: list[PlannedFrame]) -> tuple[list[Encoded], float]:
        """Features of a batch, and the seconds that they took."""
        began = time.perf_counter()
        (window, *others) = {each.window for each in batch}
        # An incomplete batch goes one by one: another batch size would be captured and compiled anew.
        is_complete = len(batch) == self._batch and window is not None and not others
        parts = [batch] if is_complete else [[each] for each in batch]
        encoded = [each for part in parts for each in self._encode_part(part)]
        return encoded, time.perf_counter() - began

    def _encode_part(self, part: list[PlannedFrame]) -> list[Encoded]:
        """Features of frames with the same window."""
        window = part[0].window
        if window is None:
            return [(each, None) for each in part]
        features = self._sam.encode.batch([each.frame.image for each in part], window)
        prepared = [replace(each, prepared=each.prepared.in_window(window)) for each in part]
        return list(zip(prepared, features, strict=True))


def synchronized(encoded: Generator[tuple[Encoded, Synchronize], None, None]) -> Generator[Encoded, None, None]:
    """Encoded frames whose tensors the caller's stream may use."""
    with closing(encoded):
        for (frame, features), synchronize in encoded:
            if features is not None:
                synchronize(features.tensor, features.pixels)
            yield frame, features
