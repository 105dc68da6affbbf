"""Tracking quality: methods and their components, robustness to small changes of the input, and absent objects.

    python tools/quality.py table    --davis ROOT [--sequences NAME ...] [--variants NAME ...]
    python tools/quality.py spread   --davis ROOT [--sequences NAME ...]
    python tools/quality.py presence [--seeds N ...] [--pictures DIR]
    python tools/quality.py small    --davis ROOT [--sequences NAME ...] [--pictures DIR]

``table``: J, F and J&F of every sequence, and the mean absolute error of the scores against J, for each method and for
the default method with one component removed or changed.
``spread``: J&F of the default method with the first mask dilated or eroded by 1 and 2 pixels, frames compressed as JPEG
of quality 60, and a start one frame later; and their standard deviation.
``presence``: on demo clips, whose ground truth is known, the number of empty masks of absent and of visible objects,
and how often an object that returns is found again (J above 0.5) within 5 frames.
``small``: J of the first frames of each sequence in canvases of 3 and 6 times its width and height, whose background is
a frame of another sequence.

``--window frame`` measures the same with whole frames.
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
import PIL.Image
import torch
from demo_scene import DemoScene

from persam_video.cli.common import Parser, add_model_options, add_video_options, load_model, run
from persam_video.cli.davis import add_dataset_options, dataset_of
from persam_video.drawing import draw_overlay
from persam_video.evaluation.davis.dataset import DavisSequence
from persam_video.evaluation.davis.metrics import contour_accuracy, region_similarity
from persam_video.files.atomic import write_atomic
from persam_video.files.images import read_image
from persam_video.frame import Image, LabelMap, ids_in
from persam_video.methods.appearance.method import AppearanceMethod
from persam_video.methods.appearance.settings import Settings
from persam_video.result import FrameResult
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.sam.window import Window
from persam_video.tracking.settings import settings_of
from persam_video.tracking.tracker import Tracker

PROGRAM = "quality.py"
Variant = str | Settings
"""Name of a method, or settings of the default one."""

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
FOUND_WITHIN = 5
"""Frames after an object's return."""
FOUND_IOU = 0.5
_CANVASES = (3, 6)
"""Their width, in widths of the sequence."""
_SMALL_FRAMES = 30


def main(arguments: Sequence[str] | None = None) -> int:
    """The program. Returns the exit code: 0, or 2 for invalid input."""
    parser = Parser(prog=PROGRAM, description="Measure tracking quality.")
    commands = parser.add_subparsers(required=True, metavar="table|spread|presence|small")
    for name, command in (("table", _table), ("spread", _spread), ("presence", _presence), ("small", _small)):
        each = commands.add_parser(name)
        each.set_defaults(command=command)
        if name in ("presence", "small"):
            each.add_argument(
                "--pictures", metavar="DIR", type=Path, help="save the median and the worst frame of each clip"
            )
        if name == "presence":
            each.add_argument(
                "--seeds", type=int, nargs="+", default=[0, 1, 2, 3], help="of the clips; default: 0 to 3"
            )
        else:
            add_dataset_options(each)
        if name == "table":
            each.add_argument("--variants", nargs="+", choices=tuple(VARIANTS), default=list(VARIANTS))
        add_model_options(each)
        add_video_options(each)
        add_features_option(each)
        each.add_argument("--json", metavar="FILE", type=Path, help="write all results")
        each.add_argument("--quiet", action="store_true", help="no progress bar while downloading weights")
    options = parser.parse_args(arguments)
    return run(PROGRAM, lambda: _measure(options))


def _measure(options: argparse.Namespace) -> int:
    results = options.command(options, load_with_features(options))
    if options.json is not None:
        write_atomic(options.json, json.dumps(results, indent=1) + "\n")
    return 0


def add_features_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of `load_with_features`."""
    description = "cache all features in this folder, 2 MB per frame, for later runs"
    parser.add_argument("--features", metavar="DIR", type=Path, help=description)


def load_with_features(options: argparse.Namespace) -> Sam:
    """Model of a command's options, whose encoder caches its features if ``--features`` is given."""
    sam = load_model(options)
    return sam if options.features is None else replace(sam, encode=CachedEncoder(sam, options.features))


class CachedEncoder:
    """Image encoder that caches features in a folder, by the pixels of the image and the model."""

    def __init__(self, sam: Sam, folder: Path) -> None:
        self._sam, self._folder = sam, folder
        settings = settings_of(sam, None)
        names = ("model", "checkpoint_sha256", "precision", "size", "exact_padding")
        self._key = json.dumps([settings[name] for name in names])

    def __call__(self, image: Image, window: Window | None = None) -> Features:
        """Features of one image, or of a window of it."""
        window = window or Window.whole(image.shape, self._sam.options.size)
        image = np.ascontiguousarray(window.crop(image))
        key = f"{self._key} {window.side} {image.shape} "
        name = hashlib.sha256(key.encode() + image.tobytes()).hexdigest()
        path = self._folder / f"{name}.npy"
        if path.exists():
            tensor, pixels = (torch.from_numpy(each).to(self._sam.device) for each in (np.load(path), image.copy()))
            return Features(tensor, window, pixels)
        features = replace(self._sam.encode(image, Window.whole(image.shape, window.side)), window=window)
        buffer = io.BytesIO()
        np.save(buffer, features.tensor.cpu().numpy())
        write_atomic(path, buffer.getvalue())
        return features

    def batch(self, images: Sequence[Image], window: Window | None = None) -> list[Features]:
        """Features of several images."""
        return [self(image, window) for image in images]


class Clip:
    """Images of a sequence and their true label maps."""

    def __init__(self, sam: Sam, name: str, images: list[Image], truth: list[LabelMap]) -> None:
        self.sam, self.name, self.images, self.truth = sam, name, images, truth

    def without_first_frame(self) -> Clip:
        """Clip that starts one frame later."""
        return Clip(self.sam, self.name, self.images[1:], self.truth[1:])

    def track(self, variant: Variant, first_mask: LabelMap | None = None) -> tuple[list[FrameResult], float]:
        """Results of all frames, and seconds per frame and object.

        Args:
            variant: the method.
            first_mask: label map of the first frame; default: the true one.
        """
        method: str | Callable[[Sam], Any] = variant if isinstance(variant, str) else partial(_appearance, variant)
        tracker = Tracker(self.sam, method=method)
        first_mask = self.truth[0] if first_mask is None else first_mask
        first_result = tracker.step(self.images[0], label_map=first_mask)
        started = time.perf_counter()
        results = [tracker.step(image) for image in self.images[1:]]
        seconds = (time.perf_counter() - started) / max(1, len(results) * len(tracker.object_ids))
        return [first_result, *results], seconds

    def score_error(self, results: Sequence[FrameResult]) -> float:
        """Mean absolute error of the scores against J, over masks that are not empty, without the first frame."""
        errors = [
            abs(score - region_similarity(result.label_map == i, truth == i))
            for result, truth in list(zip(results, self.truth, strict=True))[1:]
            for i, score in result.scores.items()
            if result.visible[i]
        ]
        return statistics.fmean(errors) if errors else 0.0

    def score(self, results: Sequence[FrameResult]) -> tuple[float, float]:
        """J and F of the results (`score`)."""
        return score([each.label_map for each in results], self.truth)


def score(predicted: Sequence[LabelMap], truth: Sequence[LabelMap]) -> tuple[float, float]:
    """J and F by DAVIS' protocol: mean over objects, without the first and the last frame."""
    j, f = [], []
    for i in ids_in(truth[0]):
        masks = [(a == i, b == i) for a, b in zip(predicted, truth, strict=True)][1:-1]
        j.append(statistics.fmean(region_similarity(*pair) for pair in masks))
        f.append(statistics.fmean(contour_accuracy(*pair) for pair in masks))
    return statistics.fmean(j), statistics.fmean(f)


def _appearance(settings: Settings, sam: Sam) -> AppearanceMethod:
    return AppearanceMethod(sam, settings)


def _load(sam: Sam, sequence: DavisSequence) -> Clip:
    return Clip(sam, sequence.name, [read_image(path) for path in sequence.images], true_label_maps(sequence))


def true_label_maps(sequence: DavisSequence, frames: int | None = None) -> list[LabelMap]:
    """True label maps of the first frames of a sequence, with ignored pixels as background; None: of all."""
    label_maps = [sequence.read_annotation(number) for number in range(len(sequence.images))[:frames]]
    return [np.where(each == 255, 0, each).astype(np.uint8) for each in label_maps]


def _table(options: argparse.Namespace, sam: Sam) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for sequence in dataset_of(options).sequences:
        clip = _load(sam, sequence)
        for name in options.variants:
            tracked, seconds = clip.track(VARIANTS[name])
            j, f = clip.score(tracked)
            row = {"J": j, "F": f, "J&F": (j + f) / 2, "score error": clip.score_error(tracked), "seconds": seconds}
            results.setdefault(name, {})[clip.name] = row
            listed = " | ".join(f"{value:.3f}" for value in list(row.values())[:-1])
            print(f"| {clip.name} | {name} | {listed} | {1000 * seconds:.0f} ms |", flush=True)
    print("\n| | " + " | ".join(results[options.variants[0]]) + " | mean | score error | ms per frame and object |")
    for name, row in results.items():
        cells = [f"{each['J&F']:.3f}" for each in row.values()]
        mean = statistics.fmean(each["J&F"] for each in row.values())
        seconds = statistics.median(each["seconds"] for each in row.values())
        error = statistics.fmean(each["score error"] for each in row.values())
        print(f"| {name} | " + " | ".join(cells) + f" | {mean:.3f} | {error:.3f} | {1000 * seconds:.0f} |")
    return results


def _spread(options: argparse.Namespace, sam: Sam) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for sequence in dataset_of(options).sequences:
        clip = _load(sam, sequence)
        compressed = Clip(sam, clip.name, [_as_jpeg(each) for each in clip.images], clip.truth)
        runs = {
            "unchanged": (clip, None),
            **{f"mask {pixels:+d} px": (clip, _dilated(clip.truth[0], pixels)) for pixels in (1, 2, -1, -2)},
            "JPEG 60": (compressed, None),
            "a frame later": (clip.without_first_frame(), None),
        }
        row = {}
        for name, (each, first_mask) in runs.items():
            row[name] = statistics.fmean(each.score(each.track(Settings(), first_mask)[0]))
        results[clip.name] = row
        listed = " | ".join(f"{value:.3f}" for value in row.values())
        print(f"| {clip.name} | {listed} | {statistics.pstdev(row.values()):.3f} |", flush=True)
    return results


def _dilated(label_map: LabelMap, pixels: int) -> LabelMap:
    """Label map whose objects are dilated into the background or, for negative ``pixels``, eroded; an object that would
    vanish stays as it is."""
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(pixels) + 1,) * 2)
    result = np.zeros_like(label_map)
    for i in ids_in(label_map):
        mask = (label_map == i).astype(np.uint8)
        changed = cv2.dilate(mask, disk) & (label_map == 0) | mask if pixels > 0 else cv2.erode(mask, disk)
        result[(changed if changed.any() else mask) > 0] = i
    return result


def _as_jpeg(image: Image) -> Image:
    compressed = io.BytesIO()
    PIL.Image.fromarray(image).save(compressed, "JPEG", quality=60)
    return np.array(PIL.Image.open(compressed))


def _presence(options: argparse.Namespace, sam: Sam) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for seed in options.seeds:
        scene = DemoScene(objects=3 + seed % 3, frames=72, seed=seed)
        frames = [scene.render(index) for index in range(len(scene))]
        clip = Clip(sam, f"demo clip {seed}", [image for image, _ in frames], [truth for _, truth in frames])
        label_maps = [each.label_map for each in clip.track(Settings())[0]]
        counts = _count_presence(clip.truth, label_maps)
        if options.pictures is not None:
            _save_images(clip, label_maps, options.pictures)
        print(f"{clip.name}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
        total.update(counts)
    print(
        f"{total['empty']} of {total['absent']} masks of absent objects are empty; {total['found again']} of "
        f"{total['returns']} objects that return are found again within {FOUND_WITHIN} frames; {total['missed']} of "
        f"{total['visible']} masks of visible objects are empty"
    )
    return dict(total)


def _small(options: argparse.Namespace, sam: Sam) -> dict[str, Any]:
    sequences = dataset_of(options).sequences
    results: dict[str, Any] = {}
    for number, sequence in enumerate(sequences):
        background = read_image(sequences[(number + 1) % len(sequences)].images[0])
        images = [read_image(path) for path in sequence.images[:_SMALL_FRAMES]]
        for times in _CANVASES:
            name = f"{sequence.name} ×{times}"
            clip = _pasted(Clip(sam, name, images, true_label_maps(sequence, _SMALL_FRAMES)), background, times)
            tracked, seconds = clip.track(Settings())
            j, _ = clip.score(tracked)
            results[clip.name] = {"J": j, "seconds": seconds}
            print(f"| {clip.name} | {j:.3f} | {1000 * seconds:.0f} ms |", flush=True)
            if options.pictures is not None:
                _save_images(clip, [each.label_map for each in tracked], options.pictures)
    for times in _CANVASES:
        mean = statistics.fmean(each["J"] for name, each in results.items() if name.endswith(f"×{times}"))
        print(f"| mean ×{times} | {mean:.3f} | |")
    return results


def _pasted(clip: Clip, background: Image, times: int) -> Clip:
    """Clip in the middle of a canvas of so many times its size."""
    height, width = clip.images[0].shape[:2]
    canvas = np.asarray(
        cv2.resize(background, (times * width, times * height), interpolation=cv2.INTER_CUBIC), np.uint8
    )
    top, left = (times - 1) * height // 2, (times - 1) * width // 2
    images, truth = [], []
    for image, label_map in zip(clip.images, clip.truth, strict=True):
        pasted, wide = canvas.copy(), np.zeros(canvas.shape[:2], np.uint8)
        pasted[top : top + height, left : left + width] = image
        wide[top : top + height, left : left + width] = label_map
        images.append(pasted)
        truth.append(wide)
    return Clip(clip.sam, clip.name, images, truth)


def _save_images(clip: Clip, predicted: Sequence[LabelMap], folder: Path) -> None:
    """Save the frames with the median and the lowest mean J: ground truth on the left, the result on the right."""
    ids = ids_in(clip.truth[0])
    scores = [
        statistics.fmean(region_similarity(a == i, b == i) for i in ids)
        for a, b in zip(predicted, clip.truth, strict=True)
    ]
    order = sorted(range(1, len(scores)), key=lambda index: scores[index])
    folder.mkdir(parents=True, exist_ok=True)
    for name, index in (("worst", order[0]), ("median", order[len(order) // 2])):
        both = [draw_overlay(clip.images[index], each[index], object_ids=ids) for each in (clip.truth, predicted)]
        path = folder / f"{clip.name.replace(' ', '-')}-{name}.jpg"
        PIL.Image.fromarray(np.hstack(both)).reduce(2).save(path, quality=85)


def _count_presence(truth: Sequence[LabelMap], predicted: Sequence[LabelMap]) -> Counter[str]:
    """Numbers of masks, over all objects and frames but the first: of absent objects and the empty ones among them, of
    visible objects and the empty ("missed") ones among them; numbers of returns and of objects found again."""
    counts = Counter(dict.fromkeys(("absent", "empty", "returns", "found again", "visible", "missed"), 0))
    for i in ids_in(truth[0]):
        visible = [bool((each == i).any()) for each in truth]
        for index in range(1, len(truth)):
            is_empty = not (predicted[index] == i).any()
            counts["visible" if visible[index] else "absent"] += 1
            counts["missed"] += visible[index] and is_empty
            counts["empty"] += not visible[index] and is_empty
            if visible[index] and not visible[index - 1]:
                window = range(index, min(len(truth), index + FOUND_WITHIN + 1))
                counts["returns"] += 1
                counts["found again"] += any(
                    region_similarity(predicted[k] == i, truth[k] == i) > FOUND_IOU for k in window
                )
    return counts


if __name__ == "__main__":
    sys.exit(main())
