"""Options for the formats of outputs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection
from dataclasses import fields

from persam_video.cli.common import positive
from persam_video.errors import InputError
from persam_video.messages import parameter
from persam_video.outputs.background import BACKGROUNDS, HIDINGS
from persam_video.outputs.crops import CROP_SIZE
from persam_video.outputs.formats import FORMATS, Format, FormatOptions, formats_of

_MAX_CROP = 8192


def add_format_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen of some formats."""
    parser.add_argument(
        "--objects",
        metavar="ID[,ID …]",
        type=_ids,
        help="objects in cutout, background, hide and crops; default: all (crop-video: the first)",
    )
    parser.add_argument(
        "--background",
        metavar=f"{'|'.join(BACKGROUNDS)}|#RRGGBB|FILE",
        help="what background has behind the objects: the original blurred (default) or grey, a colour, or a picture "
        "or video",
    )
    parser.add_argument(
        "--hide", metavar=f"{'|'.join(HIDINGS)}|#RRGGBB", help=f"how hide hides the objects; default: {HIDINGS[0]}"
    )
    parser.add_argument(
        "--crop-size", metavar="PIXELS", type=_crop_size, help=f"width and height of crops; default: {CROP_SIZE}"
    )
    parser.add_argument(
        "--no-crop-background",
        dest="crop_background",
        action="store_const",
        const=False,
        help="crops without their background",
    )


def chosen_formats(options: argparse.Namespace, names: str | None) -> tuple[list[Format], FormatOptions]:
    """Formats of some names, and what is chosen of them among a command's options.

    Args:
        names: with commas between them; None: there are none.
    Raises:
        InputError: there is no such format, or an option is given that none of them uses.
    """
    formats = [] if names is None else formats_of(names)
    given = {
        each.name: value for each in fields(FormatOptions) if (value := getattr(options, each.name, None)) is not None
    }
    _refuse_unused(given, formats)
    return formats, FormatOptions(**given)


def _refuse_unused(given: Collection[str], formats: Collection[Format]) -> None:
    for option in given:
        if not any(option in each.options for each in formats):
            name = "no_crop_background" if option == "crop_background" else option
            users = ", ".join(name for name, each in FORMATS.items() if option in each.options)
            raise InputError(f"{parameter(name)} is for the formats {users}; name one, too")


def _ids(text: str) -> tuple[int, ...]:
    if not re.fullmatch("[0-9]{1,3}(,[0-9]{1,3})*", text):
        raise argparse.ArgumentTypeError(f"{text!r} are no object ids; give them as 1,3")
    return tuple(map(int, text.split(",")))


def _crop_size(text: str) -> int:
    size = positive(text)
    if not 16 <= size <= _MAX_CROP or size % 2:
        raise argparse.ArgumentTypeError(f"{size} is not an even number from 16 to {_MAX_CROP}")
    return size
