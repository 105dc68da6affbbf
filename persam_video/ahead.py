"""Frames with their features, and what is seen of them, while others are tracked."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from persam_video.frame import Frame
from persam_video.runtime.prefetch import batched, map_ahead, prefetch
from persam_video.runtime.streams import SideStream, Synchronize
from persam_video.runtime.threads import ThreadPlan
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.tracker import Look

_READ_AHEAD = 4
_ENCODE_AHEAD = 2
_LOOKERS = max(2, min(4, (os.cpu_count() or 1) // 2))
"""Threads that look at the next frames; each sees some 200 a second at 480p."""

Encoded = tuple[Frame, Features, Any]
"""A frame, its features, and its cues (`Look`) or None."""
_Glanced = tuple[Frame, Any, Any]
"""A frame, what is seen of it by itself, and of the one before it."""


@dataclass
class StageSeconds:
    """How long each stage was at work: all frames' times added up, though stages overlap, and in one several frames:
    on few cores where they are encoded, on a GPU where they are tracked. What a GPU is still at work on counts for the
    stage that waits for it: tracking. What is seen of frames ahead of tracking counts for none."""

    read: float = 0.0
    encode: float = 0.0
    track: float = 0.0


def encoded_ahead(
    source: Iterable[Frame], sam: Sam, look: Look | None, seconds: StageSeconds, cores: ThreadPlan
) -> Generator[Encoded, None, None]:
    """Frames with their features, never more than a few ahead of the caller; on few cores, and beside a GPU, with their
    cues.

    Args:
        seconds: what reading and encoding took is added to it.
    """
    if cores.model_on_cpu and cores.parallel_frames == 1:
        look = None  # nothing is done meanwhile
    frames = prefetch(_glanced(_timed(source, seconds), look), _READ_AHEAD)
    if cores.parallel_frames > 1:
        return _encoded_at_once(frames, sam, look, seconds, cores)
    encoded = _encoded_in_turn(_looked_at(frames, look, cores), sam, seconds, cores)
    return _taken_over(encoded if cores.model_on_cpu else prefetch(encoded, max(_ENCODE_AHEAD, sam.batch)))


def _encoded_at_once(
    frames: Generator[_Glanced, None, None], sam: Sam, look: Look | None, seconds: StageSeconds, cores: ThreadPlan
) -> Generator[Encoded, None, None]:
    """Several batches at once, each looked at and encoded by one core."""

    def work(batch: list[_Glanced]) -> tuple[list[Encoded], float]:
        with cores.single_threaded():
            return _encode([(each[0], _compared(each, look)) for each in batch], sam)

    with closing(frames), closing(map_ahead(work, batched(frames, sam.batch), cores.parallel_frames)) as worked:
        for _, (encoded, spent) in worked:
            seconds.encode += spent
            yield from encoded


def _encoded_in_turn(
    frames: Generator[tuple[Frame, Any], None, None], sam: Sam, seconds: StageSeconds, cores: ThreadPlan
) -> Generator[tuple[Encoded, Synchronize], None, None]:
    """Frames with their cues, one batch after another; a GPU goes on meanwhile with what others have it do."""
    stream = SideStream(sam.device)
    with closing(frames):
        for batch in batched(frames, sam.batch):
            with cores.single_threaded(), stream.active():
                encoded, spent = _encode(batch, sam)
            seconds.encode += spent
            synchronize = stream.mark()
            yield from ((each, synchronize) for each in encoded)


def _taken_over(encoded: Generator[tuple[Encoded, Synchronize], None, None]) -> Generator[Encoded, None, None]:
    """What was encoded, for the caller's stream."""
    with closing(encoded):
        for (frame, features, cues), synchronize in encoded:
            synchronize(features.tensor, features.pixels)
            yield frame, features, cues


def _encode(batch: list[tuple[Frame, Any]], sam: Sam) -> tuple[list[Encoded], float]:
    """Encode frames with their cues at once; and the seconds that it took."""
    started = time.perf_counter()
    images = [frame.image for frame, _ in batch]
    # Those that are left at the end one by one: for another number at once a GPU would have to be prepared anew.
    parts = [images] if len(images) == sam.batch else [[image] for image in images]
    features = [each for part in parts for each in sam.encode.batch(part)]
    encoded = [(frame, each, cues) for (frame, cues), each in zip(batch, features, strict=True)]
    return encoded, time.perf_counter() - started


def _looked_at(
    frames: Generator[_Glanced, None, None], look: Look | None, cores: ThreadPlan
) -> Generator[tuple[Frame, Any], None, None]:
    """Frames with their cues, several at once, if there is anything to see."""
    if look is None:
        with closing(frames):
            yield from ((frame, None) for frame, _, _ in frames)
        return

    def work(glanced: _Glanced) -> Any:
        with cores.single_threaded():
            return _compared(glanced, look)

    with closing(map_ahead(work, frames, _LOOKERS)) as seen:
        yield from ((frame, cues) for (frame, _, _), cues in seen)


def _compared(glanced: _Glanced, look: Look | None) -> Any:
    _, glance, before = glanced
    return look and look.compare(glance, before)


def _glanced(frames: Generator[Frame, None, None], look: Look | None) -> Generator[_Glanced, None, None]:
    before = None
    with closing(frames):
        for frame in frames:
            glance = look and look.glance(frame.image)
            yield frame, glance, before
            before = glance


def _timed(frames: Iterable[Frame], seconds: StageSeconds) -> Generator[Frame, None, None]:
    source = iter(frames)
    while True:
        started = time.perf_counter()
        frame = next(source, None)
        seconds.read += time.perf_counter() - started
        if frame is None:
            return
        yield frame
