"""``persam-track``: track the objects of a video from masks of its first frame."""

from __future__ import annotations

import argparse
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
    Parser,
    add_batch_option,
    add_model_options,
    frame_or_seconds,
    model_options,
    run,
)
from persam_video.errors import DamagedVideoError, OutputError
from persam_video.messages import pluralize

if TYPE_CHECKING:
    from persam_video.frame import FrameResult
    from persam_video.outputs.base import Output
    from persam_video.run import VideoRun
    from persam_video.video.reader import VideoInfo

PROGRAM = "persam-track"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        the exit code: 0, 1 for a video that is damaged part-way, 2 for invalid input, 130 after Ctrl-C.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    check_annotation_options(parser, options)
    return run(PROGRAM, lambda: _track(options))


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
    parser.add_argument("--masks", metavar="DIR", type=Path, help="write a DAVIS mask of every frame: DIR/00000.png …")
    parser.add_argument("--overlay", metavar="FILE", type=Path, help="write a video (.mp4, .mov, .mkv) with the masks")
    parser.add_argument(
        "--save-targets", metavar="FILE", type=Path, help="save the personalised objects, for --targets"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    add_model_options(parser)
    parser.set_defaults(method=None)  # that of --targets, or else the default
    add_batch_option(parser)
    parser.add_argument("--start", metavar="START", type=frame_or_seconds, default=0, help="first frame")
    parser.add_argument("--end", metavar="END", type=frame_or_seconds, help="the frame before which to stop")
    parser.add_argument("--stride", metavar="N", type=int, default=1, help="take every Nth frame")
    parser.add_argument(
        "--hwaccel",
        metavar="DEVICE",
        help="decode a video file on cuda, vaapi, videotoolbox, …; default: the processor",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but warnings and errors")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def _track(options: argparse.Namespace) -> int:
    from persam_video.run import open_run
    from persam_video.video.reader import open_video

    reader = open_video(
        options.video, start=options.start, end=options.end, stride=options.stride, hwaccel=options.hwaccel
    )
    with reader:
        outputs = _outputs(options, reader.info)
        job = open_run(
            reader,
            **annotations_of(options),
            method=options.method,
            outputs=outputs,
            save_first_mask=outputs[0].path.with_name("first_mask.png"),
            save_targets=options.save_targets,
            overwrite=options.overwrite,
            model=model_options(options),
            progress=not options.quiet,
        )
        if job.first_mask_file is not None and not options.quiet:
            print(
                f"the mask that SAM made of boxes and points is in {job.first_mask_file}: look at it, and correct it "
                "if need be"
            )
        return _write(job, outputs, quiet=options.quiet)


def _outputs(options: argparse.Namespace, video: VideoInfo) -> list[Output]:
    """The outputs of the options; by default masks and overlay beside the video."""
    from persam_video.outputs.masks import MaskOutput
    from persam_video.outputs.overlay import OverlayOutput

    masks, overlay = options.masks, options.overlay
    if masks is None and overlay is None:
        source = video.path if video.path.name not in ("", "..") else video.path.resolve()
        beside = source.with_name(f"{source.name if video.is_images else source.stem}_persam")
        masks, overlay = beside / "masks", beside / "overlay.mp4"
    first_masks = [Path(mask) for mask in options.first_mask or ()]
    for path in filter(None, (masks, overlay)):
        # A folder that holds the first mask may be a dataset's annotations.
        inputs = [video.path, *first_masks, *(mask.parent for mask in first_masks if path is masks)]
        if path.resolve() in [each.resolve() for each in inputs]:
            raise OutputError(f"{path}: is or holds an input; name another place for the output")
    outputs: list[Output] = []
    if masks is not None:
        outputs.append(MaskOutput(masks))
    if overlay is not None:
        outputs.append(OverlayOutput(overlay))
    return outputs


def _write(job: VideoRun, outputs: Sequence[Output], *, quiet: bool) -> int:
    """Track all frames into the outputs, and report how it went."""
    last: FrameResult | None = None
    count = 0
    began = time.perf_counter()
    error: BaseException | None = None
    try:
        with job:
            for result in job:
                last, count = result, count + 1
    except (KeyboardInterrupt, DamagedVideoError) as raised:
        error = raised
    elapsed = time.perf_counter() - began
    where = ", ".join(str(output.path) for output in outputs if output.path.exists())
    kept = f"frames up to {last.index} are in {where}" if last and where else "nothing was written"
    for each in job.output_errors:
        print(f"{PROGRAM}: error: {each}", file=sys.stderr)
    if isinstance(error, KeyboardInterrupt):
        print(f"{PROGRAM}: interrupted; {kept}", file=sys.stderr)
        return EXIT_INTERRUPTED
    if error is not None:
        print(f"{PROGRAM}: error: {error}; {kept}", file=sys.stderr)
        return EXIT_DAMAGED
    if not quiet and last is not None:
        stages = asdict(job.seconds)
        total = max(sum(stages.values()), 1e-9)  # stages overlap: more than has elapsed
        shares = ", ".join(f"{stage} {100 * spent / total:.0f} %" for stage, spent in stages.items())
        print(
            f"{pluralize(count, 'frame')}, {pluralize(len(last.object_ids), 'object')}, {elapsed:.1f} s, "
            f"{count / elapsed:.2f} frames/s (of the work: {shares}) -> {where}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
