"""Track the sequences of a DAVIS-layout dataset and print J and F of each.

    python tools/davis_scores.py ROOT [--sequences dog libby] [--model vit_t] [--json FILE]

ROOT holds ``JPEGImages/480p/<sequence>`` and ``Annotations/480p/<sequence>``; the first annotation is given to the
tracker, the others are the truth. As in the official evaluation the first and the last frame do not count, and pixels
of value 255 do not either. The figures of several objects are averaged.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from persam_video import Sam, load_sam, track
from persam_video.davis.metrics import contour_accuracy, region_similarity
from persam_video.masks.palette import read_palette_png


@dataclass(frozen=True)
class Score:
    """Mean J and F of a sequence's objects, by object id."""

    j: dict[int, float]
    f: dict[int, float]
    frames_per_second: float

    @property
    def j_and_f(self) -> float:
        return float(np.mean([*self.j.values(), *self.f.values()]))


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description="J and F of every sequence of a DAVIS-layout dataset.")
    parser.add_argument("root", type=Path, metavar="ROOT")
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--model", default="vit_t")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every object")
    options = parser.parse_args()
    annotations = options.root / "Annotations" / "480p"
    if not annotations.is_dir():
        parser.error(f"{annotations}: no such folder; ROOT should be a dataset in DAVIS' layout")
    names = options.sequences or sorted(path.name for path in annotations.iterdir() if path.is_dir())
    sam = load_sam(options.model, device=options.device)
    print(f"{options.model} on {sam.device} ({platform.machine()}, {torch.get_num_threads()} threads)")
    print(f"{'sequence':<20} {'J':>6} {'F':>6} {'J&F':>6}  objects  frames/s")
    scores = {}
    for name in names:
        scores[name] = score = score_sequence(sam, options.root / "JPEGImages" / "480p" / name, annotations / name)
        j, f = np.mean(list(score.j.values())), np.mean(list(score.f.values()))
        print(f"{name:<20} {j:6.3f} {f:6.3f} {score.j_and_f:6.3f}  {len(score.j):7}  {score.frames_per_second:8.2f}")
    print(f"{'mean of sequences':<34} {np.mean([score.j_and_f for score in scores.values()]):6.3f}")
    if options.json:
        figures = {name: {"J": score.j, "F": score.f} for name, score in scores.items()}
        options.json.write_text(json.dumps(figures, indent=1))


def score_sequence(sam: Sam, pictures: Path, annotations: Path) -> Score:
    """Track one sequence and compare every frame but the first and the last with its annotation."""
    truths = sorted(annotations.glob("*.png"))
    j: dict[int, list[float]] = {}
    f: dict[int, list[float]] = {}
    started = time.perf_counter()
    results = track(pictures, read_palette_png(truths[0]), sam=sam)
    for result in tqdm(results, total=len(truths), desc=pictures.name, leave=False):
        if result.index in (0, len(truths) - 1):
            continue
        truth = read_palette_png(truths[result.index])
        void = truth == 255
        for i in result.object_ids:
            j.setdefault(i, []).append(region_similarity(result.mask(i), truth == i, void))
            f.setdefault(i, []).append(contour_accuracy(result.mask(i), truth == i, void))
    rate = len(truths) / (time.perf_counter() - started)
    return Score(_means(j), _means(f), rate)


def _means(values: dict[int, list[float]]) -> dict[int, float]:
    return {i: float(np.mean(each)) for i, each in values.items()}


if __name__ == "__main__":
    main()
