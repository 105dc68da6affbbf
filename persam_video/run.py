"""One job: a video, its annotations, a model and outputs. Every command and `track` drive it.

torch is imported late: it takes seconds, and errors in the video or the annotations are reported before that.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from persam_video import __version__
from persam_video.errors import AnnotationError, InputError
from persam_video.files.atomic import write_atomic
from persam_video.files.output_file import OutputFile
from persam_video.files.overlaps import InputPath
from persam_video.files.palette_png import write_palette_png
from persam_video.frame import Image, LabelMap, ids_in
from persam_video.inputs.annotations import Annotations, read_annotations
from persam_video.inputs.first_mask import MaskSource
from persam_video.inputs.later_masks import MasksByFrame, frames_and_masks
from persam_video.inputs.prompts import ObjectPrompt
from persam_video.options import DEFAULT_MODEL, ModelOptions, check_method, check_model
from persam_video.outputs.base import Output, begin_outputs, check_outputs, open_outputs, refuse_output_overlaps
from persam_video.result import FrameResult
from persam_video.results.record import RunInfo
from persam_video.video.reader import VideoReader, open_video
from persam_video.video_run import VideoRun, release

if TYPE_CHECKING:
    from persam_video.methods.saved_targets import SavedTargets
    from persam_video.sam.models import Sam

logger = logging.getLogger(__name__)
P = ParamSpec("P")


def open_run(
    source: object,
    first_mask: MaskSource | None = None,
    *,
    first_prompts: Iterable[ObjectPrompt | str | Path] | str | Path = (),
    first_coco: str | Path | None = None,
    coco_image: str | int | None = None,
    later_masks: MasksByFrame = (),
    targets: str | Path | SavedTargets | None = None,
    names: Mapping[int, str] | str | Path | None = None,
    method: str | None = None,
    start: int | float = 0,
    end: int | float | None = None,
    stride: int = 1,
    hwaccel: str | None = None,
    stream: int | None = None,
    max_pixels: int | None = None,
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
        source: a video file, a folder of image files, a pattern or a list of them, frames in memory (an array, a torch
            tensor, a list or an iterator), an open binary file (see `open_video`), or a `VideoReader`, which the run
            closes.
        first_mask: file of a label map (palette or grey PNG); several files, or a folder of them, of one binary mask
            each; a folder with one file a frame; the label map itself, H×W, integer ids (or bool for one object); a
            list or stack of masks; or masks by object id. Arrays, torch tensors and Pillow images will do. It belongs
            to the frame at ``start``.
        first_prompts: boxes and points instead of masks, or of further objects, or JSON files of them
            (`persam_video.read_prompts`). SAM makes their masks.
        first_coco: file of annotations of the first frame, or of all, in COCO's format, instead of a first mask.
        coco_image: name or id of the first frame's image in that file; None: it is found by its name or number.
        later_masks: masks by frame number, of the same kinds as the first one: objects that are new are tracked from
            there on, and those that are tracked already are corrected.
        targets: objects of another video, or their file (``save_targets``): tracked from the first frame in which they
            are found.
        names: of objects by id, or a JSON file of them: ``{1: "dog", 2: "ball"}``. They replace the categories of
            ``first_coco`` and the names of ``targets``, and are written with everything that is written of the objects.
        method: ``appearance``, ``persam-f`` or ``persam``; None: that of the targets, or else ``appearance``.
        start: first frame: its number if int, its time in seconds if float.
        end: the frame before which to stop, in the same way; None: the end of the video.
        stride: take every so many frames.
        hwaccel: kind of device that decodes a video file (``cuda``, ``videotoolbox``, …); None: the processor.
        stream: index of the video stream among all streams of the file; None: the one that a player shows.
        max_pixels: limit of a frame's pixels; None: 67 million (8192×8192).
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
    if sam is not None:
        check_model(sam)
    options = ModelOptions.of(model or DEFAULT_MODEL, **model_options)
    if method is not None:
        check_method(method)
    check_outputs(outputs)
    if isinstance(source, VideoReader):
        if (start, end, stride, hwaccel, stream, max_pixels) != (0, None, 1, None, None, None):
            raise InputError("start, end, stride, hwaccel, … of a VideoReader are those that it was opened with")
        reader = source
    else:
        reader = open_video(
            source, start=start, end=end, stride=stride, hwaccel=hwaccel, stream=stream, max_pixels=max_pixels
        )
    opened: Sequence[Output] = ()
    reserved: list[OutputFile] = []
    try:
        if isinstance(first_mask, Iterator) and not isinstance(first_mask, io.IOBase):
            first_mask = list(first_mask)
        if isinstance(first_prompts, Iterator):
            first_prompts = list(first_prompts)
        later = frames_and_masks(later_masks)
        annotations = read_annotations(
            reader,
            first_mask=first_mask,
            first_prompts=first_prompts,
            first_coco=first_coco,
            coco_image=coco_image,
            later_masks=later,
            names=names,
            allow_empty=targets is not None,
        )
        first_mask_file = Path(save_first_mask) if save_first_mask is not None and annotations.prompts else None
        targets_file = None if save_targets is None else Path(save_targets)
        files = [path for path in (first_mask_file, targets_file) if path is not None]
        refuse_output_overlaps(
            [
                *_input_paths(reader.paths, first_prompts, first_coco, targets, options.checkpoint),
                *_input_paths(None if isinstance(names, Mapping) else names),
                *_mask_paths(first_mask, [mask for _, mask in later]),
            ],
            outputs,
            files,
        )
        reserved.extend(OutputFile(path, overwrite=overwrite) for path in files)
        open_outputs(outputs, reader.info, overwrite=overwrite)
        opened = outputs

        from persam_video.methods.saved_targets import check_targets, load_targets
        from persam_video.sam.models import load_sam
        from persam_video.tracking.settings import settings_of
        from persam_video.tracking.tracker import Tracker

        if isinstance(targets, (str, Path)):
            check_targets(targets)  # before the model is loaded
        sam = sam or load_sam(options, progress=progress is not False)
        known = load_targets(targets, sam) if isinstance(targets, (str, Path)) else targets
        tracker = Tracker(sam, method=method, targets=known, names=annotations.names)
        label_map = _first_label_map(sam, reader.first.image, annotations)
        replaced = () if known is None or label_map is None else set(known.object_ids) & set(ids_in(label_map))
        for object_id in sorted(replaced):
            logger.warning(f"object {object_id} of the saved targets is replaced by that of the first frame's mask")
        if first_mask_file is not None and label_map is not None:
            _write_mask(first_mask_file, label_map)
        run = RunInfo(
            reader.info,
            hash_video=reader.content_sha256,
            settings=settings_of(sam, tracker.method_name),
            names=tracker.names,
            version=__version__,
            outputs=[each.path for each in outputs],
        )
        begin_outputs(outputs, run)
    except BaseException:
        release(opened, reserved)
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
        reserved=reserved,
        progress=bool(progress),
    )


def _input_paths(*values: Any) -> list[InputPath]:
    """Files and folders among arguments, which may be lists of them; masks and objects in memory are left out."""
    paths = []
    for value in values:
        if isinstance(value, (str, PathLike)):
            paths.append(InputPath(Path(value)))
        elif isinstance(value, Mapping):
            paths += _input_paths(*value.values())
        elif isinstance(value, (list, tuple)):
            paths += _input_paths(*value)
    return paths


def _mask_paths(*values: Any) -> list[InputPath]:
    """Files and folders among masks, and the files of the folders."""
    given = [each.path for each in _input_paths(*values)]
    inside = [path for folder in given if folder.is_dir() for path in folder.iterdir()]
    return [InputPath(path, is_mask=True) for path in (*given, *inside)]


def _first_label_map(sam: Sam, image: Image, annotations: Annotations) -> LabelMap | None:
    """Masks of the first frame; SAM makes those of boxes and points, in pixels that the other masks leave free."""
    from persam_video.prompt_masks import segment_prompts

    if not annotations.prompts:
        return annotations.label_map
    made = segment_prompts(sam, image, annotations.prompts)
    if annotations.label_map is None:
        return made
    label_map = np.where(annotations.label_map == 0, made, annotations.label_map)
    covered = set(ids_in(made)) - set(ids_in(label_map))
    if covered:
        raise AnnotationError(
            f"object {min(covered)}: SAM's mask of its box or points lies wholly under masks that are given; move "
            "them, or give its mask"
        )
    return label_map


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
