"""One job: a video, its annotations, a model and outputs. Every command and `track` drive it.

torch is imported late: it takes seconds, and errors in the video or the annotations are reported before that.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from tqdm.auto import tqdm

from persam_video.errors import InputError, OutputError
from persam_video.files.atomic import check_writable, write_atomic
from persam_video.files.palette_png import write_palette_png
from persam_video.frame import Frame, FrameResult, Image, LabelMap, ids_in
from persam_video.inputs.annotations import Annotations, FirstMask, read_annotations
from persam_video.inputs.later_masks import LaterMasks, MaskSource
from persam_video.inputs.prompts import ObjectPrompt
from persam_video.options import DEFAULT_MODEL, ModelOptions, check_method
from persam_video.outputs.base import Output, OutputThreads, discard_outputs, open_outputs
from persam_video.video.reader import VideoInfo, VideoReader, open_video

if TYPE_CHECKING:
    from persam_video.methods.saved_targets import SavedTargets
    from persam_video.pipeline import StageSeconds
    from persam_video.sam.models import Sam
    from persam_video.tracker import Tracker

P = ParamSpec("P")
logger = logging.getLogger(__name__)


class VideoRun(Iterator[FrameResult]):
    """A video that is being tracked: an iterator over the results of its frames, and a context manager.

        with open_run("video.mp4", first_mask="ann.png", outputs=[MaskOutput("masks")]) as run:
            for result in run:
                ...

    Frames are read and tracked as results are asked for, a few ahead, so that memory does not grow with the video. At
    the end, on an error and on `close`, the video is closed and the outputs are finished with the frames that they
    have. Made by `open_run`.

    Attributes:
        info: size, times and length of the video.
        first_label_map: masks of the first frame, uint8, H×W, given or made by SAM of boxes and points; None where
            there are only saved targets.
        first_mask_file: file into which a mask made by SAM was written; None: there is none.
    """

    def __init__(
        self,
        reader: VideoReader,
        sam: Sam,
        tracker: Tracker,
        annotations: Annotations,
        label_map: LabelMap | None,
        *,
        outputs: Sequence[Output] = (),
        first_mask_file: Path | None = None,
        targets_file: Path | None = None,
        progress: bool = False,
    ) -> None:
        from persam_video.pipeline import StageSeconds

        self.info: VideoInfo = reader.info
        self.first_label_map = label_map
        self.first_mask_file = first_mask_file
        self._reader = reader
        self._sam = sam
        self._tracker = tracker
        self._later = annotations.later
        self._outputs = outputs
        self._writer = OutputThreads(())
        self._targets_file = targets_file
        self._progress = progress
        self._seconds = StageSeconds()
        self._results: Generator[FrameResult, None, None] | None = None
        self._has_raised = False

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of all objects so far, in the order in which they were added."""
        return self._tracker.object_ids

    @property
    def seconds(self) -> StageSeconds:
        """Seconds that each stage has worked so far."""
        return replace(self._seconds, write=self._writer.seconds)

    @property
    def unreached_masks(self) -> tuple[int, ...]:
        """Numbers of the frames whose later masks have not been used (yet), in ascending order."""
        return self._later.unreached

    @property
    def output_errors(self) -> tuple[Exception, ...]:
        """Errors of outputs that could not be finished, once the run has ended."""
        return tuple(self._writer.errors)

    def __iter__(self) -> VideoRun:
        return self

    def __next__(self) -> FrameResult:
        """Result of the next frame; that of the first one has the given masks.

        Raises:
            DamagedVideoError: the video is damaged here; the results of all frames before were returned.
            OutputError: an output cannot be written.
        """
        if self._results is None:
            self._results = self._begin()
        try:
            return next(self._results)
        except BaseException:
            self._has_raised = True
            raise

    def close(self) -> None:
        """End the run: close the video and finish the outputs. May be repeated.

        Raises:
            OutputError: an output cannot be finished.
        """
        if self._results is None:
            self._results = _no_results()
            discard_outputs(self._outputs)
            self._reader.close()
        self._results.close()
        if self._writer.errors and not self._has_raised:
            self._has_raised = True
            raise self._writer.errors[0]

    def __enter__(self) -> VideoRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._has_raised |= error is not None
        self.close()

    def _begin(self) -> Generator[FrameResult, None, None]:
        """Results of all frames. They hold no reference to the run: dropping it closes them at once."""
        from persam_video.methods.saved_targets import save_targets
        from persam_video.pipeline import Pipeline

        first, label_map, later = self._reader.first.index, self.first_label_map, self._later
        tracker, sam, targets_file = self._tracker, self._sam, self._targets_file

        def masks_at(frame: Frame) -> LabelMap | None:
            return label_map if frame.index == first else later.pop(frame)

        def on_annotated() -> None:
            if targets_file is not None:
                save_targets(targets_file, tracker.targets, sam, overwrite=True)

        objects = len(self.object_ids) + (0 if label_map is None else len(ids_in(label_map)))
        pipeline = Pipeline(tracker, sam, objects=objects, seconds=self._seconds)
        bar = tqdm(
            total=self.info.frame_count,
            desc=self.info.path.name,
            unit="frame",
            disable=not self._progress,
            leave=None,  # only where it is the outermost bar
        )
        self._writer = OutputThreads(self._outputs)
        results = pipeline.results(self._reader, masks_at, on_annotated)
        return _written(results, self._reader, self._writer, bar, later)


def _no_results() -> Generator[FrameResult, None, None]:
    yield from ()


def _written(
    results: Generator[FrameResult, None, None],
    reader: VideoReader,
    writer: OutputThreads,
    bar: Any,
    later: LaterMasks,
) -> Generator[FrameResult, None, None]:
    """Results, each of which is handed to the outputs; at the end everything is closed."""
    try:
        with reader, bar, writer, closing(results):
            for result in results:
                writer.put(result)
                bar.update()
                yield result
    except GeneratorExit:  # closed early, on purpose
        raise
    except BaseException:
        _warn_of_unreached(later)
        raise
    _warn_of_unreached(later)


def _warn_of_unreached(later: LaterMasks) -> None:
    if later.unreached:
        numbers = ", ".join(map(str, later.unreached))
        logger.warning("the masks of frames that were not reached had no effect: %s", numbers)


def open_run(
    source: str | Path | VideoReader,
    first_mask: FirstMask | None = None,
    *,
    first_prompts: Iterable[ObjectPrompt] | str | Path = (),
    first_coco: str | Path | None = None,
    later_masks: Mapping[int, MaskSource] | Iterable[tuple[int, MaskSource]] = (),
    targets: str | Path | SavedTargets | None = None,
    method: str | None = None,
    start: int | float = 0,
    end: int | float | None = None,
    stride: int = 1,
    hwaccel: str | None = None,
    outputs: Sequence[Output] = (),
    save_first_mask: str | Path | None = None,
    save_targets: str | Path | None = None,
    overwrite: bool = False,
    sam: Sam | None = None,
    model: str | ModelOptions | None = None,
    progress: bool | None = None,
    **model_options: Any,
) -> VideoRun:
    """Open a video with its annotations, a model and outputs: everything is checked, and the model loaded.

    Args:
        source: a video file, a folder of image files, a glob pattern of them, or a `VideoReader`, which the run closes.
        first_mask: file of a label map (palette or grey PNG), a folder with one, several files of one binary mask each,
            or the label map itself, H×W, integer ids (or bool for one object). It belongs to the frame at ``start``.
        first_prompts: boxes and points instead of masks, or of further objects, or a JSON file of them
            (`persam_video.read_prompts`). SAM makes their masks.
        first_coco: file of annotations of the first frame in COCO's format, instead of a first mask.
        later_masks: masks by frame number, as files or label maps: objects that are new are tracked from there on, and
            those that are tracked already are corrected.
        targets: objects of another video, or their file (``save_targets``): tracked from the first frame in which they
            are found.
        method: ``appearance``, ``persam-f`` or ``persam``; None: that of the targets, or else ``appearance``.
        start: first frame: its number if int, its time in seconds if float.
        end: the frame before which to stop, in the same way; None: the end of the video.
        stride: take every so many frames.
        hwaccel: kind of device that decodes a video file (``cuda``, ``videotoolbox``, …); None: the processor.
        outputs: such as `MaskOutput` and `OverlayOutput`.
        save_first_mask: file for the mask of the first frame, if SAM makes it of boxes or points.
        save_targets: file for the personalised targets, written whenever objects were personalised.
        overwrite: replace outputs that exist.
        sam: a loaded model, instead of all model options.
        model: ``vit_t`` (MobileSAM, the default), ``vit_b``, ``vit_l`` or ``vit_h``, or `ModelOptions`.
        progress: show bars on stderr; None: only while weights are downloaded.
        model_options: fields of `ModelOptions` by name: ``device="cuda:1"``, ``size=512``, ``batch=2``, …
    Raises:
        InputError: the video, the annotations, the method, the weights, the device or an output cannot be used.
        TypeError: there is no such model option.
    """
    if sam is not None and (model is not None or model_options):
        raise InputError("sam is a loaded model: give either it or model options")
    options = ModelOptions.of(model or DEFAULT_MODEL, **model_options)
    if method is not None:
        check_method(method)
    if isinstance(source, VideoReader):
        if (start, end, stride, hwaccel) != (0, None, 1, None):
            raise InputError("start, end, stride and hwaccel of a VideoReader are those that it was opened with")
        reader = source
    else:
        reader = open_video(source, start=start, end=end, stride=stride, hwaccel=hwaccel)
    opened: Sequence[Output] = ()
    try:
        annotations = read_annotations(
            reader,
            first_mask=first_mask,
            first_prompts=first_prompts,
            first_coco=first_coco,
            later_masks=later_masks,
            allow_empty=targets is not None,
        )
        first_mask_file = Path(save_first_mask) if save_first_mask is not None and annotations.prompts else None
        targets_file = None if save_targets is None else Path(save_targets)
        if first_mask_file is not None:
            _check_first_mask_file(first_mask_file, first_mask, overwrite=overwrite)
        if targets_file is not None:
            check_writable(targets_file, overwrite=overwrite)
        open_outputs(outputs, reader.info, overwrite=overwrite)
        opened = outputs

        from persam_video.methods.saved_targets import load_targets
        from persam_video.sam.models import load_sam
        from persam_video.tracker import Tracker

        sam = sam or load_sam(options, progress=progress is not False)
        known = load_targets(targets, sam) if isinstance(targets, (str, Path)) else targets
        tracker = Tracker(sam, method=method, targets=known)
        label_map = _first_label_map(sam, reader.first.image, annotations)
        if first_mask_file is not None and label_map is not None:
            _write_mask(first_mask_file, label_map)
    except BaseException:
        discard_outputs(opened)
        reader.close()
        raise
    return VideoRun(
        reader,
        sam,
        tracker,
        annotations,
        label_map,
        outputs=outputs,
        first_mask_file=first_mask_file,
        targets_file=targets_file,
        progress=bool(progress),
    )


def _check_first_mask_file(path: Path, first_mask: FirstMask | None, *, overwrite: bool) -> None:
    given = [first_mask] if isinstance(first_mask, (str, Path)) else first_mask
    inputs = () if given is None or isinstance(given, np.ndarray) else given
    if path.resolve() in [Path(mask).resolve() for mask in inputs]:
        raise OutputError(f"{path}: is an input; the mask made of boxes and points would go there; name another output")
    check_writable(path, overwrite=overwrite)


def _first_label_map(sam: Sam, image: Image, annotations: Annotations) -> LabelMap | None:
    """Masks of the first frame; SAM makes those of boxes and points, in pixels that the other masks leave free."""
    from persam_video.prompt_masks import segment_prompts

    if not annotations.prompts:
        return annotations.label_map
    made = segment_prompts(sam, image, annotations.prompts)
    label_map = annotations.label_map
    return made if label_map is None else np.where(label_map == 0, made, label_map)


def _write_mask(path: Path, label_map: LabelMap) -> None:
    png = io.BytesIO()
    write_palette_png(png, label_map)
    write_atomic(path, png.getvalue())


def _iterates(opens: Callable[P, VideoRun]) -> Callable[P, Iterator[FrameResult]]:
    """Function with the same parameters that returns the run as an iterator."""

    @wraps(opens)
    def iterate(*args: P.args, **kwargs: P.kwargs) -> Iterator[FrameResult]:
        return opens(*args, **kwargs)

    return iterate


track = _iterates(open_run)
track.__name__ = track.__qualname__ = "track"
track.__doc__ = """Results of all frames of a video, an iterator: a `VideoRun` that is closed at its end.

    for result in track("video.mp4", first_mask="ann.png"):
        result.index, result.label_map, result.scores, result.visible

Everything is checked, and the model loaded, before this returns. Parameters and exceptions are those of `open_run`.
"""
