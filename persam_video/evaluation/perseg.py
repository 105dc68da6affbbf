"""Datasets in PerSeg's folder layout, and their scores: mIoU and boundary IoU (PerSAM, Table 1).

ROOT/Images/<object>/00.jpg …        the first image of an object is the reference
ROOT/Annotations/<object>/00.png …
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from persam_video.errors import InputError
from persam_video.files.images import IMAGE_SUFFIXES, natural_key
from persam_video.messages import pluralize

Mask = npt.NDArray[np.bool_]

PAPER_ORDER = (
    "can",
    "barn",
    "clock",
    "cat",
    "backpack",
    "teddybear",
    "duck_toy",
    "thin_bird",
    "red_cartoon",
    "robot_toy",
)
"""Objects of Table 1, in its order."""

_BOUNDARY_WIDTH = 0.02
"""Width of the boundary region, as a fraction of the image diagonal."""


@dataclass(frozen=True, slots=True)
class PersegObject:
    """Image files and annotation files of one object; the first of each are the reference."""

    name: str
    images: tuple[Path, ...]
    annotations: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """Scores of one object.

    Args:
        iou: intersection over union, each summed over all images, as in the authors' evaluation.
        boundary_iou: mean of `boundary_iou` over the images.
    """

    iou: float
    boundary_iou: float


def open_perseg(root: Path) -> tuple[PersegObject, ...]:
    """Objects of a dataset: those of Table 1 first, in its order, then the others by name.

    Raises:
        InputError: the dataset does not have the layout, or an object has no image besides its reference.
    """
    for kind in ("Images", "Annotations"):
        if not (root / kind).is_dir():
            raise InputError(f"{root}: holds no folder {kind}; give a folder in PerSeg's layout: {kind}/<object>/00.*")
    names = sorted(
        (each.name for each in (root / "Annotations").iterdir() if each.is_dir() and not each.name.startswith(".")),
        key=lambda name: (PAPER_ORDER.index(name) if name in PAPER_ORDER else len(PAPER_ORDER), natural_key(name)),
    )
    if not names:
        raise InputError(f"{root / 'Annotations'}: holds no folder; it should hold one for each object")
    return tuple(_open_object(root, name) for name in names)


def _open_object(root: Path, name: str) -> PersegObject:
    annotations = sorted((root / "Annotations" / name).glob("*.png"), key=lambda path: natural_key(path.name))
    if len(annotations) < 2:
        raise InputError(
            f"{root / 'Annotations' / name}: holds {pluralize(len(annotations), 'mask')}; "
            "it should hold the reference's and at least one other"
        )
    folder = root / "Images" / name
    by_stem = {path.stem: path for path in folder.iterdir()} if folder.is_dir() else {}
    paths = [by_stem.get(path.stem) for path in annotations]
    images = tuple(path for path in paths if path is not None and path.suffix.lower() in IMAGE_SUFFIXES)
    if len(images) < len(annotations):
        missing = next(a for a, path in zip(annotations, paths, strict=True) if path not in images)
        raise InputError(f"{folder}: holds no image {missing.stem} for the annotation {missing}")
    return PersegObject(name, images, tuple(annotations))


def score(masks: Sequence[Mask], truths: Sequence[Mask]) -> Score:
    """Scores of one object from its predicted and its true masks, bool, H×W each."""
    pairs = list(zip(masks, truths, strict=True))
    intersection = sum(int((a & b).sum()) for a, b in pairs)
    union = sum(int((a | b).sum()) for a, b in pairs)
    return Score(intersection / union if union else 1.0, statistics.fmean(boundary_iou(a, b) for a, b in pairs))


def boundary_iou(mask: Mask, truth: Mask) -> float:
    """Boundary IoU of two masks, bool, H×W: 0 to 1; 1 if both are empty (Cheng et al. 2021, "Boundary IoU").

    Only mask pixels within 2 % of the image diagonal of the mask's boundary count; the image border is a boundary.
    """
    a, b = _boundary(mask), _boundary(truth)
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def _boundary(mask: Mask) -> Mask:
    """Pixels of a mask that are near its boundary, bool, H×W."""
    height, width = mask.shape
    steps = max(1, round(_BOUNDARY_WIDTH * float(np.hypot(height, width))))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inside = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=steps)[1:-1, 1:-1]
    boundary: Mask = mask & (inside == 0)
    return boundary


def table(scores: Mapping[str, Score], method: str, learned: int) -> str:
    """Text table with Table 1's columns: mIoU and bIoU in percent, learned parameters, IoU of each object in percent.

    Args:
        scores: scores by object name.
        method: name of the method.
        learned: number of parameters that the method learns per object.
    """
    means = [
        100 * statistics.fmean(getattr(each, name) for each in scores.values()) for name in ("iou", "boundary_iou")
    ]
    head = ["", "mIoU", "bIoU", "learned", *scores]
    row = [method, *(f"{value:.2f}" for value in means), str(learned), *(f"{100 * s.iou:.1f}" for s in scores.values())]
    widths = [max(map(len, column)) for column in zip(head, row, strict=True)]
    lines = ("  ".join(cell.rjust(width) for cell, width in zip(each, widths, strict=True)) for each in (head, row))
    return "\n".join(line.rstrip() for line in lines)
