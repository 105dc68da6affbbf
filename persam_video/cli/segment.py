"""``persam-segment``: find the objects of reference images in others; score a dataset in PerSeg's layout."""

from __future__ import annotations

import argparse
import io
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from persam_video import __version__
from persam_video.cli.common import (
    EXIT_DAMAGED,
    EXIT_INTERRUPTED,
    Parser,
    add_max_pixels_option,
    add_model_options,
    load_model,
    path_name,
    run,
    weights_input,
)
from persam_video.cli.signals import raise_if_interrupted
from persam_video.cli.terminal import complain, say
from persam_video.errors import InputError
from persam_video.files.overlaps import InputPath, OutputPath, refuse_overlaps
from persam_video.messages import pluralize
from persam_video.options import DEFAULT_IMAGE_METHOD, IMAGE_METHODS

if TYPE_CHECKING:
    from persam_video.evaluation.perseg import PersegObject, Score
    from persam_video.frame import Image, LabelMap
    from persam_video.outputs.mask_writer import MaskWriter
    from persam_video.sam.models import Sam
    from persam_video.segmenter import Segmenter

logger = logging.getLogger("persam_video.cli.segment")  # also where it runs as a script

PROGRAM = "persam-segment"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 0; 1 if an image is damaged; 2 for invalid input; 130 after Ctrl-C."""
    return run(PROGRAM, lambda: _main(list(sys.argv[1:] if arguments is None else arguments)))


def _main(arguments: list[str]) -> int:
    if any(word.partition("=")[0] == "--dreambooth" for word in arguments):
        return _dreambooth(_dreambooth_parser().parse_args(arguments))
    if arguments[:1] == ["eval"]:
        return _evaluate(_eval_parser().parse_args(arguments[1:]))
    return _segment(_parser().parse_args(arguments))


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} --reference IMAGE --mask FILE IMAGE [IMAGE ...] --out DIR [options]\n"
        f"       {PROGRAM} eval --root DIR [options]\n"
        f"       {PROGRAM} --dreambooth DIR --mask FILE --out DIR [options]",
        description="Find the objects of reference images in other images.",
        epilog=f"See {PROGRAM} eval --help for scores of a dataset in PerSeg's layout, {PROGRAM} --dreambooth --help "
        "for masks of DreamBooth's training images.",
    )
    parser.add_argument("images", metavar="IMAGE", nargs="+", type=path_name, help="image file, or folder of them")
    parser.add_argument(
        "--reference",
        metavar="IMAGE",
        action="append",
        type=path_name,
        required=True,
        help="reference image; may be given several times, for several images of the same objects",
    )
    parser.add_argument(
        "--mask",
        metavar="FILE",
        action="append",
        type=path_name,
        required=True,
        help="mask of each reference: a palette or grey PNG whose pixel values are object ids, or 0 and 255",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        action="once",
        type=path_name,
        required=True,
        help="write DIR/masks/<name>.png and DIR/overlays/<name>.jpg",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    _add_options(parser)
    return parser


def _eval_parser() -> Parser:
    parser = Parser(
        prog=f"{PROGRAM} eval",
        description="Score a dataset in PerSeg's layout: Images/<object>/NN.jpg, Annotations/<object>/NN.png; "
        "an object's first pair is the reference.",
    )
    parser.add_argument("--root", metavar="DIR", action="once", type=path_name, required=True, help="the dataset")
    parser.add_argument("--json", metavar="FILE", action="once", type=path_name, help="write all scores")
    parser.add_argument("--overwrite", action="store_true", help="replace a file of --json that exists")
    _add_options(parser)
    return parser


def _dreambooth_parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} --dreambooth DIR --mask FILE [--reference IMAGE] --out DIR [options]",
        description="Write the mask of a subject, 255 on the subject, for each image of a folder.",
    )
    parser.add_argument(
        "--dreambooth", metavar="DIR", type=path_name, required=True, help="folder of the subject's images"
    )
    parser.add_argument(
        "--mask", metavar="FILE", action="once", type=path_name, required=True, help="mask of the reference image"
    )
    parser.add_argument(
        "--reference", metavar="IMAGE", action="once", type=path_name, help="default: the first image of the folder"
    )
    parser.add_argument(
        "--out", metavar="DIR", action="once", type=path_name, required=True, help="write DIR/<name>.png"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace masks that exist")
    _add_options(parser)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_model_options(parser, IMAGE_METHODS, DEFAULT_IMAGE_METHOD)
    add_max_pixels_option(parser)
    parser.add_argument("--quiet", action="store_true", help="print warnings and errors only")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")


def _segment(options: argparse.Namespace) -> int:
    # Imports are late: torch takes seconds, and invalid images or masks are reported before that.
    import PIL.Image

    from persam_video.drawing import draw_overlay
    from persam_video.files.atomic import check_writable, write_atomic
    from persam_video.outputs.mask_writer import MaskWriter

    if len(options.reference) != len(options.mask):
        raise InputError(
            f"{pluralize(len(options.reference), 'reference')} and {pluralize(len(options.mask), 'mask')} were given; "
            "give one mask for each reference"
        )
    paths = _image_paths(options.images, options.max_pixels)
    references = [_read_pair(*pair, options.max_pixels) for pair in zip(options.reference, options.mask, strict=True)]
    overlays = options.out / "overlays"
    _refuse_overlaps(options, [*paths, *options.reference, *options.mask], [overlays, options.out / "masks"])
    for path in paths:
        check_writable(overlays / f"{path.stem}.jpg", overwrite=options.overwrite)
    masks = MaskWriter(options.out / "masks", overwrite=options.overwrite)
    found = 0

    def segment(segmenter: Segmenter, path: Path, image: Image) -> None:
        nonlocal found
        result = segmenter.segment(image)
        overlay = draw_overlay(image, result.label_map, object_ids=result.object_ids)
        jpeg = io.BytesIO()
        PIL.Image.fromarray(overlay).save(jpeg, "JPEG", quality=90)
        masks.write(path.stem, result.label_map)
        write_atomic(overlays / f"{path.stem}.jpg", jpeg.getvalue())
        found += any(result.visible.values())

    code = _for_each(paths, references, segment, options, masks)
    if not options.quiet and code != EXIT_INTERRUPTED:
        say(f"{pluralize(masks.count, 'image')}, objects found in {found} -> {masks.folder}, {overlays}")
    return code


def _dreambooth(options: argparse.Namespace) -> int:
    import numpy as np

    from persam_video.outputs.mask_writer import MaskWriter

    paths = _image_paths([options.dreambooth], options.max_pixels)
    reference = options.reference or paths[0]
    reference_image, label_map = _read_pair(reference, options.mask, options.max_pixels)
    foreground = np.where((label_map > 0) & (label_map < 255), 1, label_map).astype(np.uint8)
    _refuse_overlaps(options, [*paths, reference, options.mask], [options.out])
    masks = MaskWriter(options.out, overwrite=options.overwrite)

    def segment(segmenter: Segmenter, path: Path, image: Image) -> None:
        is_reference = path.resolve() == reference.resolve()
        mask = foreground if is_reference else segmenter.segment(image).label_map
        masks.write(path.stem, np.where(mask == 1, 255, 0).astype(np.uint8))

    code = _for_each(paths, [(reference_image, foreground)], segment, options, masks)
    if not options.quiet and code != EXIT_INTERRUPTED:
        say(f"masks of {pluralize(masks.count, 'image')} -> {options.out}")
    return code


def _for_each(
    paths: Sequence[Path],
    references: Sequence[tuple[Image, LabelMap]],
    segment: Callable[[Segmenter, Path, Image], None],
    options: argparse.Namespace,
    masks: MaskWriter,
) -> int:
    """Personalise the objects of the references, then segment image after image; damaged ones are skipped.

    Returns:
        exit code: 0, 1 if an image was skipped, 130 after Ctrl-C; the outputs so far are kept.
    """
    skipped = 0
    try:
        from persam_video.files.images import read_image
        from persam_video.segmenter import Segmenter

        segmenter = Segmenter(load_model(options), references, method=options.method)
        for path in tqdm(paths, "images", unit="image", disable=options.quiet):
            try:
                image = read_image(path, max_pixels=options.max_pixels)
            except InputError as error:
                logger.warning("%s; skipped", error)
                skipped += 1
                continue
            segment(segmenter, path, image)
            raise_if_interrupted()
    except KeyboardInterrupt:
        written = f"the results of {pluralize(masks.count, 'image')} are in {options.out}"
        complain(f"{PROGRAM}: interrupted; {written if masks.count else 'nothing was written'}")
        return EXIT_INTERRUPTED
    finally:
        masks.close()
    return EXIT_DAMAGED if skipped else 0


def _refuse_overlaps(options: argparse.Namespace, images: Sequence[Path], folders: Sequence[Path]) -> None:
    """Raise `OutputError` where outputs could replace an input."""
    inputs = [*(InputPath(path, is_mask=True) for path in images), *weights_input(options)]
    refuse_overlaps(inputs, [OutputPath(path, is_folder=True) for path in folders])


def _evaluate(options: argparse.Namespace) -> int:
    from persam_video.evaluation.perseg import open_perseg, table
    from persam_video.files.atomic import check_writable, write_atomic

    objects = open_perseg(options.root)
    if options.json is not None:
        files = [path for each in objects for path in (*each.images, *each.annotations)]
        refuse_overlaps([*map(InputPath, files), *weights_input(options)], [OutputPath(options.json)])
        check_writable(options.json, overwrite=options.overwrite)
    sam = load_model(options)
    scores = {
        each.name: _score(sam, each, options.method, options.max_pixels)
        for each in tqdm(objects, "objects", unit="object", disable=options.quiet)
    }
    learned = 2 if options.method == "persam-f" else 0
    for line in table(scores, options.method, learned).splitlines():
        say(line)
    if options.json is not None:
        record: dict[str, Any] = {
            "method": options.method,
            "model": options.model,
            "learned": learned,
            "objects": {name: asdict(each) for name, each in scores.items()},
        }
        write_atomic(options.json, json.dumps(record, indent=1) + "\n")
    return 0


def _score(sam: Sam, perseg_object: PersegObject, method: str, max_pixels: int | None) -> Score:
    from persam_video.evaluation.perseg import score
    from persam_video.segmenter import Segmenter

    pairs = [
        _read_pair(*pair, max_pixels) for pair in zip(perseg_object.images, perseg_object.annotations, strict=True)
    ]
    segmenter = Segmenter(sam, pairs[:1], method=method)
    masks = [segmenter.segment(image).label_map > 0 for image, _ in pairs[1:]]
    return score(masks, [truth > 0 for _, truth in pairs[1:]])


def _image_paths(files_and_folders: Sequence[Path], max_pixels: int | None) -> list[Path]:
    """All image files of files and folders.

    Raises:
        InputError: a path is not an image file, a folder holds none, or two would have masks of the same name.
    """
    from persam_video.files.images import check_image, images_in

    paths: list[Path] = []
    for path in files_and_folders:
        if path.is_dir():
            inside = images_in(path)
            if not inside:
                raise InputError(f"{path}: holds no image; give images, or folders of them")
            paths += inside
        else:
            paths.append(path)
    of_stem: dict[str, Path] = {}
    for path in paths:
        check_image(path, max_pixels=max_pixels)
        if (other := of_stem.setdefault(path.stem, path)) is not path:
            raise InputError(f"{other} and {path} would have masks of the same name; rename one")
    return paths


def _read_pair(image_file: Path, mask_file: Path, max_pixels: int | None) -> tuple[Image, LabelMap]:
    """An image and its label map."""
    from persam_video.files.images import read_image
    from persam_video.inputs.first_mask import load_first_masks

    image = read_image(image_file, max_pixels=max_pixels)
    return image, load_first_masks([mask_file], width=image.shape[1], height=image.shape[0])


if __name__ == "__main__":
    sys.exit(main())
