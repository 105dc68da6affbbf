"""``persam-track``: track the objects of a video from the masks of its first frame."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from persam_video import __version__
from persam_video.cli.annotation_options import add_given_options, check_given_options, gather_options
from persam_video.cli.common import (
    EXIT_DAMAGED,
    EXIT_INTERRUPTED,
    Parser,
    add_batch_option,
    add_model_options,
    frame_or_seconds,
    load_model,
    run,
)
from persam_video.errors import DamagedVideoError, OutputError
from persam_video.files.atomic import check_writable
from persam_video.messages import pluralize

if TYPE_CHECKING:
    from persam_video.ahead import StageSeconds
    from persam_video.frame import FrameResult
    from persam_video.inputs.annotations import Given
    from persam_video.outputs.writing import Output
    from persam_video.video.reader import VideoInfo, VideoReader

PROGRAM = "persam-track"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 0, 1 for a video that is damaged part-way, 2 for input that cannot be used,
    130 after Ctrl-C."""
    parser = _parser()
    options = parser.parse_args(arguments)
    check_given_options(parser, options)
    return run(PROGRAM, lambda: _track(options))


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} VIDEO --first-mask FILE [FILE ...] [options]",
        description="Track the objects of a video from the masks of its first frame, or from boxes or points in it.",
        epilog="START and END are a frame (120) or a time (4.5s, 1:30).",
    )
    parser.add_argument(
        "video", metavar="VIDEO", nargs="?", help="a video file, a folder of pictures, or a quoted glob pattern"
    )
    add_given_options(parser)
    parser.add_argument("--masks", metavar="DIR", type=Path, help="write a DAVIS mask of every frame: DIR/00000.png …")
    parser.add_argument("--overlay", metavar="FILE", type=Path, help="write a video (.mp4, .mov, .mkv) with the masks")
    parser.add_argument(
        "--save-targets", metavar="FILE", type=Path, help="keep what was learned of the objects, for --targets"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    add_model_options(parser)
    add_batch_option(parser)
    parser.add_argument("--start", metavar="START", type=frame_or_seconds, default=0, help="first frame")
    parser.add_argument("--end", metavar="END", type=frame_or_seconds, help="the frame before which to stop")
    parser.add_argument("--stride", metavar="N", type=int, default=1, help="take every Nth frame")
    parser.add_argument(
        "--hwaccel",
        metavar="DEVICE",
        help="decode a video file on cuda, vaapi, videotoolbox, …; default: the processor",
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def _track(options: argparse.Namespace) -> int:
    # Imported late: torch takes seconds, and what is wrong with the video or the masks can be said before that.
    from persam_video.video.reader import open_video

    reader = open_video(
        options.video, start=options.start, end=options.end, stride=options.stride, hwaccel=options.hwaccel
    )
    with reader:
        given = gather_options(options, reader)
        if options.save_targets is not None:
            check_writable(options.save_targets, overwrite=options.overwrite)
        outputs = _open_outputs(options, reader.info)
        try:
            results, seconds = _begin(options, reader, given, outputs[0].path)
        except BaseException:
            _discard(outputs)
            raise
        code = _run(reader, results, seconds, outputs, quiet=options.quiet)
    if given.later.left:
        frames = ", ".join(map(str, given.later.left))
        print(f"{PROGRAM}: warning: the masks of frames that were not reached had no effect: {frames}", file=sys.stderr)
    return code


def _begin(
    options: argparse.Namespace, reader: VideoReader, given: Given, beside: Path
) -> tuple[Generator[FrameResult, None, None], StageSeconds]:
    """All that can be refused; then the results, as they are asked for."""
    from persam_video.ahead import StageSeconds
    from persam_video.files.palette_png import write_palette_png
    from persam_video.methods.saved_targets import load_targets, targets_writer
    from persam_video.pipeline import track_frames
    from persam_video.prompt_masks import first_label_map

    made = beside.with_name("first_mask.png")
    if given.prompts:
        if made.resolve() in [Path(mask).resolve() for mask in options.first_mask or ()]:
            raise OutputError(
                f"{made}: is an input; the mask made of boxes and points would go there; name another output"
            )
        check_writable(made, overwrite=options.overwrite)
    sam = load_model(options)
    targets = None if options.targets is None else load_targets(options.targets, sam)
    label_map = first_label_map(sam, reader.first.image, given)
    if given.prompts and label_map is not None:
        write_palette_png(made, label_map)
        if not options.quiet:
            print(f"the mask that SAM made of boxes and points is in {made}: look at it, and correct it if need be")
    seconds = StageSeconds()
    keep = None if options.save_targets is None else targets_writer(options.save_targets, sam)
    results = track_frames(
        reader, sam, label_map, seconds, given.later.take, method=options.method, targets=targets, keep=keep
    )
    return results, seconds


def _open_outputs(options: argparse.Namespace, video: VideoInfo) -> list[Output]:
    """The outputs that were asked for, or both beside the video. All of them can be written, or none is begun."""
    from persam_video.outputs.writing import MaskOutput, OverlayOutput

    masks, overlay = options.masks, options.overlay
    if masks is None and overlay is None:
        source = video.path if video.path.name not in ("", "..") else video.path.resolve()
        beside = source.with_name(f"{source.name if video.is_images else source.stem}_persam")
        masks, overlay = beside / "masks", beside / "overlay.mp4"
    given = [Path(mask) for mask in options.first_mask or ()]
    for path in filter(None, (masks, overlay)):
        # A folder that holds the first mask may be a data set's annotations.
        kept = [video.path, *given, *(mask.parent for mask in given if path is masks)]
        if path.resolve() in [each.resolve() for each in kept]:
            raise OutputError(f"{path}: is or holds an input; name another place for the output")
    outputs: list[Output] = []
    try:
        if masks is not None:
            outputs.append(MaskOutput(masks, overwrite=options.overwrite))
        if overlay is not None:
            outputs.append(OverlayOutput(overlay, video, overwrite=options.overwrite))
    except BaseException:
        _discard(outputs)
        raise
    return outputs


def _discard(outputs: list[Output]) -> None:
    for output in reversed(outputs):  # the first may have made the folder that the others are in
        output.discard()


def _run(
    reader: VideoReader,
    results: Generator[FrameResult, None, None],
    seconds: StageSeconds,
    outputs: list[Output],
    *,
    quiet: bool,
) -> int:
    """Track all frames into the outputs, and say how it went."""
    from persam_video.outputs.writing import OutputThreads

    threads = OutputThreads(outputs)
    bar = tqdm(total=reader.info.frame_count, desc=reader.info.path.name, unit="frame", disable=quiet)
    done: FrameResult | None = None
    count = 0
    started = time.perf_counter()
    fault: BaseException | None = None
    try:
        with bar, threads, closing(results):
            for result in results:
                threads.put(result)
                bar.update()
                done, count = result, count + 1
    except (KeyboardInterrupt, DamagedVideoError) as error:
        fault = error
    where = ", ".join(str(output.path) for output in outputs if output.path.exists())
    kept = f"frames up to {done.index} are in {where}" if done and where else "nothing was written"
    for each in threads.faults:
        print(f"{PROGRAM}: error: {each}", file=sys.stderr)
    if isinstance(fault, KeyboardInterrupt):
        print(f"{PROGRAM}: interrupted; {kept}", file=sys.stderr)
        return EXIT_INTERRUPTED
    if fault is not None:
        print(f"{PROGRAM}: error: {fault}; {kept}", file=sys.stderr)
        return EXIT_DAMAGED
    if not quiet and done is not None:
        elapsed = time.perf_counter() - started
        stages = {**asdict(seconds), "write": threads.seconds}  # they overlap: more in all than has elapsed
        work = max(sum(stages.values()), 1e-9)
        shares = ", ".join(f"{stage} {100 * spent / work:.0f} %" for stage, spent in stages.items())
        print(
            f"{pluralize(count, 'frame')}, {pluralize(len(done.object_ids), 'object')}, {elapsed:.1f} s, "
            f"{count / elapsed:.2f} frames/s (of the work: {shares}) -> {where}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
