"""``persam-track``: track the objects of a video from masks of its first frame."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from persam_video import __version__
from persam_video.cli.annotation_options import add_annotation_options, annotations_of, check_annotation_options
from persam_video.cli.common import (
    EXIT_DAMAGED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    Parser,
    add_max_pixels_option,
    add_model_options,
    add_video_options,
    describe_os_error,
    frame_or_seconds,
    model_options,
    path_name,
    run,
)
from persam_video.cli.format_options import add_format_options, chosen_formats
from persam_video.cli.signals import raise_if_interrupted
from persam_video.cli.terminal import complain, say
from persam_video.errors import DamagedVideoError
from persam_video.messages import pluralize
from persam_video.outputs.formats import FORMATS, formats_of

if TYPE_CHECKING:
    from persam_video.outputs.base import Output
    from persam_video.result import FrameResult
    from persam_video.video.reader import VideoInfo
    from persam_video.video_run import VideoRun

PROGRAM = "persam-track"

_SHOWN_OBJECTS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        the exit code: 0, 1 for a video that is damaged part-way, 2 for invalid input, 130 after Ctrl-C.
    """
    return run(PROGRAM, lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    check_annotation_options(parser, options)
    if options.results is not None and options.no_results:
        parser.error("--results and --no-results: give one of them")
    return _track(options)


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} VIDEO --first-mask FILE [FILE ...] [options]",
        description="Track the objects of a video from masks of its first frame, or from boxes or points in it.",
        epilog="START and END are a frame (120) or a time (4.5s, 1:30).",
    )
    parser.add_argument(
        "video", metavar="VIDEO", nargs="?", help="a video file, a folder of image files, or a quoted glob pattern"
    )
    add_annotation_options(parser)
    parser.add_argument(
        "--masks",
        metavar="DIR",
        action="once",
        type=path_name,
        help="write a DAVIS mask of every frame: DIR/00000.png …",
    )
    parser.add_argument(
        "--overlay",
        metavar="FILE",
        action="once",
        type=path_name,
        help="write a video (.mp4, .mov, .mkv) with the masks",
    )
    parser.add_argument(
        "--save",
        metavar="FORMAT[,FORMAT …]",
        action="once",
        help=f"write these, into the folder of --out: {', '.join(FORMATS)}",
    )
    parser.add_argument(
        "--out", metavar="DIR", action="once", type=path_name, help="folder of outputs; default: VIDEO_persam"
    )
    parser.add_argument(
        "--results",
        metavar="FILE",
        action="once",
        type=path_name,
        help="record of everything about every object of every frame; default: results.jsonl beside the other outputs",
    )
    parser.add_argument("--no-results", action="store_true", help="do not write that record")
    parser.add_argument(
        "--save-targets",
        metavar="FILE",
        action="once",
        type=path_name,
        help="save the personalised objects, for --targets",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    add_format_options(parser)
    add_model_options(parser)
    parser.set_defaults(method=None)  # that of --targets, or else the default
    add_video_options(parser)
    parser.add_argument("--start", metavar="START", type=frame_or_seconds, default=0, help="first frame")
    parser.add_argument("--end", metavar="END", type=frame_or_seconds, help="the frame before which to stop")
    parser.add_argument("--stride", metavar="N", type=int, default=1, help="take every Nth frame")
    parser.add_argument(
        "--hwaccel",
        metavar="DEVICE",
        help="decode a video file on cuda, vaapi, videotoolbox, …; default: the processor",
    )
    parser.add_argument(
        "--stream",
        metavar="N",
        type=int,
        help="video stream of a file with several, by its index among all streams; default: the one that players show",
    )
    add_max_pixels_option(parser)
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit with 1 if an object was never seen after it was given, or a mask's frame was not reached",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but warnings and errors")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def _track(options: argparse.Namespace) -> int:
    from persam_video.run import open_run
    from persam_video.video.reader import open_video

    reader = open_video(
        options.video,
        start=options.start,
        end=options.end,
        stride=options.stride,
        hwaccel=options.hwaccel,
        stream=options.stream,
        max_pixels=options.max_pixels,
    )
    with reader:
        outputs = _outputs(options, reader.info)
        job = open_run(
            reader,
            **annotations_of(options),
            method=options.method,
            outputs=outputs,
            save_first_mask=_beside(outputs[0].path) / "first_mask.png",
            save_targets=options.save_targets,
            overwrite=options.overwrite,
            model=model_options(options),
            progress=not options.quiet,
        )
        if job.first_mask_file is not None and not options.quiet:
            say(
                f"the mask that SAM made of boxes and points is in {job.first_mask_file}: look at it, and correct it "
                "if need be"
            )
        return _write(job, outputs, quiet=options.quiet, strict=options.strict)


def _beside(path: Path) -> Path:
    """Folder that holds a file or folder; that of ``.`` is named in full."""
    return path.parent if path.name not in ("", "..") else path.resolve().parent


def _outputs(options: argparse.Namespace, video: VideoInfo) -> list[Output]:
    """The outputs of the options; by default masks, overlay and results in a folder beside the video."""
    from persam_video.outputs.masks import MaskOutput
    from persam_video.outputs.overlay import OverlayOutput
    from persam_video.outputs.results import ResultsOutput

    masks, overlay = options.masks, options.overlay
    formats, chosen = chosen_formats(options, options.save)
    is_named = masks is not None or overlay is not None or options.results is not None
    if not is_named and options.save is None:
        formats = formats_of("masks,overlay")
    source = video.path if video.path.name not in ("", "..") else video.path.resolve()
    folder = options.out or source.with_name(f"{source.name if video.is_images else source.stem}_persam")
    outputs: list[Output] = []
    if masks is not None:
        outputs.append(MaskOutput(masks))
    if overlay is not None:
        outputs.append(OverlayOutput(overlay))
    outputs += [each.make(folder / each.file, chosen) for each in formats]
    if options.results is not None:
        outputs.append(ResultsOutput(options.results))
    elif not options.no_results:
        beside = folder if formats or options.out is not None else _beside(outputs[0].path)
        path = _results_file(beside, [each.path for each in outputs])
        if path is None:
            complain(f"{PROGRAM}: warning: {beside} is not writable: no results.jsonl is written; give --results FILE")
        else:
            outputs.append(ResultsOutput(path))
    return outputs


def _results_file(folder: Path, outputs: Sequence[Path]) -> Path | None:
    """File of the results: ``results.jsonl`` in a folder, or another name if that one is there and of other outputs;
    None: the folder is not writable."""
    from persam_video.results.reader import recorded_outputs
    from persam_video.results.record import relative_names

    existing = next(each for each in (folder, *folder.resolve().parents) if each.exists())
    if existing.is_dir() and not os.access(existing, os.W_OK):
        return None
    path = folder / "results.jsonl"
    if not path.exists() or recorded_outputs(path) == relative_names(outputs, path):
        return path
    return folder / f"{outputs[0].resolve().stem}_results.jsonl"


def _write(job: VideoRun, outputs: Sequence[Output], *, quiet: bool, strict: bool) -> int:
    """Track all frames into the outputs, and report how it went."""
    last: FrameResult | None = None
    count = 0
    began = time.perf_counter()
    error: BaseException | None = None
    try:
        with job:
            for result in job:
                last, count = result, count + 1
                raise_if_interrupted()
    except (KeyboardInterrupt, DamagedVideoError, OSError) as raised:
        error = raised
    elapsed = time.perf_counter() - began
    where = ", ".join(str(output.path) for output in outputs if os.path.exists(output.path))  # noqa: PTH110  (no OSError)
    kept = f"frames up to {last.index} are in {where}" if last and where else "nothing was written"
    for each in job.output_errors:
        complain(f"{PROGRAM}: error: {each}")
    if isinstance(error, KeyboardInterrupt):
        complain(f"{PROGRAM}: interrupted; {kept}")
        return EXIT_INTERRUPTED
    if error is not None:
        reason = describe_os_error(error) if isinstance(error, OSError) else error
        complain(f"{PROGRAM}: error: {reason}; {kept}")
        return EXIT_USAGE if isinstance(error, OSError) and last is None else EXIT_DAMAGED
    if not quiet and last is not None:
        stages = asdict(job.seconds)
        total = max(sum(stages.values()), 1e-9)  # stages overlap: more than has elapsed
        shares = ", ".join(f"{stage} {100 * spent / total:.0f} %" for stage, spent in stages.items())
        say(
            f"{pluralize(count, 'frame')}, {pluralize(len(last.object_ids), 'object')}, {_visibility(job)}; "
            f"{elapsed:.1f} s, {count / elapsed:.2f} frames/s (of the work: {shares}) -> {where}"
        )
    return EXIT_DAMAGED if strict and (job.unseen_objects or job.unreached_masks) else 0


def _visibility(job: VideoRun) -> str:
    """In how many frames each object was visible: ``visible: 1 in 12 frames, 2 in 7``."""
    shown = list(job.visible_frames.items())[:_SHOWN_OBJECTS]
    counts = [f"{object_id} in {frames}" for object_id, frames in shown]
    if shown:
        counts[0] += f" frame{'' if shown[0][1] == 1 else 's'}"
    more = len(job.visible_frames) - len(shown)
    if more:
        counts.append(f"and {pluralize(more, 'more object')}")
    return f"visible: {', '.join(counts)}"


if __name__ == "__main__":
    sys.exit(main())
