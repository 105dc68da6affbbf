"""Datasets in PerSeg's layout, and their scores: mIoU, and bIoU on the boundaries.

ROOT/Images/<object>/00.jpg …        the first picture of an object is the reference
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
"""The objects that Table 1 shows, in its order."""

_BOUNDARY_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class PersegObject:
    """One object: its pictures and their annotations, of which the first pair is the reference."""

    name: str
    pictures: tuple[Path, ...]
    annotations: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """Of one object.

    Args:
        iou: the intersection of all its pictures over their union, as in the authors' evaluation.
        boundary_iou: the mean of its pictures (`boundary_iou`).
    """

    iou: float
    boundary_iou: float


def open_perseg(root: Path) -> tuple[PersegObject, ...]:
    """The objects of a dataset: those of Table 1 first, in its order, then the others by name.

    Raises:
        InputError: it has not the layout, or an object has no picture beside its reference.
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
            f"{root / 'Annotations' / name}: holds {len(annotations)} masks; it should hold the reference's and others"
        )
    folder = root / "Images" / name
    there = {path.stem: path for path in folder.iterdir()} if folder.is_dir() else {}
    pictures = [there.get(path.stem) for path in annotations]
    found = tuple(path for path in pictures if path is not None and path.suffix.lower() in IMAGE_SUFFIXES)
    if len(found) < len(annotations):
        missing = next(a for a, path in zip(annotations, pictures, strict=True) if path not in found)
        raise InputError(f"{folder}: holds no picture {missing.stem}, of which there is the annotation {missing}")
    return PersegObject(name, found, tuple(annotations))


def score(masks: Sequence[Mask], truths: Sequence[Mask]) -> Score:
    """The score of one object from its masks and the true ones, bool, H×W each."""
    pairs = list(zip(masks, truths, strict=True))
    intersection = sum(int((a & b).sum()) for a, b in pairs)
    union = sum(int((a | b).sum()) for a, b in pairs)
    return Score(intersection / union if union else 1.0, statistics.fmean(boundary_iou(a, b) for a, b in pairs))


def boundary_iou(mask: Mask, truth: Mask) -> float:
    """The IoU of the pixels of both masks that are near their boundaries (Cheng et al. 2021, "Boundary IoU").

    Near is within 2 % of the picture's diagonal; the picture's border counts as a boundary. 1 for two empty masks.
    """
    a, b = _boundary(mask), _boundary(truth)
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def _boundary(mask: Mask) -> Mask:
    height, width = mask.shape
    steps = max(1, round(_BOUNDARY_SHARE * float(np.hypot(height, width))))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inside = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=steps)[1:-1, 1:-1]
    boundary: Mask = mask & (inside == 0)
    return boundary


def table(scores: Mapping[str, Score], method: str, learned: int) -> str:
    """Table 1's columns: mIoU, bIoU, learned numbers of an object, and every object's IoU, in percent."""
    mean = [100 * statistics.fmean(getattr(each, name) for each in scores.values()) for name in ("iou", "boundary_iou")]
    head = ["", "mIoU", "bIoU", "learned", *scores]
    row = [method, *(f"{value:.2f}" for value in mean), str(learned), *(f"{100 * s.iou:.1f}" for s in scores.values())]
    widths = [max(map(len, column)) for column in zip(head, row, strict=True)]
    lines = ("  ".join(cell.rjust(width) for cell, width in zip(each, widths, strict=True)) for each in (head, row))
    return "\n".join(line.rstrip() for line in lines)
