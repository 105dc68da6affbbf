"""Measure how well objects are followed: beside the published method, without each ingredient, under small changes, and
when they are away.

    python tools/quality.py table    --davis ROOT [--sequences NAME ...] [--variants NAME ...]
    python tools/quality.py spread   --davis ROOT [--sequences NAME ...]
    python tools/quality.py presence [--seeds N ...] [--pictures DIR]

``table``: J, F and J&F of every sequence by each method, and by the default method with one ingredient left out or
changed, and how far the scores that it gives its masks are from their J. Every frame is encoded once for all of them.
``spread``: the default method's J&F with the first mask dilated or eroded by 1 and 2 pixels, frames as JPEG of quality
60, and a start one frame later; and their standard deviation.
``presence``: demo clips, whose truth is known: how many frames without an object have no mask of it, and how often an
object is found again (J above 0.5) within 5 frames of its return.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from demo_scene import DemoScene
from PIL import Image

from persam_video.cli.common import Parser, add_model_options, load_model, run
from persam_video.cli.davis import add_dataset_options, dataset_of
from persam_video.evaluation.davis.dataset import DavisSequence
from persam_video.evaluation.davis.metrics import contour_accuracy, region_similarity
from persam_video.evaluation.environment import settings_of
from persam_video.files.atomic import write_atomic
from persam_video.frame import FrameResult, LabelMap, ids_in
from persam_video.methods.appearance.method import AppearanceMethod
from persam_video.methods.appearance.settings import Settings
from persam_video.outputs.draw import draw_overlay
from persam_video.sam.grids import Geometry
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.tracker import Tracker

PROGRAM = "quality.py"
Picture = npt.NDArray[np.uint8]
Variant = str | Settings

VARIANTS: dict[str, Variant] = {
    "appearance": Settings(),
    "persam-f": "persam-f",
    "persam": "persam",
    "no colours": Settings(colour_weight=0),
    "no updates": Settings(update_rate=0),
    "no motion log-odds": Settings(motion_weight=0),
    "full motion weight": Settings(motion_weight=1),
    "previous statistics only": Settings(current_frame_share=0),
    "current statistics only": Settings(current_frame_share=1),
    "two decodes": Settings(decodes=2),
    "no residual model": Settings(error_landmarks=0),
    "no SAM logits": Settings(max_sam_log_odds=0),
    "no elsewhere test": Settings(elsewhere_ratio=1e9),
    "no search region": Settings(max_log_odds_out_of_reach=3),
    "half the landmarks": Settings(landmarks=256),
    "half the bandwidth": Settings(bandwidth=0.25),
    "twice the bandwidth": Settings(bandwidth=1),
    "half the colours": Settings(colour_weight=1),
    "twice the colours": Settings(colour_weight=4),
    "half the error landmarks": Settings(error_landmarks=64),
    "half the error noise": Settings(error_noise=1.5),
    "twice the error noise": Settings(error_noise=6),
    "half the error colour scale": Settings(error_colour_scale=0.075),
    "twice the error colour scale": Settings(error_colour_scale=0.3),
    "half the error log-odds scale": Settings(error_log_odds_scale=1.5),
    "twice the error log-odds scale": Settings(error_log_odds_scale=6),
}
_AGAIN_WITHIN = 5
_FOUND_AGAIN = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """The program. Returns the exit code: 0, or 2 for input that cannot be used."""
    parser = Parser(prog=PROGRAM, description="Measure how well objects are followed.")
    commands = parser.add_subparsers(required=True, metavar="table|spread|presence")
    for name, command in (("table", _table), ("spread", _spread), ("presence", _presence)):
        each = commands.add_parser(name)
        each.set_defaults(command=command)
        if name == "presence":
            each.add_argument("--pictures", metavar="DIR", type=Path, help="save each clip's median and worst frame")
            each.add_argument(
                "--seeds", type=int, nargs="+", default=[0, 1, 2, 3], help="of the clips; default: 0 to 3"
            )
        else:
            add_dataset_options(each)
        if name == "table":
            each.add_argument("--variants", nargs="+", choices=tuple(VARIANTS), default=list(VARIANTS))
        add_model_options(each)
        add_features_option(each)
        each.add_argument("--json", metavar="FILE", type=Path, help="write all figures")
        each.add_argument("--quiet", action="store_true", help="no bar while downloading weights")
    options = parser.parse_args(arguments)
    return run(PROGRAM, lambda: _measure(options))


def _measure(options: argparse.Namespace) -> int:
    figures = options.command(options, load_with_features(options))
    if options.json is not None:
        write_atomic(options.json, json.dumps(figures, indent=1) + "\n")
    return 0


def add_features_option(parser: argparse.ArgumentParser) -> None:
    """Where features are kept, for `load_with_features`."""
    what = "keep all features here, 2 MB a frame: later runs read them"
    parser.add_argument("--features", metavar="DIR", type=Path, help=what)


def load_with_features(options: argparse.Namespace) -> Sam:
    """The model that is asked for, whose encoder keeps what it returns if that is asked for, too."""
    sam = load_model(options)
    return sam if options.features is None else replace(sam, encode=KeptFeatures(sam, options.features))


class KeptFeatures:
    """An encoder that keeps what it returns in a folder, by the picture's pixels and the model."""

    def __init__(self, sam: Sam, folder: Path) -> None:
        self._sam, self._folder = sam, folder
        settings = settings_of(sam, "")
        names = ("model", "checkpoint_sha256", "precision", "size", "exact_padding")
        self._what = json.dumps([settings[name] for name in names])

    def __call__(self, image: Picture) -> Features:
        name = hashlib.sha256(f"{self._what} {image.shape} ".encode() + image.tobytes()).hexdigest()
        path = self._folder / f"{name}.npy"
        if path.exists():
            tensor, pixels = (torch.from_numpy(each).to(self._sam.device) for each in (np.load(path), image.copy()))
            return Features(tensor, Geometry(image.shape[0], image.shape[1], self._sam.options.size), pixels)
        features = self._sam.encode(image)
        kept = io.BytesIO()
        np.save(kept, features.tensor.cpu().numpy())
        write_atomic(path, kept.getvalue())
        return features

    def batch(self, images: Sequence[Picture]) -> list[Features]:
        return [self(image) for image in images]


class Clip:
    """The frames of a sequence from one frame on, their truth, and their features, which are computed once."""

    def __init__(
        self,
        sam: Sam,
        name: str,
        pictures: list[Picture],
        truth: list[LabelMap],
        features: list[Features] | None = None,
    ) -> None:
        self.sam, self.name, self.pictures, self.truth = sam, name, pictures, truth
        self.features = features or [sam.encode(each) for each in pictures]

    def later(self) -> Clip:
        """The same from one frame later on."""
        return Clip(self.sam, self.name, self.pictures[1:], self.truth[1:], self.features[1:])

    def track(self, variant: Variant, first: LabelMap | None = None) -> tuple[list[FrameResult], float]:
        """What is found in all frames, and the seconds a frame and object that it took, without encoding."""
        method: str | Callable[[Sam], Any] = variant if isinstance(variant, str) else partial(_appearance, variant)
        tracker = Tracker(self.sam, method=method)
        first_mask = self.truth[0] if first is None else first
        first_result = tracker.step(self.pictures[0], label_map=first_mask, features=self.features[0])
        started = time.perf_counter()
        frames = list(zip(self.pictures, self.features, strict=True))[1:]
        found = [tracker.step(picture, features=features) for picture, features in frames]
        seconds = (time.perf_counter() - started) / max(1, len(frames) * len(tracker.object_ids))
        return [first_result, *found], seconds

    def score_error(self, found: Sequence[FrameResult]) -> float:
        """The mean distance of the scores from J, of the masks that are not empty, without the first frame."""
        distances = [
            abs(score - region_similarity(each.label_map == i, truth == i))
            for each, truth in list(zip(found, self.truth, strict=True))[1:]
            for i, score in each.scores.items()
            if each.visible[i]
        ]
        return statistics.fmean(distances) if distances else 0.0

    def score(self, found: Sequence[FrameResult]) -> tuple[float, float]:
        """J and F of what was found (`score`)."""
        return score([each.label_map for each in found], self.truth)


def score(found: Sequence[LabelMap], truth: Sequence[LabelMap]) -> tuple[float, float]:
    """J and F as DAVIS counts them: the mean over objects, without the first and the last frame."""
    j, f = [], []
    for i in ids_in(truth[0]):
        masks = [(a == i, b == i) for a, b in zip(found, truth, strict=True)][1:-1]
        j.append(statistics.fmean(region_similarity(*pair) for pair in masks))
        f.append(statistics.fmean(contour_accuracy(*pair) for pair in masks))
    return statistics.fmean(j), statistics.fmean(f)


def _appearance(settings: Settings, sam: Sam) -> AppearanceMethod:
    return AppearanceMethod(sam, settings)


def _load(sam: Sam, sequence: DavisSequence) -> Clip:
    pictures = [np.array(Image.open(path).convert("RGB")) for path in sequence.images]
    truth = [sequence.read_annotation(number) for number in range(len(pictures))]
    return Clip(sam, sequence.name, pictures, [np.where(each == 255, 0, each).astype(np.uint8) for each in truth])


def _table(options: argparse.Namespace, sam: Sam) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for sequence in dataset_of(options).sequences:
        clip = _load(sam, sequence)
        for name in options.variants:
            found, seconds = clip.track(VARIANTS[name])
            j, f = clip.score(found)
            row = {"J": j, "F": f, "J&F": (j + f) / 2, "score error": clip.score_error(found), "seconds": seconds}
            figures.setdefault(name, {})[clip.name] = row
            listed = " | ".join(f"{value:.3f}" for value in list(row.values())[:-1])
            print(f"| {clip.name} | {name} | {listed} | {1000 * seconds:.0f} ms |", flush=True)
    print("\n| | " + " | ".join(figures[options.variants[0]]) + " | mean | score error | ms a frame and object |")
    for name, row in figures.items():
        cells = [f"{each['J&F']:.3f}" for each in row.values()]
        mean = statistics.fmean(each["J&F"] for each in row.values())
        spent = statistics.median(each["seconds"] for each in row.values())
        error = statistics.fmean(each["score error"] for each in row.values())
        print(f"| {name} | " + " | ".join(cells) + f" | {mean:.3f} | {error:.3f} | {1000 * spent:.0f} |")
    return figures


def _spread(options: argparse.Namespace, sam: Sam) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for sequence in dataset_of(options).sequences:
        clip = _load(sam, sequence)
        noisy = Clip(sam, clip.name, [_as_jpeg(each) for each in clip.pictures], clip.truth)
        runs = {
            "as given": (clip, None),
            **{f"mask {pixels:+d} px": (clip, _grown(clip.truth[0], pixels)) for pixels in (1, 2, -1, -2)},
            "JPEG 60": (noisy, None),
            "a frame later": (clip.later(), None),
        }
        row = {}
        for name, (each, first) in runs.items():
            row[name] = statistics.fmean(each.score(each.track(Settings(), first)[0]))
        figures[clip.name] = row
        listed = " | ".join(f"{value:.3f}" for value in row.values())
        print(f"| {clip.name} | {listed} | {statistics.pstdev(row.values()):.3f} |", flush=True)
    return figures


def _grown(label_map: LabelMap, pixels: int) -> LabelMap:
    """Every object dilated, over what is background, or eroded by some pixels; one that would vanish stays."""
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(pixels) + 1,) * 2)
    grown = np.zeros_like(label_map)
    for i in ids_in(label_map):
        mask = (label_map == i).astype(np.uint8)
        changed = cv2.dilate(mask, disk) & (label_map == 0) | mask if pixels > 0 else cv2.erode(mask, disk)
        grown[(changed if changed.any() else mask) > 0] = i
    return grown


def _as_jpeg(picture: Picture) -> Picture:
    coded = io.BytesIO()
    Image.fromarray(picture).save(coded, "JPEG", quality=60)
    return np.array(Image.open(coded))


def _presence(options: argparse.Namespace, sam: Sam) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for seed in options.seeds:
        scene = DemoScene(objects=3 + seed % 3, frames=72, seed=seed)
        frames = [scene.render(index) for index in range(len(scene))]
        clip = Clip(sam, f"demo clip {seed}", [image for image, _ in frames], [truth for _, truth in frames])
        found, _ = clip.track(Settings())
        label_maps = [each.label_map for each in found]
        counts = _count_presence(clip.truth, label_maps)
        if options.pictures is not None:
            _save_pictures(clip, label_maps, options.pictures)
        print(f"{clip.name}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
        total.update(counts)
    print(
        f"of {total['away']} frames without an object {total['empty']} are empty; of {total['returns']} returns "
        f"{total['found again']} are noticed within {_AGAIN_WITHIN} frames; of {total['there']} frames with an object "
        f"{total['missed']} are empty"
    )
    return dict(total)


def _save_pictures(clip: Clip, found: Sequence[LabelMap], folder: Path) -> None:
    """The frames with the median and the lowest mean J: the truth at the left, what was found at the right."""
    ids = ids_in(clip.truth[0])
    scores = [
        statistics.fmean(region_similarity(a == i, b == i) for i in ids) for a, b in zip(found, clip.truth, strict=True)
    ]
    order = sorted(range(1, len(scores)), key=lambda index: scores[index])
    folder.mkdir(parents=True, exist_ok=True)
    for name, index in (("worst", order[0]), ("median", order[len(order) // 2])):
        both = [draw_overlay(clip.pictures[index], each[index], object_ids=ids) for each in (clip.truth, found)]
        path = folder / f"{clip.name.replace(' ', '-')}-{name}.jpg"
        Image.fromarray(np.hstack(both)).reduce(2).save(path, quality=85)


def _count_presence(truth: Sequence[LabelMap], found: Sequence[LabelMap]) -> Counter[str]:
    counts = Counter(dict.fromkeys(("away", "empty", "returns", "found again", "there", "missed"), 0))
    for i in ids_in(truth[0]):
        there = [bool((each == i).any()) for each in truth]
        for index in range(1, len(truth)):
            seen = bool((found[index] == i).any())
            counts["there" if there[index] else "away"] += 1
            counts["missed"] += there[index] and not seen
            counts["empty"] += not there[index] and not seen
            if there[index] and not there[index - 1]:
                soon = range(index, min(len(truth), index + _AGAIN_WITHIN + 1))
                again = any(region_similarity(found[k] == i, truth[k] == i) > _FOUND_AGAIN for k in soon)
                counts["returns"] += 1
                counts["found again"] += again
    return counts


if __name__ == "__main__":
    sys.exit(main())
