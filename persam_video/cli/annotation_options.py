"""The options of ``persam-track`` that say which objects there are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from persam_video.errors import InputError
from persam_video.inputs.annotations import FirstMask, Given, gather
from persam_video.inputs.coco import read_coco
from persam_video.inputs.later_masks import masks_in
from persam_video.inputs.prompts import ObjectPrompt, read_prompts
from persam_video.video.reader import VideoReader

_OPTIONS = ("first_mask", "first_box", "first_point", "first_prompts", "first_coco", "mask_at", "targets")
_SIGNS = ("+", "-")


def add_given_options(parser: argparse.ArgumentParser) -> None:
    """Masks, boxes, points, or targets of another video."""
    parser.add_argument(
        "--first-mask",
        metavar="FILE",
        nargs="+",
        help="the first frame's masks: one palette or grey PNG whose pixel values are object ids, several binary PNGs "
        "(ids 1, 2, … in that order), or a folder with a DAVIS annotation",
    )
    parser.add_argument(
        "--first-box",
        metavar=("ID", "X0", "Y0", "X1", "Y1"),
        nargs=5,
        action="append",
        help="a box around an object in the first frame, in pixels; SAM makes the mask",
    )
    parser.add_argument(
        "--first-point",
        metavar=("ID X Y", "+|-"),
        nargs="+",
        action="append",
        help="a point on an object in the first frame, or (-) beside it, in pixels; SAM makes the mask",
    )
    parser.add_argument("--first-prompts", metavar="FILE", type=Path, help="boxes and points in a JSON file")
    parser.add_argument(
        "--first-coco", metavar="FILE", type=Path, help="annotations of the first frame in COCO's format"
    )
    parser.add_argument(
        "--mask-at",
        metavar=("FRAME", "FILE"),
        nargs="+",
        action="append",
        help="masks of a later frame, by its number: of objects that appear there, or that are to be corrected; or a "
        "folder of them, named by frame (00012.png)",
    )
    parser.add_argument("--targets", metavar="FILE", type=Path, help="objects of another video (--save-targets)")


def check_given_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Find VIDEO where it was given last and reads as one more word of an option; refuse what lacks objects."""
    if options.video is None:
        options.video = _last_word(options)
    if options.video is None or not any(getattr(options, name) for name in _OPTIONS):
        parser.error("VIDEO and --first-mask FILE are both needed (or --first-box, --first-point, --targets, …)")
    if options.first_mask and options.first_coco:
        parser.error("--first-mask and --first-coco: give one of them")


def _last_word(options: argparse.Namespace) -> str | None:
    groups: list[tuple[list[str], bool]] = [
        (options.first_mask or [], len(options.first_mask or ()) > 1),
        *((each, len(each) > 3 and each[-1] not in _SIGNS) for each in options.first_point or ()),
        *((each, len(each) > 2 or (len(each) == 2 and not each[0].isdecimal())) for each in options.mask_at or ()),
    ]
    return next((group.pop() for group, has_more in groups if has_more), None)


def gather_options(options: argparse.Namespace, reader: VideoReader) -> Given:
    """All that the options give, read and checked.

    Raises:
        InputError: one of them cannot be used.
    """
    first_mask: FirstMask | None = options.first_mask or None
    prompts = [*map(_box, options.first_box or ()), *map(_point, options.first_point or ())]
    if options.first_prompts is not None:
        prompts += read_prompts(options.first_prompts)
    if options.first_coco is not None:
        size = {"width": reader.info.width, "height": reader.info.height}
        label_map, boxes = read_coco(options.first_coco, reader.first.name, **size)
        first_mask = label_map if label_map.any() else None
        prompts += boxes
    return gather(
        reader,
        first_mask=first_mask,
        first_prompts=prompts,
        later_masks=[pair for words in options.mask_at or () for pair in _masks_at(words)],
        allow_empty=options.targets is not None,
    )


def _box(words: Sequence[str]) -> ObjectPrompt:
    try:
        object_id, (x0, y0, x1, y1) = int(words[0]), map(float, words[1:])
    except ValueError:
        raise InputError(
            f"--first-box {' '.join(words)}: give an object's id and its box, as 1 100 50 300 200"
        ) from None
    return ObjectPrompt(object_id, box=(x0, y0, x1, y1))


def _point(words: Sequence[str]) -> ObjectPrompt:
    try:
        object_id, x, y, *sign = words
        if len(sign) > 1 or not set(sign) <= set(_SIGNS):
            raise ValueError
        point = (float(x), float(y), sign != ["-"])
        return ObjectPrompt(int(object_id), points=(point,))
    except ValueError:
        raise InputError(
            f"--first-point {' '.join(words)}: give an object's id and a place on it, as 1 200 120, or beside it, as "
            "1 90 40 -"
        ) from None


def _masks_at(words: Sequence[str]) -> list[tuple[int, Path]]:
    if len(words) == 1 and Path(words[0]).is_dir():
        return masks_in(Path(words[0]))
    if len(words) == 2 and words[0].isdecimal():
        return [(int(words[0]), Path(words[1]))]
    raise InputError(
        f"--mask-at {' '.join(words)}: give a frame's number and its mask, as 120 ann.png, or a folder of masks named "
        "by frame"
    )
