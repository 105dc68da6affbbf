"""Cuts to other scenes: the statistic that tells them, and what becomes of the objects.

    python tools/scene_cuts.py pairs --davis ROOT [--sequences NAME ...] [--seeds N ...] [--size 480p]
    python tools/scene_cuts.py clips --davis ROOT [--sequences NAME ...] [--seeds N ...] [--method NAME]

``pairs``: the explained contrast and the common colours of frames of one sequence, in a row or several frames apart,
and of frames of two sequences; and the sequences in which a frame is wrongly told to be of another scene.
``clips``: clips cut together from two sequences: the objects are given in the first, which is followed by frames of the
second and then by the first again. How many of the foreign frames have no mask, and how many of the objects that return
are found again (J above 0.5) within 5 frames: where the first scene goes on, 20 frames later, mirrored, and enlarged.

The sequences are those of DAVIS and demo scenes of several seeds, whose frames have the same size.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from demo_scene import DemoScene
from quality import FOUND_IOU, FOUND_WITHIN, add_features_option, load_with_features, true_label_maps

from persam_video.cli.common import Parser, add_model_options, add_video_options, run
from persam_video.cli.davis import add_dataset_options, dataset_of
from persam_video.evaluation.davis.metrics import region_similarity
from persam_video.files.atomic import write_atomic
from persam_video.files.images import read_image
from persam_video.frame import Image, LabelMap, ids_in
from persam_video.methods.cuts import Reduced, common_colours, explained_contrast
from persam_video.methods.flow import FlowInputs, reduced_image
from persam_video.sam.models import Sam
from persam_video.tracking.tracker import Tracker

PROGRAM = "scene_cuts.py"
_DEMO_FRAMES = 72
_STEPS = (1, 2, 5, 10)
_LATER = 20
_GIVEN = (6, 12, 24)
_FOREIGN = (3, 8, 16)
_RETURNED = 6
"""Frames of a clip's three parts; those of the first two are drawn for each clip."""

Frames = list[tuple[Image, LabelMap]]


def main(arguments: Sequence[str] | None = None) -> int:
    """The program. Returns the exit code: 0, or 2 for invalid input."""
    parser = Parser(prog=PROGRAM, description="Measure how cuts to other scenes are told and survived.")
    commands = parser.add_subparsers(required=True, metavar="pairs|clips")
    for name, command in (("pairs", _pairs), ("clips", _clips)):
        each = commands.add_parser(name)
        each.set_defaults(command=command)
        add_dataset_options(each)
        each.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3], help="of demo scenes; default: 0 to 3")
        each.add_argument("--json", metavar="FILE", type=Path, help="write all results")
        if name == "clips":
            each.add_argument("--partners", type=int, default=3, help="foreign scenes per scene; default: 3")
            add_model_options(each)
            add_video_options(each)
            add_features_option(each)
            each.add_argument("--quiet", action="store_true", help="no progress bar while downloading weights")
    options = parser.parse_args(arguments)
    return run(PROGRAM, lambda: _measure(options))


def _measure(options: argparse.Namespace) -> int:
    results = options.command(options)
    if options.json is not None:
        write_atomic(options.json, json.dumps(results, indent=1) + "\n")
    return 0


def _scenes(options: argparse.Namespace) -> dict[str, Frames]:
    """Images and label maps of all sequences, in the size of the first."""
    scenes: dict[str, Frames] = {}
    for sequence in dataset_of(options).sequences:
        scenes[sequence.name] = list(zip(map(read_image, sequence.images), true_label_maps(sequence), strict=True))
    for seed in options.seeds:
        scene = DemoScene(objects=3 + seed % 3, frames=_DEMO_FRAMES, seed=seed)
        scenes[f"demo scene {seed}"] = [scene.render(index) for index in range(len(scene))]
    height, width = next(iter(scenes.values()))[0][0].shape[:2]
    return {name: _of_size(frames, (width, height)) for name, frames in scenes.items()}


def _of_size(frames: Frames, size: tuple[int, int]) -> Frames:
    if frames[0][1].shape[::-1] == size:
        return frames
    return [
        (
            np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8),
            np.asarray(cv2.resize(label_map, size, interpolation=cv2.INTER_NEAREST), np.uint8),
        )
        for image, label_map in frames
    ]


def _pairs(options: argparse.Namespace) -> dict[str, Any]:
    reduced = {name: [reduced_image(image) for image, _ in frames] for name, frames in _scenes(options).items()}
    rng = random.Random(0)
    pairs: dict[str, list[tuple[float, float, bool]]] = {}
    told: Counter[str] = Counter()
    for step in _STEPS:
        for name, images in reduced.items():
            following = [_measured(*pair) for pair in zip(images, images[step:], strict=False)]
            pairs.setdefault(f"{step} frames apart", []).extend(following)
            told[f"{name}, {step} frames apart"] += sum(is_cut for _, _, is_cut in following)
    for one, other in itertools.permutations(reduced, 2):
        unrelated = [_measured(rng.choice(reduced[one]), rng.choice(reduced[other])) for _ in range(4)]
        demo = "two demo scenes" if "demo" in one and "demo" in other else "two scenes"
        pairs.setdefault(demo, []).extend(unrelated)
    results: dict[str, Any] = {}
    print(
        "| | pairs | explained contrast: 0 % | 1 % | 50 % | 99 % | 100 % | common colours: 1 % | 50 % | 99 % | cuts |"
    )
    for name, each in pairs.items():
        explained, common, cuts = map(list, zip(*each, strict=True))
        percentiles = (*np.percentile(explained, (0, 1, 50, 99, 100)), *np.percentile(common, (1, 50, 99)))
        print(f"| {name} | {len(each)} | " + " | ".join(f"{value:.2f}" for value in percentiles) + f" | {sum(cuts)} |")
        results[name] = {"explained": explained, "common": common, "cuts": sum(cuts)}
    print("told to be cuts: " + "; ".join(f"{count} of {name}" for name, count in told.items() if count))
    return results


def _measured(previous: Reduced, current: Reduced) -> tuple[float, float, bool]:
    """Explained contrast and common colours of two frames, and whether they are told to be of two scenes."""
    inputs = FlowInputs.of(previous, current, pinned=False)
    explained = explained_contrast(previous.grey, current.grey, inputs.flow.permute(1, 2, 0).numpy())
    return explained, common_colours(previous, current), bool(inputs.cut)


def _clips(options: argparse.Namespace) -> dict[str, int]:
    sam, scenes, rng = load_with_features(options), _scenes(options), random.Random(0)
    total: Counter[str] = Counter()
    for name, frames in scenes.items():
        counts: Counter[str] = Counter()
        others = [each for each in scenes if each != name]
        for foreign in rng.sample(others, min(options.partners, len(others))):
            given, length = rng.choice(_GIVEN), rng.choice(_FOREIGN)
            start = rng.randrange(max(1, len(scenes[foreign]) - length))
            away = [image for image, _ in scenes[foreign][start : start + length]]
            for kind, returned in _returns(frames, given):
                counts.update(_track(sam, options.method, frames[:given], away, returned, kind))
        print(f"{name}: " + ", ".join(f"{key} {count}" for key, count in sorted(counts.items())), flush=True)
        total.update(counts)
    print(f"{total['foreign empty']} of {total['foreign']} masks of foreign frames are empty")
    for kind in ("next", "later", "mirrored", "enlarged"):
        print(f"{kind}: {total[f'{kind} found']} of {total[kind]} objects are found again within {FOUND_WITHIN} frames")
    return dict(total)


def _returns(frames: Frames, given: int) -> Iterator[tuple[str, Frames]]:
    """Frames with which a clip ends after its foreign part, and what they are."""
    following = frames[given : given + _RETURNED]
    yield "next", following
    yield "later", frames[given + _LATER : given + _LATER + _RETURNED] or frames[-_RETURNED:]
    yield "mirrored", [_changed(each, lambda array: array[:, ::-1]) for each in following]
    yield "enlarged", [_changed(each, _enlarged) for each in following]


def _changed(
    frame: tuple[Image, LabelMap], change: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]
) -> tuple[Image, LabelMap]:
    image, label_map = (np.ascontiguousarray(change(each)) for each in frame)
    return image, label_map


def _enlarged(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Middle four fifths of an image or label map, in its size."""
    height, width = array.shape[:2]
    cropped = np.ascontiguousarray(array[height // 10 : -(height // 10), width // 10 : -(width // 10)])
    interpolation = cv2.INTER_NEAREST if array.ndim == 2 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cropped, (width, height), interpolation=interpolation), np.uint8)


def _track(sam: Sam, method: str, given: Frames, away: Sequence[Image], returned: Frames, kind: str) -> Counter[str]:
    """Counts of one clip. An object counts where it covers at least 1/2000 of the first frame of the return."""
    tracker = Tracker(sam, method=method)
    first_image, first_mask = given[0]
    tracker.step(first_image, label_map=first_mask)
    for image, _ in given[1:]:
        tracker.step(image)
    counts: Counter[str] = Counter()
    for image in away:
        visible = tracker.step(image).visible
        counts.update({"foreign": len(visible), "foreign empty": sum(not each for each in visible.values())})
    back = [i for i in ids_in(returned[0][1]) if (returned[0][1] == i).sum() > returned[0][1].size / 2000]
    found = set()
    for image, truth in returned[:FOUND_WITHIN]:
        label_map = tracker.step(image).label_map
        found |= {i for i in back if region_similarity(label_map == i, truth == i) > FOUND_IOU}
    counts.update({kind: len(back), f"{kind} found": len(found)})
    return counts


if __name__ == "__main__":
    sys.exit(main())
