"""Pipeline of reading, encoding and tracking, overlapped in threads with bounded queues (docs/architecture.md)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from persam_video.frame import Frame, FrameResult, LabelMap
from persam_video.runtime.heap import release_free_memory
from persam_video.runtime.prefetch import batched, map_ahead, prefetch
from persam_video.runtime.streams import SideStream, Synchronize
from persam_video.runtime.threads import ThreadPlan
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.tracker import Tracker

_READ_DEPTH = 4
_ENCODE_DEPTH = 2
_START_DEPTH = 1
_PREPARE_THREADS = max(2, min(4, (os.cpu_count() or 1) // 2))
"""Threads of `Method.prepare`; each prepares some 200 frames a second at 480p."""
_RELEASE_MEMORY_EVERY = 20
"""Frames."""

_Reduced = tuple[Frame, Any, Any]
"""A frame, its `Method.reduce`, and that of the frame before it."""
_Prepared = tuple[Frame, Any]
"""A frame and its `Method.prepare`; None: not prepared ahead."""
Encoded = tuple[Frame, Features, Any]
"""A frame, its features, and its `Method.prepare`."""


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
        # With all cores at work on one frame there is no thread to prepare the next one.
        runs_ahead = not self._threads.model_on_cpu or self._threads.parallel_frames > 1
        self._prepares = tracker.method.prepares and runs_ahead

    def results(
        self,
        frames: Iterable[Frame],
        masks_at: Callable[[Frame], LabelMap | None],
        on_annotated: Callable[[], None] = lambda: None,
    ) -> Generator[FrameResult, None, None]:
        """Results of all frames, in order; memory does not grow with their number.

        Args:
            frames: frames of the video.
            masks_at: label map of a frame for which masks are given; None for all others.
            on_annotated: called after the tracker has personalised objects.
        """
        started_frames = self._started(frames, masks_at, on_annotated)
        # A GPU continues with the next frame while the result of this one is made.
        ahead = started_frames if self._threads.model_on_cpu else prefetch(started_frames, _START_DEPTH)
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
        on_annotated: Callable[[], None],
    ) -> Generator[tuple[Callable[[], FrameResult], float], None, None]:
        """Every frame's `Tracker.start`, and the seconds that it took."""
        with closing(self._encoded(frames)) as encoded:
            for number, (frame, features, prepared) in enumerate(encoded):
                began = time.perf_counter()
                label_map = masks_at(frame)
                with self._threads.single_threaded():
                    result = self._tracker.start(frame, label_map=label_map, features=features, prepared=prepared)
                if label_map is not None:
                    on_annotated()
                if number % self._release_every == 0:
                    release_free_memory()
                yield result, time.perf_counter() - began

    def _encoded(self, source: Iterable[Frame]) -> Generator[Encoded, None, None]:
        """Frames with their features, a few ahead of the tracker where threads or a GPU allow."""
        frames = self._reduced(self._timed(source))
        if self._read_depth:
            frames = prefetch(frames, self._read_depth)
        if self._threads.parallel_frames > 1:
            return self._encoded_in_parallel(frames)
        encoded = self._encoded_in_turn(self._prepared(frames))
        if not self._threads.model_on_cpu:
            encoded = prefetch(encoded, max(_ENCODE_DEPTH, self._sam.batch))
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
                reduced = self._tracker.method.reduce(frame.image) if self._prepares else None
                yield frame, reduced, previous
                previous = reduced

    def _prepared(self, frames: Generator[_Reduced, None, None]) -> Generator[_Prepared, None, None]:
        """Frames prepared in several threads, if the method prepares anything."""
        if not self._prepares:
            with closing(frames):
                yield from ((frame, None) for frame, _, _ in frames)
            return

        def work(reduced: _Reduced) -> Any:
            with self._threads.single_threaded():
                return self._prepare(reduced)

        with closing(map_ahead(work, frames, _PREPARE_THREADS)) as prepared:
            yield from ((frame, result) for (frame, _, _), result in prepared)

    def _prepare(self, reduced: _Reduced) -> Any:
        _, current, previous = reduced
        return self._tracker.method.prepare(current, previous) if self._prepares else None

    def _encoded_in_parallel(self, frames: Generator[_Reduced, None, None]) -> Generator[Encoded, None, None]:
        """Several batches at once, each prepared and encoded by one core."""

        def work(batch: list[_Reduced]) -> tuple[list[Encoded], float]:
            with self._threads.single_threaded():
                return self._encode([(each[0], self._prepare(each)) for each in batch])

        ahead = map_ahead(work, batched(frames, self._sam.batch), self._threads.parallel_frames)
        with closing(frames), closing(ahead) as results:
            for _, (encoded, seconds) in results:
                self._seconds.encode += seconds
                yield from encoded

    def _encoded_in_turn(
        self, frames: Generator[_Prepared, None, None]
    ) -> Generator[tuple[Encoded, Synchronize], None, None]:
        """One batch after another, on a GPU in a stream of its own."""
        stream = SideStream(self._sam.device)
        with closing(frames):
            for batch in batched(frames, self._sam.batch):
                with self._threads.single_threaded(), stream.active():
                    encoded, seconds = self._encode(batch)
                self._seconds.encode += seconds
                synchronize = stream.mark()
                yield from ((each, synchronize) for each in encoded)

    def _encode(self, batch: list[_Prepared]) -> tuple[list[Encoded], float]:
        """Features of a batch, and the seconds that they took."""
        began = time.perf_counter()
        images = [frame.image for frame, _ in batch]
        # An incomplete batch goes one by one: another batch size would be captured and compiled anew.
        parts = [images] if len(images) == self._sam.batch else [[image] for image in images]
        features = [each for part in parts for each in self._sam.encode.batch(part)]
        encoded = [(frame, each, prepared) for (frame, prepared), each in zip(batch, features, strict=True)]
        return encoded, time.perf_counter() - began


def synchronized(encoded: Generator[tuple[Encoded, Synchronize], None, None]) -> Generator[Encoded, None, None]:
    """Encoded frames whose tensors the caller's stream may use."""
    with closing(encoded):
        for (frame, features, prepared), synchronize in encoded:
            synchronize(features.tensor, features.pixels)
            yield frame, features, prepared
