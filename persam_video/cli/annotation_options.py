"""Options of ``persam-track`` for annotations: masks, boxes, points and saved targets."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from persam_video.errors import InputError
from persam_video.files.json_file import shortened
from persam_video.inputs.later_masks import masks_in
from persam_video.inputs.names import parse_names
from persam_video.inputs.prompts import ObjectPrompt

_OPTIONS = ("first_mask", "first_box", "first_point", "first_prompts", "first_coco", "mask_at", "targets")
_SIGNS = ("+", "-")


def add_annotation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for masks, boxes, points, and targets of another video."""
    parser.add_argument(
        "--first-mask",
        metavar="FILE",
        nargs="+",
        action="once",
        help="the first frame's masks: one palette or grey PNG whose pixel values are object ids, several binary PNGs "
        "(ids 1, 2, … in that order), or a folder with one file a frame (DAVIS; its own is read) or one an object",
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
        help="a point on an object in the first frame, or (-) not on it, in pixels; SAM makes the mask",
    )
    parser.add_argument("--first-prompts", metavar="FILE", action="once", help="boxes and points in a JSON file")
    parser.add_argument(
        "--first-coco",
        metavar="FILE",
        action="once",
        help="annotations of the first frame, or of all, in COCO's format",
    )
    parser.add_argument(
        "--coco-image",
        metavar="NAME",
        help="name or id of the first frame's image in --first-coco, where it is not clear which one it is",
    )
    parser.add_argument(
        "--mask-at",
        metavar=("FRAME", "FILE"),
        nargs="+",
        action="append",
        help="number of a later frame, from 0, and the mask of objects that appear there or are corrected; or a folder "
        "of masks, named as those that are written (00012.png)",
    )
    parser.add_argument(
        "--targets", metavar="FILE", action="once", type=Path, help="objects of another video, from --save-targets"
    )
    parser.add_argument(
        "--names",
        metavar="1=NAME,…",
        action="once",
        help="names of objects, as 1=dog,2=ball, or a JSON file of them; default: the categories of --first-coco, and "
        "those saved with --targets",
    )


def check_annotation_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Set VIDEO where it comes last and was parsed as a value of an option; exit if it or the objects are missing."""
    if options.video is None:
        options.video = _pop_video(options)
    if options.video is None or all(getattr(options, name) is None for name in _OPTIONS):
        parser.error("VIDEO and --first-mask FILE are both needed (or --first-box, --first-point, --targets, …)")
    if options.first_mask is not None and options.first_coco is not None:
        parser.error("--first-mask and --first-coco: give one of them")


def _pop_video(options: argparse.Namespace) -> str | None:
    """Last value of an option that has one too many, removed from it; None: no option has."""
    groups: list[tuple[list[str], bool]] = [
        (options.first_mask or [], len(options.first_mask or ()) > 1),
        *((each, len(each) > 3 and each[-1] not in _SIGNS) for each in options.first_point or ()),
        *((each, len(each) > 2 or (len(each) == 2 and not each[0].isdecimal())) for each in options.mask_at or ()),
    ]
    return next((group.pop() for group, has_more in groups if has_more), None)


def annotations_of(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `persam_video.open_run` for the annotations among a command's options.

    Raises:
        InputError: an option has other values than it needs.
    """
    file = [] if options.first_prompts is None else [options.first_prompts]
    return {
        "first_mask": options.first_mask or None,
        "first_prompts": [*map(_box, options.first_box or ()), *map(_point, options.first_point or ()), *file],
        "first_coco": options.first_coco,
        "coco_image": options.coco_image,
        "later_masks": [pair for values in options.mask_at or () for pair in _masks_at(values)],
        "targets": options.targets,
        "names": None if options.names is None else names_of(options.names),
    }


def names_of(text: str) -> dict[int, str] | Path:
    """Names of the value of --names, or the file that holds them."""
    if not text.strip():
        raise InputError("--names is empty; give names as 1=dog,2=ball, or a JSON file of them")
    return Path(text) if "=" not in text or Path(text).is_file() else parse_names(text)


def _box(values: Sequence[str]) -> ObjectPrompt:
    """Prompt of the values of --first-box."""
    try:
        object_id, (x0, y0, x1, y1) = _id(values[0]), map(float, values[1:])
    except ValueError:
        raise InputError(
            f"--first-box {shortened(' '.join(values))}: give an object's id and its box, as 1 100 50 300 200"
        ) from None
    return ObjectPrompt(object_id, box=(x0, y0, x1, y1))


def _id(text: str) -> int:
    """Object id of an option; ValueError if it is no number."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError
    return int(text)


def _point(values: Sequence[str]) -> ObjectPrompt:
    """Prompt of the values of --first-point."""
    try:
        object_id, x, y, *sign = values
        if len(sign) > 1 or not set(sign) <= set(_SIGNS):
            raise ValueError
        point = (float(x), float(y), sign != ["-"])
        return ObjectPrompt(_id(object_id), points=(point,))
    except ValueError:
        raise InputError(
            f"--first-point {shortened(' '.join(values))}: give an object's id and a point on it, as 1 200 120, or not "
            "on it, as 1 90 40 -"
        ) from None


def _masks_at(values: Sequence[str]) -> Sequence[tuple[int | str, Path]]:
    """Frame numbers or names, and mask files, of the values of --mask-at."""
    if len(values) == 1 and values[0] and Path(values[0]).is_dir():
        return masks_in(Path(values[0]))
    if len(values) == 2 and values[1] and re.fullmatch("[0-9]{1,12}", values[0]):
        return [(int(values[0]), Path(values[1]))]
    raise InputError(
        f"--mask-at {' '.join(values)}: give a frame's number and its mask, as 120 ann.png, or a folder of masks named "
        "by frame"
    )
