"""The main path: read → encode → track → the caller, one frame at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from persam_video.background import read_ahead
from persam_video.frame import Frame, FrameResult, LabelMap
from persam_video.masks.first_frame import check_label_map, load_first_masks
from persam_video.options import DEFAULT_METHOD, DEFAULT_MODEL
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam, load_sam
from persam_video.tracker import Tracker, check_method
from persam_video.video.reader import VideoReader, open_video

FirstMask = str | Path | Sequence[str | Path] | npt.NDArray[np.integer] | npt.NDArray[np.bool_]

_READ_AHEAD = 4
_ENCODE_AHEAD = 2
_NEVER_AHEAD = ("cpu",)
"""Where encoding and tracking would only take the cores from each other."""


@dataclass
class StageSeconds:
    """How long each stage was at work. Reading overlaps the others, and on a GPU encoding overlaps tracking; what the
    GPU is still at work on counts for the stage that waits for it: tracking."""

    read: float = 0.0
    encode: float = 0.0
    track: float = 0.0


def track(
    source: str | Path,
    first_mask: FirstMask,
    *,
    method: str = DEFAULT_METHOD,
    model: str = DEFAULT_MODEL,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    start: int | float = 0,
    end: int | float | None = None,
    stride: int = 1,
    hwaccel: str | None = None,
    sam: Sam | None = None,
) -> Iterator[FrameResult]:
    """Track the objects of a video from the masks of its first frame.

    Everything is checked, and the model loaded, before this returns; frames are read and tracked as results are
    asked for, so that memory does not grow with the video.

    Args:
        source: a video file, a folder of pictures, or a glob pattern of pictures.
        first_mask: a label map's file (palette or grey PNG), a folder with one, several binary masks' files, or the
            label map itself, H×W, integer ids (or bool for one object). It belongs to the frame at ``start``.
        method: ``appearance`` (a classifier of each object's appearance, with optical flow and SAM) or ``persam-f``
            (the published one).
        model: ``vit_t`` (MobileSAM), ``vit_b``, ``vit_l`` or ``vit_h``.
        checkpoint: a local file of weights instead of the published ones.
        device: ``auto``, ``cuda``, ``cpu``, ``mps``, or a torch device such as ``cuda:1``.
        precision: of the image encoder: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        start: the first frame: its number if int, its time in seconds if float.
        end: the frame before which to stop, likewise.
        stride: take every so many frames.
        hwaccel: decode a video file on this kind of device (``cuda``, ``videotoolbox``, …) instead of the processor.
        sam: a model that is loaded already; ``model``, ``checkpoint``, ``device`` and ``precision`` do not count then.
    Yields:
        A `FrameResult` for every frame; the first one's label map is the given mask.
    Raises:
        InputError: the video, the masks, the method, the weights or the device cannot be used.
        DamagedVideoError: the video broke off; the results of the frames before it were yielded.
    """
    check_method(method)
    reader = open_video(source, start=start, end=end, stride=stride, hwaccel=hwaccel)
    try:
        label_map = first_label_map(first_mask, reader)
        if sam is None:
            sam = load_sam(model, checkpoint=checkpoint, device=device, precision=precision)
    except BaseException:
        reader.close()
        raise
    return track_frames(reader, sam, label_map, method=method)


def first_label_map(first_mask: FirstMask, reader: VideoReader) -> LabelMap:
    """The first frame's masks as one label map of the video's size, whatever they were given as."""
    width, height = reader.info.width, reader.info.height
    if isinstance(first_mask, np.ndarray):
        return check_label_map(first_mask, width=width, height=height)
    sources = [first_mask] if isinstance(first_mask, (str, Path)) else list(first_mask)
    return load_first_masks(sources, width=width, height=height)


def track_frames(
    reader: VideoReader,
    sam: Sam,
    label_map: LabelMap,
    seconds: StageSeconds | None = None,
    appearing: Callable[[Frame], LabelMap | None] = lambda frame: None,
    *,
    method: str = DEFAULT_METHOD,
) -> Generator[FrameResult, None, None]:
    """Track the objects of a label map through the frames of a reader, which is closed at the end.

    Args:
        seconds: what the stages took is added to it.
        appearing: for every frame but the first, the label map of objects that appear in it, if there are any.
        method: as for `track`.
    """
    seconds = seconds if seconds is not None else StageSeconds()
    tracker = None
    with reader, closing(_encoded(reader, sam, seconds)) as frames:
        for frame, features in frames:
            started = time.perf_counter()
            if tracker is None:
                tracker = Tracker(sam, frame, label_map, method=method, features=features)
                result = tracker.first_result
            else:
                result = tracker.step(frame, features=features, label_map=appearing(frame))
            seconds.track += time.perf_counter() - started
            yield result


def _encoded(reader: VideoReader, sam: Sam, seconds: StageSeconds) -> Generator[tuple[Frame, Features], None, None]:
    """Frames with their features; on a GPU the next ones are read and encoded while the caller is at work."""

    def encode() -> Generator[tuple[Frame, Features], None, None]:
        with closing(read_ahead(_timed(reader, seconds), _READ_AHEAD)) as frames:
            for frame in frames:
                started = time.perf_counter()
                features = sam.encode(frame.image)
                seconds.encode += time.perf_counter() - started
                yield frame, features

    return encode() if sam.device.type in _NEVER_AHEAD else read_ahead(encode(), _ENCODE_AHEAD)


def _timed(frames: Iterable[Frame], seconds: StageSeconds) -> Generator[Frame, None, None]:
    source = iter(frames)
    while True:
        started = time.perf_counter()
        frame = next(source, None)
        seconds.read += time.perf_counter() - started
        if frame is None:
            return
        yield frame
