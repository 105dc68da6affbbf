"""Straightforward implementation of PerSAM-F on a video: the baseline of `persam-track` in time.

    python tools/plain_tracker.py VIDEO --first-mask FILE --masks DIR [--model vit_t] [--checkpoint FILE]

It uses `segment_anything.SamPredictor` as the published script does: each frame is encoded once, padded to a square;
then the objects are predicted one after another, three times each, at the frame's full resolution; the scale weights
are fitted in 800 steps, each of which decodes again. The input must be valid. It prints the seconds of its parts as
JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from segment_anything import SamPredictor

from persam_video.sam.checkpoints import fetch_checkpoint
from persam_video.sam.models import build_network, load_weights
from persam_video.sam.state_dicts import load_state_dict

Array = npt.NDArray[Any]

FIT_STEPS = 800
BOX_MARGIN = 10


class PlainObject:
    """One object: target feature, scale weights, and box in the previous frame.

    Args:
        predictor: predictor in which the first frame is set.
        mask: bool, H×W.
        steps: steps of fitting the scale weights.
    """

    def __init__(self, predictor: SamPredictor, mask: Array, steps: int) -> None:
        self.predictor = predictor
        features = predictor.features[0].permute(1, 2, 0)  # [64, 64, 256]
        square = torch.zeros(1024, 1024)
        height, width = predictor.input_size
        square[:height, :width] = torch.from_numpy(cv2.resize(mask.astype(np.float32), (width, height)))
        cells = F.interpolate(square[None, None], size=(64, 64), mode="bilinear")[0, 0].to(features.device) > 0
        foreground = features[cells]
        target = foreground.mean(dim=0) / 2 + foreground.amax(dim=0) / 2
        self.target = target / target.norm()
        self.box = _box(mask)
        self.weights = self._fit(mask, steps)

    def _fit(self, mask: Array, steps: int) -> Array:
        """Scale weights of SAM's three masks, float32, 3."""
        point = self._most_similar_point()
        truth = torch.from_numpy(mask.flatten().astype(np.float32))[None]
        learned = torch.full((2,), 1 / 3, requires_grad=True)
        optimiser = torch.optim.AdamW([learned], lr=4e-4, eps=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
        for _ in range(steps):
            logits, _, _ = self.predictor.predict(point[None], np.array([1]), return_logits=True)
            scales = torch.from_numpy(logits).flatten(1)
            weights = torch.cat((1 - learned.sum()[None], learned))
            predicted = (scales * weights[:, None]).sum(dim=0, keepdim=True)
            loss = _dice(predicted, truth) + _focal(predicted, truth)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        first, second = learned.tolist()
        return np.array([1 - first - second, first, second], np.float32)

    def find(self) -> Array:
        """Logits in the frame that is set in the predictor, float, H×W."""
        left, top, right, bottom = self.box
        centre = np.array([(left + right) / 2, (top + bottom) / 2])
        box = self.box + np.array([-BOX_MARGIN, -BOX_MARGIN, BOX_MARGIN, BOX_MARGIN])
        points, labels = np.stack((self._most_similar_point(), centre)), np.array([1, 1])
        masks, _, low_res = self.predictor.predict(points, labels, box, return_logits=True)
        mask = (masks * self.weights[:, None, None]).sum(axis=0)
        prompt = (low_res * self.weights[:, None, None]).sum(axis=0, keepdims=True)
        for _ in range(2):
            if (mask > 0).any():
                box = _box(mask > 0)
            masks, scores, low_res = self.predictor.predict(points, labels, box, prompt, return_logits=True)
            best = int(scores.argmax())
            mask, prompt = masks[best], low_res[best][None]
        if (mask > 0).any():
            self.box = _box(mask > 0)
        return np.asarray(mask)

    def _most_similar_point(self) -> Array:
        """Pixel of the frame with the highest similarity to the target, (x, y)."""
        features = F.normalize(self.predictor.features[0], dim=0)
        similarity = torch.einsum("c,chw->hw", self.target, features)[None, None]
        low_res = F.interpolate(similarity, scale_factor=4, mode="bilinear")
        full = self.predictor.model.postprocess_masks(low_res, self.predictor.input_size, self.predictor.original_size)[
            0, 0
        ]
        index = int(full.argmax())
        return np.array([index % full.shape[1], index // full.shape[1]])


def _box(mask: Array) -> Array:
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), columns.max(), rows.max()])


def _dice(predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    probability = predicted.sigmoid()
    return (1 - (2 * (probability * truth).sum(1) + 1) / (probability.sum(1) + truth.sum(1) + 1)).mean()


def _focal(predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    probability = predicted.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(predicted, truth, reduction="none")
    agreement = probability * truth + (1 - probability) * (1 - truth)
    balance = 0.25 * truth + 0.75 * (1 - truth)
    return (balance * (1 - agreement) ** 2 * entropy).mean()


def _read(video: Path) -> Iterator[Array]:
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def main(arguments: Sequence[str] | None = None) -> int:
    """The program."""
    parser = argparse.ArgumentParser(description="Straightforward PerSAM-F on a video, a baseline in time.")
    parser.add_argument("video", type=Path)
    parser.add_argument("--first-mask", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--model", default="vit_t")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--fit-steps", type=int, default=FIT_STEPS)
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    seconds = {"load": 0.0, "fit": 0.0, "frames": 0.0}

    network = build_network(options.model)
    path = options.checkpoint or fetch_checkpoint(options.model, progress=False)
    load_weights(network, load_state_dict(path), model=options.model, name=str(path))
    network.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    predictor = SamPredictor(network)
    seconds["load"] = time.perf_counter() - started

    first = np.array(Image.open(options.first_mask))
    ids = [int(i) for i in np.unique(first) if i not in (0, 255)]
    options.masks.mkdir(parents=True, exist_ok=True)
    objects: list[PlainObject] = []
    for index, image in enumerate(_read(options.video)):
        frame_started = time.perf_counter()
        predictor.set_image(image)
        if not objects:
            objects = [PlainObject(predictor, first == i, options.fit_steps) for i in ids]
            seconds["fit"] = time.perf_counter() - frame_started
            label_map = first
        else:
            logits = np.stack([np.zeros(first.shape), *(each.find() for each in objects)])
            label_map = np.array([0, *ids], np.uint8)[logits.argmax(axis=0)]
            seconds["frames"] += time.perf_counter() - frame_started
        Image.fromarray(label_map).save(options.masks / f"{index:05d}.png")
    print(json.dumps(seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
