"""The paper's ablations on data at hand.

    python tools/ablation.py components (--perseg ROOT | --davis ROOT [--sequences NAME ...]) [--json FILE]
    python tools/ablation.py tuning     (--perseg ROOT | --davis ROOT [--sequences NAME ...]) [--steps N] [--json FILE]
    python tools/ablation.py reference  (--perseg ROOT | --davis ROOT [--sequences NAME ...]) [--json FILE]

``components``: Table 4, one part of PerSAM after the other. ``tuning``: Table 5, other ways to tune SAM's decoder to a
reference, with how many numbers they learn. ``reference``: Table 6, a box instead of a mask. On data in PerSeg's layout
the score is the mIoU, on DAVIS' J&F.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import peft_decoders
import quality
import torch
from tqdm import tqdm

from persam_video.cli.common import Parser, add_model_options, positive, run
from persam_video.cli.davis import add_dataset_options, open_chosen
from persam_video.errors import InputError
from persam_video.evaluation.perseg import PersegObject, open_perseg, score
from persam_video.files.atomic import check_writable, write_atomic
from persam_video.files.images import read_image
from persam_video.frame import LabelMap, ids_in
from persam_video.inputs.first_mask import load_first_masks
from persam_video.inputs.prompts import ObjectPrompt
from persam_video.methods.persam.method import PersamMethod
from persam_video.methods.persam.segmentation import PERSAM, PERSAM_F, PERSAM_F_IMAGES, Recipe
from persam_video.prompt_masks import segment_prompts
from persam_video.sam.models import Sam
from persam_video.segmenter import Segmenter
from persam_video.tracker import Tracker

PROGRAM = "ablation.py"
Picture = npt.NDArray[np.uint8]
Pair = tuple[Picture, LabelMap]
Find = Callable[[Recipe, bool], float]
"""The score of a recipe on the data, with a mask as the reference or (True) with its box."""

_FULL = Recipe(negative_prior=True, refinement=True, guided_attention=True, semantic_prompt=True, scale_tuning=True)
LADDER: Mapping[str, Recipe] = {
    "positive prior": Recipe(),
    "+ negative prior": Recipe(negative_prior=True),
    "+ post-refinement": Recipe(negative_prior=True, refinement=True),
    "+ guided attention": Recipe(negative_prior=True, refinement=True, guided_attention=True),
    "+ semantic prompt": PERSAM,
    "+ scale tuning": _FULL,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The program. Returns the exit code: 0, or 2 for input that cannot be used."""
    options = _parser().parse_args(arguments)
    return run(PROGRAM, lambda: _measure(options))


def _parser() -> Parser:
    parser = Parser(prog=PROGRAM, description="The paper's ablations on data at hand.")
    commands = parser.add_subparsers(required=True, metavar="components|tuning|reference")
    for name, command in (("components", _components), ("tuning", _tuning), ("reference", _reference)):
        each = commands.add_parser(name)
        each.set_defaults(command=command)
        each.add_argument("--perseg", metavar="ROOT", type=Path, help="data in PerSeg's layout")
        add_dataset_options(each, required=False)
        if name == "tuning":
            each.add_argument("--steps", metavar="N", type=positive, default=200, help="of tuning; default: 200")
        add_model_options(each)
        quality.add_features_option(each)
        each.add_argument("--json", metavar="FILE", type=Path, help="write all figures")
        each.add_argument("--quiet", action="store_true", help="no bars")
    return parser


def _measure(options: argparse.Namespace) -> int:
    if options.json is not None:
        check_writable(options.json)
    if (options.perseg is None) == (options.davis is None):
        raise InputError("give the data: either --perseg ROOT or --davis ROOT")
    figures = options.command(options, quality.load_with_features(options))
    if options.json is not None:
        write_atomic(options.json, json.dumps(figures, indent=1) + "\n")
    return 0


def _components(options: argparse.Namespace, sam: Sam) -> dict[str, Any]:
    find = _data(options, sam)
    figures = {}
    print(f"{'':<20} {'score':>7} {'gain':>6}")
    before = None
    for name, recipe in LADDER.items():
        figures[name] = now = find(recipe, False)
        gain = "" if before is None else f"{100 * (now - before):+.2f}"
        print(f"{name:<20} {100 * now:>7.2f} {gain:>6}", flush=True)
        before = now
    return figures


def _reference(options: argparse.Namespace, sam: Sam) -> dict[str, Any]:
    find = _data(options, sam)
    figures = {}
    print(f"{'':<10} {'mask':>7} {'box':>7}")
    tuned = PERSAM_F if options.perseg is None else PERSAM_F_IMAGES
    for name, recipe in (("persam", PERSAM), ("persam-f", tuned)):
        row = {"mask": find(recipe, False), "box": find(recipe, True)}
        figures[name] = row
        print(f"{name:<10} {100 * row['mask']:>7.2f} {100 * row['box']:>7.2f}", flush=True)
    return figures


def _tuning(options: argparse.Namespace, sam: Sam) -> dict[str, Any]:
    is_video = options.perseg is None
    data = _videos(options) if is_video else [_read(each) for each in open_perseg(options.perseg)]
    figures: dict[str, Any] = {}
    print(f"{'':<16} {'learned':>8} {'score':>7}")
    for name in ("persam", *peft_decoders.METHODS, "3 mask weights", "persam-f"):
        scores, learned = [], 0
        for pairs in tqdm(data, name, leave=False, disable=options.quiet):
            tuned, recipe = sam, PERSAM
            if name in peft_decoders.METHODS:
                tuned, learned = peft_decoders.tune(sam, name, *pairs[0], recipe=recipe, steps=options.steps)
            elif name == "3 mask weights":
                tuned, learned = peft_decoders.weigh_masks(sam, *pairs[0], recipe=recipe, steps=options.steps)
            elif name == "persam-f":
                recipe, learned = PERSAM_F if is_video else PERSAM_F_IMAGES, 2
            follow = partial(_follow, tuned, pairs, recipe, False)
            scores.append(follow() if is_video else _score(Segmenter(tuned, pairs[:1], method=recipe), pairs[1:]))
        figures[name] = {"learned": learned, "score": statistics.fmean(scores)}
        print(f"{name:<16} {learned:>8} {100 * statistics.fmean(scores):>7.2f}", flush=True)
    return figures


def _data(options: argparse.Namespace, sam: Sam) -> Find:
    if options.perseg is not None:
        objects = [_read(each) for each in open_perseg(options.perseg)]
        return partial(_on_pictures, sam, objects)
    return partial(_on_videos, sam, _videos(options), options.quiet)


def _videos(options: argparse.Namespace) -> list[list[Pair]]:
    return [
        [(read_image(path), sequence.read_annotation(number)) for number, path in enumerate(sequence.pictures)]
        for sequence in open_chosen(options).sequences
    ]


def _read(perseg_object: PersegObject) -> list[Pair]:
    pairs = []
    for picture, annotation in zip(perseg_object.pictures, perseg_object.annotations, strict=True):
        image = read_image(picture)
        pairs.append((image, load_first_masks([annotation], width=image.shape[1], height=image.shape[0])))
    return pairs


def _on_pictures(sam: Sam, objects: Sequence[list[Pair]], recipe: Recipe, boxed: bool) -> float:
    return statistics.fmean(
        _score(Segmenter(sam, [_boxed(sam, pairs[0]) if boxed else pairs[0]], method=recipe), pairs[1:])
        for pairs in objects
    )


def _score(segmenter: Segmenter, pairs: Sequence[Pair]) -> float:
    found = [segmenter.segment(picture).label_map > 0 for picture, _ in pairs]
    return score(found, [truth > 0 for _, truth in pairs]).iou


def _boxed(sam: Sam, pair: Pair) -> Pair:
    """The reference with the mask that SAM makes of the box around the true one."""
    picture, label_map = pair
    prompts = []
    for i in ids_in(label_map):
        rows, columns = np.nonzero(label_map == i)
        box = (float(columns.min()), float(rows.min()), columns.max() + 1.0, rows.max() + 1.0)
        prompts.append(ObjectPrompt(i, box=box))
    return picture, segment_prompts(sam, picture, prompts)


def _on_videos(sam: Sam, sequences: Sequence[list[Pair]], quiet: bool, recipe: Recipe, boxed: bool) -> float:
    return statistics.fmean(
        _follow(sam, frames, recipe, boxed) for frames in tqdm(sequences, leave=False, disable=quiet)
    )


def _follow(sam: Sam, frames: Sequence[Pair], recipe: Recipe, boxed: bool) -> float:
    """J&F of a sequence."""
    first, label_map = _boxed(sam, frames[0]) if boxed else frames[0]
    tracker = Tracker(sam, first, label_map, method=partial(PersamMethod, recipe=recipe))
    found = [label_map, *(tracker.step(picture).label_map for picture, _ in frames[1:])]
    return statistics.fmean(quality.score(found, [truth for _, truth in frames]))


if __name__ == "__main__":
    torch.manual_seed(0)
    sys.exit(main())
