"""The main path: read → encode → track → the caller, one frame at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from persam_video.ahead import StageSeconds, encoded_ahead
from persam_video.files.atomic import check_writable
from persam_video.frame import Frame, FrameResult, LabelMap, ids_in
from persam_video.inputs.annotations import FirstMask, gather
from persam_video.inputs.prompts import ObjectPrompt
from persam_video.methods.saved_targets import SavedTargets, load_targets, targets_writer
from persam_video.options import DEFAULT_METHOD, DEFAULT_MODEL
from persam_video.prompt_masks import first_label_map
from persam_video.runtime.heap import release_free_memory
from persam_video.runtime.prefetch import prefetch
from persam_video.runtime.threads import ThreadPlan
from persam_video.sam.models import Sam, load_sam
from persam_video.tracker import Tracker, check_method, looking
from persam_video.video.reader import VideoReader, open_video

_BEGUN_AHEAD = 1
_GIVE_BACK_EVERY = 20


def track(
    source: str | Path,
    first_mask: FirstMask | None = None,
    *,
    first_prompts: Sequence[ObjectPrompt] = (),
    later_masks: Mapping[int, str | Path] | None = None,
    method: str = DEFAULT_METHOD,
    model: str = DEFAULT_MODEL,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    start: int | float = 0,
    end: int | float | None = None,
    stride: int = 1,
    hwaccel: str | None = None,
    targets: str | Path | None = None,
    save_targets: str | Path | None = None,
    sam: Sam | None = None,
) -> Iterator[FrameResult]:
    """Track the objects of a video from the masks of its first frame.

    Everything is checked, and the model loaded, before this returns; frames are read and tracked as results are
    asked for, so that memory does not grow with the video.

    Args:
        source: a video file, a folder of pictures, or a glob pattern of pictures.
        first_mask: a label map's file (palette or grey PNG), a folder with one, several binary masks' files, or the
            label map itself, H×W, integer ids (or bool for one object). It belongs to the frame at ``start``.
        first_prompts: boxes and points instead of masks, or for further objects: SAM makes their masks.
        later_masks: files of masks by the number of their frame: objects that appear there are followed from there on,
            and those that are tracked already are corrected.
        method: ``appearance`` (a classifier of each object's appearance, with optical flow and SAM), or one of the
            published ``persam-f`` and ``persam``.
        model: ``vit_t`` (MobileSAM), ``vit_b``, ``vit_l`` or ``vit_h``.
        checkpoint: a local file of weights instead of the published ones.
        device: ``auto``, ``cuda``, ``cpu``, ``mps``, or a torch device such as ``cuda:1``.
        precision: of the image encoder: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        start: the first frame: its number if int, its time in seconds if float.
        end: the frame before which to stop, likewise.
        stride: take every so many frames.
        hwaccel: decode a video file on this kind of device (``cuda``, ``videotoolbox``, …) instead of the processor.
        targets: a file of ``save_targets``, from another video: its objects, which need no mask here, are followed from
            the first frame in which they are found. They have the method that they were learned by.
        save_targets: write what was learned of the objects into this file (safetensors).
        sam: a model that is loaded already; ``model``, ``checkpoint``, ``device`` and ``precision`` do not count then.
    Yields:
        A `FrameResult` for every frame; the first one's label map is the given mask.
    Raises:
        InputError: the video, the masks, the method, the weights or the device cannot be used.
        DamagedVideoError: the video broke off; the results of the frames before it were yielded.
    """
    check_method(method)
    if save_targets is not None:
        check_writable(Path(save_targets))
    reader = open_video(source, start=start, end=end, stride=stride, hwaccel=hwaccel)
    try:
        given = gather(
            reader,
            first_mask=first_mask,
            first_prompts=first_prompts,
            later_masks=((frame, Path(path)) for frame, path in (later_masks or {}).items()),
            allow_empty=targets is not None,
        )
        if sam is None:
            sam = load_sam(model, checkpoint=checkpoint, device=device, precision=precision)
        known = None if targets is None else load_targets(Path(targets), sam)
        label_map = first_label_map(sam, reader.first.image, given)
    except BaseException:
        reader.close()
        raise
    keep = None if save_targets is None else targets_writer(Path(save_targets), sam)
    return track_frames(reader, sam, label_map, later=given.later.take, method=method, targets=known, keep=keep)


def track_frames(
    reader: VideoReader,
    sam: Sam,
    label_map: LabelMap | None,
    seconds: StageSeconds | None = None,
    later: Callable[[Frame], LabelMap | None] = lambda frame: None,
    *,
    method: str = DEFAULT_METHOD,
    targets: SavedTargets | None = None,
    keep: Callable[[SavedTargets], None] | None = None,
) -> Generator[FrameResult, None, None]:
    """Track the objects of a label map through the frames of a reader, which is closed at the end.

    Args:
        seconds: what the stages took is added to it.
        later: for every frame but the first, its label map if masks are given in it (see `Tracker.step`).
        label_map: of the first frame; None where there are targets and no further object.
        method: as for `track`; targets have their own.
        targets: objects that are known from elsewhere.
        keep: is called with all targets whenever one was learned.
    """
    seconds = seconds if seconds is not None else StageSeconds()
    objects = [] if label_map is None else ids_in(label_map)
    cores = ThreadPlan(len(objects) + (0 if targets is None else len(targets.object_ids)), sam.device)
    tracker = None if targets is None else Tracker.from_targets(sam, targets)
    look = looking(method if targets is None else targets.method, sam)

    def begun() -> Generator[tuple[Callable[[], FrameResult], float], None, None]:
        nonlocal tracker
        result: Callable[[], FrameResult]
        with reader, closing(encoded_ahead(reader, sam, look, seconds, cores)) as frames:
            for number, (frame, features, cues) in enumerate(frames):
                started = time.perf_counter()
                given = later(frame) if number else label_map
                with cores.single_threaded():
                    if tracker is None:
                        assert given is not None
                        tracker = Tracker(sam, frame, given, method=method, features=features)
                        result = partial(getattr, tracker, "first_result")
                    else:
                        result = tracker.start(frame, features=features, label_map=given, cues=cues)
                if keep is not None and given is not None:
                    keep(tracker.targets)
                if number % _GIVE_BACK_EVERY == 0:
                    release_free_memory()
                yield result, time.perf_counter() - started

    # A GPU goes on with the next frame while the result of one is made.
    ahead = begun() if cores.model_on_cpu else prefetch(begun(), _BEGUN_AHEAD)
    with cores.limit_opencv(), closing(ahead) as results:
        for result, spent in results:
            started = time.perf_counter()
            made = result()
            seconds.track += spent + time.perf_counter() - started
            yield made
