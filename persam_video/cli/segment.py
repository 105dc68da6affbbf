"""``persam-segment``: find in any pictures what is given in one; score a dataset in PerSeg's layout."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from persam_video import __version__
from persam_video.cli.common import EXIT_DAMAGED, EXIT_INTERRUPTED, Parser, add_model_options, load_model, run
from persam_video.errors import InputError, OutputError
from persam_video.messages import one_line, pluralize
from persam_video.options import DEFAULT_IMAGE_METHOD, IMAGE_METHODS

if TYPE_CHECKING:
    from persam_video.evaluation.perseg import PersegObject, Score
    from persam_video.frame import Image, LabelMap
    from persam_video.outputs.mask_writer import MaskWriter
    from persam_video.sam.models import Sam
    from persam_video.segmenter import Segmenter

PROGRAM = "persam-segment"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 0, 1 if a picture is torn, 2 for input that cannot be used, 130 after
    Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(word.partition("=")[0] == "--dreambooth" for word in given):
        options = _dreambooth_parser().parse_args(given)
        return run(PROGRAM, lambda: _dreambooth(options))
    if given[:1] == ["eval"]:
        options = _eval_parser().parse_args(given[1:])
        return run(PROGRAM, lambda: _evaluate(options))
    options = _parser().parse_args(given)
    return run(PROGRAM, lambda: _segment(options))


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} --reference PICTURE --mask FILE PICTURE [PICTURE ...] --out DIR [options]\n"
        f"       {PROGRAM} eval --root DIR [options]\n"
        f"       {PROGRAM} --dreambooth DIR --mask FILE --out DIR [options]",
        description="Find in any pictures what is given in one by its mask.",
        epilog=f"{PROGRAM} eval --help tells how to score a dataset in PerSeg's layout, {PROGRAM} --dreambooth --help "
        "how to get the foregrounds of a subject's photos.",
    )
    parser.add_argument("pictures", metavar="PICTURE", nargs="+", type=Path, help="a picture, or a folder of them")
    parser.add_argument(
        "--reference",
        metavar="PICTURE",
        action="append",
        type=Path,
        required=True,
        help="shows what is meant; may be given several times, for several pictures of the same objects",
    )
    parser.add_argument(
        "--mask",
        metavar="FILE",
        action="append",
        type=Path,
        required=True,
        help="of the reference, one for each: a palette or grey PNG whose pixel values are object ids, or 0 and 255",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="DIR/masks/<name>.png and DIR/overlays/<name>.jpg"
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
    parser.add_argument("--root", metavar="DIR", type=Path, required=True, help="the dataset")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all scores")
    _add_options(parser)
    return parser


def _dreambooth_parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} --dreambooth DIR --mask FILE [--reference PICTURE] --out DIR [options]",
        description="From a folder of a subject's photos and the mask of one, the masks of all: 255 on the subject.",
    )
    parser.add_argument("--dreambooth", metavar="DIR", type=Path, required=True, help="the photos")
    parser.add_argument("--mask", metavar="FILE", type=Path, required=True, help="the mask of one photo")
    parser.add_argument("--reference", metavar="PICTURE", type=Path, help="which one; default: the first of the folder")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="DIR/<photo>.png")
    parser.add_argument("--overwrite", action="store_true", help="replace masks that exist")
    _add_options(parser)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_model_options(parser, IMAGE_METHODS, DEFAULT_IMAGE_METHOD)
    parser.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")


def _segment(options: argparse.Namespace) -> int:
    # Imported late: torch takes seconds, and what is wrong with the pictures or the masks can be said before that.
    import PIL.Image

    from persam_video.files.atomic import write_atomic
    from persam_video.frame import Frame
    from persam_video.outputs.mask_writer import MaskWriter
    from persam_video.outputs.overlay import draw_overlay

    if len(options.reference) != len(options.mask):
        raise InputError(
            f"{pluralize(len(options.reference), 'reference')} and {pluralize(len(options.mask), 'mask')} were given; "
            "give one mask for each reference"
        )
    paths = _pictures(options.pictures)
    references = [_reference(*pair) for pair in zip(options.reference, options.mask, strict=True)]
    overlays = options.out / "overlays"
    inputs = [*paths, *options.reference, *options.mask]
    _check_overlays(overlays, [path.stem for path in paths], overwrite=options.overwrite)
    for folder in (overlays, options.out / "masks"):
        _refuse_inputs(folder, inputs)
    masks = MaskWriter(options.out / "masks", overwrite=options.overwrite)
    seen = 0

    def segment(segmenter: Segmenter, path: Path, image: Image) -> None:
        nonlocal seen
        result = segmenter.segment(Frame(index=0, image=image, name=path.stem))
        drawn = io.BytesIO()
        overlay = draw_overlay(image, result.label_map, object_ids=result.object_ids)
        PIL.Image.fromarray(overlay).save(drawn, "JPEG", quality=90)
        masks.write(path.stem, result.label_map)
        write_atomic(overlays / f"{path.stem}.jpg", drawn.getvalue())
        seen += any(result.visible.values())

    code = _for_each(paths, references, segment, options, masks)
    if not options.quiet and code != EXIT_INTERRUPTED:
        print(f"{pluralize(masks.count, 'picture')}, something found in {seen} -> {masks.folder}, {overlays}")
    return code


def _dreambooth(options: argparse.Namespace) -> int:
    import numpy as np

    from persam_video.outputs.mask_writer import MaskWriter

    paths = _pictures([options.dreambooth])
    reference = options.reference or paths[0]
    picture, label_map = _reference(reference, options.mask)
    foreground = np.where((label_map > 0) & (label_map < 255), 1, label_map).astype(np.uint8)
    _refuse_inputs(options.out, [*paths, reference, options.mask])
    masks = MaskWriter(options.out, overwrite=options.overwrite)

    def segment(segmenter: Segmenter, path: Path, image: Image) -> None:
        is_given = path.resolve() == reference.resolve()
        mask = foreground if is_given else segmenter.segment(image).label_map
        masks.write(path.stem, np.where(mask == 1, 255, 0).astype(np.uint8))

    code = _for_each(paths, [(picture, foreground)], segment, options, masks)
    if not options.quiet and code != EXIT_INTERRUPTED:
        print(f"masks of {pluralize(masks.count, 'photo')} -> {options.out}")
    return code


def _for_each(
    paths: Sequence[Path],
    references: Sequence[tuple[Image, LabelMap]],
    work: Callable[[Segmenter, Path, Image], None],
    options: argparse.Namespace,
    masks: MaskWriter,
) -> int:
    """Personalise, then work on one picture after another. Those that turn out to be torn are left out, with a warning.

    Returns:
        the exit code: 0, 1 if a picture was left out, 130 after Ctrl-C; what was done until then stays.
    """
    torn = 0
    try:
        sam = load_model(options)
        from persam_video.segmenter import Segmenter

        segmenter = Segmenter(sam, references, method=options.method)
        for path in tqdm(paths, "pictures", unit="picture", disable=options.quiet):
            try:
                image = _read(path)
            except InputError as error:
                tqdm.write(f"{PROGRAM}: warning: {error}; it is left out", file=sys.stderr)
                torn += 1
                continue
            work(segmenter, path, image)
    except KeyboardInterrupt:
        done = f"what was found in {pluralize(masks.count, 'picture')} is in {options.out}"
        print(f"{PROGRAM}: interrupted; {done if masks.count else 'nothing was written'}", file=sys.stderr)
        return EXIT_INTERRUPTED
    finally:
        masks.close()
    return EXIT_DAMAGED if torn else 0


def _refuse_inputs(folder: Path, inputs: Sequence[Path]) -> None:
    """Nothing is written where an input lies."""
    for path in inputs:
        if path.resolve().parent == folder.resolve():
            raise OutputError(f"{folder}: holds {path}, an input; name another place for the output")


def _evaluate(options: argparse.Namespace) -> int:
    from persam_video.evaluation.perseg import open_perseg, table
    from persam_video.files.atomic import check_writable, write_atomic

    if options.json is not None:
        check_writable(options.json)
    objects = open_perseg(options.root)
    sam = load_model(options)
    scores = {
        each.name: _score(sam, each, options.method)
        for each in tqdm(objects, "objects", unit="object", disable=options.quiet)
    }
    learned = 2 if options.method == "persam-f" else 0
    print(table(scores, options.method, learned))
    if options.json is not None:
        figures: dict[str, Any] = {
            "method": options.method,
            "model": options.model,
            "learned": learned,
            "objects": {name: asdict(each) for name, each in scores.items()},
        }
        write_atomic(options.json, json.dumps(figures, indent=1) + "\n")
    return 0


def _score(sam: Sam, perseg_object: PersegObject, method: str) -> Score:
    from persam_video.evaluation.perseg import score
    from persam_video.segmenter import Segmenter

    pairs = [_reference(*pair) for pair in zip(perseg_object.pictures, perseg_object.annotations, strict=True)]
    segmenter = Segmenter(sam, pairs[:1], method=method)
    found = [segmenter.segment(picture).label_map > 0 for picture, _ in pairs[1:]]
    return score(found, [truth > 0 for _, truth in pairs[1:]])


def _pictures(given: Sequence[Path]) -> list[Path]:
    """All pictures of files and folders, whose names must differ, as their masks' do."""
    from persam_video.files.images import image_files

    paths: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = image_files(path.iterdir())
            if not inside:
                raise InputError(f"{path}: holds no picture; give pictures, or folders of them")
            paths += inside
        else:
            paths.append(path)
    of_stem: dict[str, Path] = {}
    for path in paths:
        _check_picture(path)
        if (other := of_stem.setdefault(path.stem, path)) is not path:
            raise InputError(f"{other} and {path} would have masks of the same name; rename one")
    return paths


def _check_picture(path: Path) -> None:
    """Tell what is no picture before anything is done; that one is torn shows only when it is read."""
    import PIL.Image

    if not path.is_file():
        raise InputError(f"{path}: no such file; give a picture, or a folder of them")
    try:
        with PIL.Image.open(path):
            pass
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(
            f"{path}: cannot be read as a picture ({one_line(error)}); give a JPEG, PNG or the like"
        ) from None


def _read(path: Path) -> Image:
    from persam_video.files.images import read_image

    try:
        return read_image(path)
    except Exception as error:  # damaged pictures make their decoders raise all sorts of things
        raise InputError(f"{path}: cannot be read ({one_line(error)}); give a whole picture") from error


def _reference(picture: Path, mask: Path) -> tuple[Image, LabelMap]:
    from persam_video.inputs.first_mask import load_first_masks

    _check_picture(picture)
    image = _read(picture)
    return image, load_first_masks([mask], width=image.shape[1], height=image.shape[0])


def _check_overlays(folder: Path, names: Sequence[str], *, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; overlays are written to a folder")
    there = next((name for name in names if (folder / f"{name}.jpg").exists()), None)
    if there is not None and not overwrite:
        raise OutputError(f"{folder / there}.jpg exists already; give --overwrite to replace it")


if __name__ == "__main__":
    sys.exit(main())
