"""The paper's ablations on local data.

    python tools/ablation.py components (--perseg ROOT | --davis ROOT [--sequences NAME ...]) [--json FILE]
    python tools/ablation.py tuning     (--perseg ROOT | --davis ROOT [--sequences NAME ...]) [--steps N] [--json FILE]
    python tools/ablation.py reference  (--perseg ROOT | --davis ROOT [--sequences NAME ...]) [--json FILE]

``components``: Table 4, PerSAM's components added one after another. ``tuning``: Table 5, other ways to fine-tune SAM's
decoder on the reference, with their numbers of learned parameters. ``reference``: Table 6, a box as the reference
instead of a mask. The score is mIoU on data in PerSeg's layout, J&F on DAVIS.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import peft_decoders
import quality
import torch
from tqdm.auto import tqdm

from persam_video.cli.common import Parser, add_model_options, positive, run
from persam_video.cli.davis import add_dataset_options, dataset_of
from persam_video.errors import InputError
from persam_video.evaluation.perseg import PersegObject, open_perseg, score
from persam_video.files.atomic import check_writable, write_atomic
from persam_video.files.images import read_image
from persam_video.frame import Image, LabelMap, ids_in
from persam_video.inputs.first_mask import load_first_masks
from persam_video.inputs.prompts import ObjectPrompt
from persam_video.methods.persam.method import PersamMethod
from persam_video.methods.persam.segmentation import PERSAM, PERSAM_F, PERSAM_F_IMAGES, PersamConfig
from persam_video.prompt_masks import segment_prompts
from persam_video.sam.models import Sam
from persam_video.segmenter import Segmenter
from persam_video.tracking.tracker import Tracker

PROGRAM = "ablation.py"
Pair = tuple[Image, LabelMap]
"""An image and its true label map."""
Evaluate = Callable[[PersamConfig, bool], float]
"""Score of a configuration on the data, 0 to 1, with masks as the reference or (True) with their boxes."""

LADDER: Mapping[str, PersamConfig] = {
    "positive prior": PersamConfig(),
    "+ negative prior": PersamConfig(negative_prior=True),
    "+ post-refinement": PersamConfig(negative_prior=True, refinement=True),
    "+ guided attention": PersamConfig(negative_prior=True, refinement=True, guided_attention=True),
    "+ semantic prompt": PERSAM,
    "+ scale tuning": replace(PERSAM, scale_tuning=True),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The program. Returns the exit code: 0, or 2 for invalid input."""
    options = _parser().parse_args(arguments)
    return run(PROGRAM, lambda: _measure(options))


def _parser() -> Parser:
    parser = Parser(prog=PROGRAM, description="The paper's ablations on local data.")
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
        each.add_argument("--json", metavar="FILE", type=Path, help="write all scores")
        each.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser


def _measure(options: argparse.Namespace) -> int:
    if options.json is not None:
        check_writable(options.json)
    if (options.perseg is None) == (options.davis is None):
        raise InputError("give the data: either --perseg ROOT or --davis ROOT")
    results = options.command(options, quality.load_with_features(options))
    if options.json is not None:
        write_atomic(options.json, json.dumps(results, indent=1) + "\n")
    return 0


def _components(options: argparse.Namespace, sam: Sam) -> dict[str, Any]:
    evaluate = _evaluator(options, sam)
    results = {}
    print(f"{'':<20} {'score':>7} {'gain':>6}")
    before = None
    for name, config in LADDER.items():
        results[name] = now = evaluate(config, False)
        gain = "" if before is None else f"{100 * (now - before):+.2f}"
        print(f"{name:<20} {100 * now:>7.2f} {gain:>6}", flush=True)
        before = now
    return results


def _reference(options: argparse.Namespace, sam: Sam) -> dict[str, Any]:
    evaluate = _evaluator(options, sam)
    results = {}
    print(f"{'':<10} {'mask':>7} {'box':>7}")
    tuned = PERSAM_F if options.perseg is None else PERSAM_F_IMAGES
    for name, config in (("persam", PERSAM), ("persam-f", tuned)):
        row = {"mask": evaluate(config, False), "box": evaluate(config, True)}
        results[name] = row
        print(f"{name:<10} {100 * row['mask']:>7.2f} {100 * row['box']:>7.2f}", flush=True)
    return results


def _tuning(options: argparse.Namespace, sam: Sam) -> dict[str, Any]:
    is_video = options.perseg is None
    data = _videos(options) if is_video else [_read_pairs(each) for each in open_perseg(options.perseg)]
    results: dict[str, Any] = {}
    print(f"{'':<16} {'learned':>8} {'score':>7}")
    for name in ("persam", *peft_decoders.METHODS, "3 mask weights", "persam-f"):
        scores, learned = [], 0
        for pairs in tqdm(data, name, leave=False, disable=options.quiet):
            tuned, config = sam, PERSAM
            if name in peft_decoders.METHODS:
                tuned, learned = peft_decoders.tune(sam, name, *pairs[0], config=config, steps=options.steps)
            elif name == "3 mask weights":
                tuned, learned = peft_decoders.tune_mask_weights(sam, *pairs[0], config=config, steps=options.steps)
            elif name == "persam-f":
                config, learned = PERSAM_F if is_video else PERSAM_F_IMAGES, 2
            if is_video:
                scores.append(_track(tuned, pairs, config, False))
            else:
                scores.append(_score(Segmenter(tuned, pairs[:1], method=config), pairs[1:]))
        results[name] = {"learned": learned, "score": statistics.fmean(scores)}
        print(f"{name:<16} {learned:>8} {100 * statistics.fmean(scores):>7.2f}", flush=True)
    return results


def _evaluator(options: argparse.Namespace, sam: Sam) -> Evaluate:
    if options.perseg is not None:
        objects = [_read_pairs(each) for each in open_perseg(options.perseg)]
        return partial(_on_images, sam, objects)
    return partial(_on_videos, sam, _videos(options), options.quiet)


def _videos(options: argparse.Namespace) -> list[list[Pair]]:
    return [
        [(read_image(path), sequence.read_annotation(number)) for number, path in enumerate(sequence.images)]
        for sequence in dataset_of(options).sequences
    ]


def _read_pairs(perseg_object: PersegObject) -> list[Pair]:
    pairs = []
    for path, annotation in zip(perseg_object.images, perseg_object.annotations, strict=True):
        image = read_image(path)
        pairs.append((image, load_first_masks([annotation], width=image.shape[1], height=image.shape[0])))
    return pairs


def _on_images(sam: Sam, objects: Sequence[list[Pair]], config: PersamConfig, from_boxes: bool) -> float:
    return statistics.fmean(
        _score(Segmenter(sam, [_from_boxes(sam, pairs[0]) if from_boxes else pairs[0]], method=config), pairs[1:])
        for pairs in objects
    )


def _score(segmenter: Segmenter, pairs: Sequence[Pair]) -> float:
    masks = [segmenter.segment(image).label_map > 0 for image, _ in pairs]
    return score(masks, [truth > 0 for _, truth in pairs]).iou


def _from_boxes(sam: Sam, pair: Pair) -> Pair:
    """Reference with the masks that SAM makes from the boxes of the true ones."""
    image, label_map = pair
    prompts = []
    for i in ids_in(label_map):
        rows, columns = np.nonzero(label_map == i)
        box = (float(columns.min()), float(rows.min()), columns.max() + 1.0, rows.max() + 1.0)
        prompts.append(ObjectPrompt(i, box=box))
    return image, segment_prompts(sam, image, prompts)


def _on_videos(sam: Sam, sequences: Sequence[list[Pair]], quiet: bool, config: PersamConfig, from_boxes: bool) -> float:
    return statistics.fmean(
        _track(sam, frames, config, from_boxes) for frames in tqdm(sequences, leave=False, disable=quiet)
    )


def _track(sam: Sam, frames: Sequence[Pair], config: PersamConfig, from_boxes: bool) -> float:
    """J&F of one sequence."""
    image, label_map = _from_boxes(sam, frames[0]) if from_boxes else frames[0]
    tracker = Tracker(sam, method=partial(PersamMethod, config=config))
    label_maps = [tracker.step(image, label_map=label_map).label_map]
    label_maps += [tracker.step(image).label_map for image, _ in frames[1:]]
    return statistics.fmean(quality.score(label_maps, [truth for _, truth in frames]))


if __name__ == "__main__":
    torch.manual_seed(0)
    sys.exit(main())
