"""Datasets in the folder layout of DAVIS 2016, DAVIS 2017 or YouTube-VOS.

ROOT/JPEGImages/480p/<sequence>/00000.jpg    also 1080p and Full-Resolution; YouTube-VOS has no such level
ROOT/Annotations/480p/<sequence>/00000.png
ROOT/ImageSets/2017/val.txt                  one sequence name per line; without it, every folder is a sequence
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from persam_video.errors import InputError
from persam_video.files.images import IMAGE_SUFFIXES, image_files, natural_key
from persam_video.files.palette_png import read_palette_png
from persam_video.frame import IGNORE_ID, LabelMap, ids_in
from persam_video.messages import one_line, parameter, pluralize

logger = logging.getLogger(__name__)

YEARS = ("2016", "2017")
RESOLUTIONS = ("480p", "1080p", "Full-Resolution")
DEFAULT_SPLIT = "val"


@dataclass(frozen=True)
class DavisSequence:
    """One sequence of a dataset.

    Args:
        name: name of its folder.
        images: image files of the frames, in order; empty where the dataset has only the annotations.
        annotations: label map files of the annotated frames, in order.
        year: ``2016``: everything annotated is one object with id 1; ``2017``: values are object ids, 255 is void.
        is_youtube_vos: annotations exist only for the frames in which an object appears.
    """

    name: str
    images: tuple[Path, ...]
    annotations: tuple[Path, ...]
    year: str
    is_youtube_vos: bool = False

    @property
    def is_binary(self) -> bool:
        """Whether everything annotated is one object."""
        return self.year == "2016"

    def why_not_scored(self) -> str | None:
        """Reason why masks of this sequence cannot be scored, in one line; None if they can."""
        folder, count = self.annotations[0].parent, len(self.annotations)
        annotations = pluralize(count, "annotation")
        if self.is_youtube_vos:
            return f"{folder}: has YouTube-VOS's layout; only DAVIS's layout can be scored"
        if self.images and len(self.images) != count:
            return f"{folder}: holds {annotations} for {len(self.images)} frames; all frames must be annotated"
        if count < 3:
            return f"{folder}: holds {annotations}; the first and the last do not count, so 3 are needed"
        return None

    @property
    def start(self) -> int:
        """Index of the first annotated frame.

        Raises:
            InputError: no image has the name of the first annotation.
        """
        name = self.annotations[0].stem
        for index, path in enumerate(self.images):
            if path.stem == name:
                return index
        raise InputError(f"{self.annotations[0]}: there is no image of this name among the {len(self.images)} frames")

    @property
    def tracker_annotations(self) -> tuple[Path, ...]:
        """Annotations that a tracker may use: the first; in YouTube-VOS's layout all."""
        return self.annotations if self.is_youtube_vos else self.annotations[:1]

    @property
    def first_annotation(self) -> LabelMap:
        """Label map of the first annotated frame, as from `read_annotation`.

        Raises:
            InputError: it cannot be read, or holds no object.
        """
        label_map = self.read_annotation(0)
        if not ids_in(label_map):
            advice = f"; in DAVIS-2016 255 is the object: give {parameter('year', '2016')}"
            raise InputError(f"{self.annotations[0]}: holds no object{advice if IGNORE_ID in label_map else ''}")
        return label_map

    def read_annotation(self, index: int) -> LabelMap:
        """Label map of an annotated frame, uint8, H×W: 0 = background, 255 = void.

        Raises:
            InputError: the file cannot be read as a label map.
        """
        label_map = read_palette_png(self.annotations[index])
        return _merge_objects(label_map, void_id=self._void_id) if self.is_binary else label_map

    def read_result(self, path: Path) -> LabelMap:
        """Label map that a method predicted for a frame of this sequence, uint8, H×W; for 2016 every value but 0
        becomes 1.

        Raises:
            InputError: the file cannot be read as a label map.
        """
        label_map = read_palette_png(path)
        return _merge_objects(label_map, void_id=None) if self.is_binary else label_map

    @cached_property
    def _void_id(self) -> int | None:
        """255 where objects have other values; None where 255 is the object, as in DAVIS-2016's own files."""
        return IGNORE_ID if ids_in(read_palette_png(self.annotations[0])) else None


def _merge_objects(label_map: LabelMap, void_id: int | None) -> LabelMap:
    """Label map with all objects as id 1, and void as 255."""
    merged: LabelMap = (label_map != 0).astype(np.uint8)
    if void_id is not None:
        merged[label_map == void_id] = IGNORE_ID
    return merged


@dataclass(frozen=True)
class DavisDataset:
    """Chosen sequences of a dataset.

    Args:
        root: folder with ``JPEGImages`` and ``Annotations``.
        split: name of the list, for example ``val``.
        year: ``2016`` or ``2017``.
        resolution: name of the folder level above the sequences; empty in YouTube-VOS's layout.
        sequences: chosen sequences, in the order of the list.
    """

    root: Path
    split: str
    year: str
    resolution: str
    sequences: tuple[DavisSequence, ...]

    def is_dataset_folder(self, folder: Path) -> bool:
        """Whether a folder belongs to the dataset itself, so that nothing may be written into it."""
        folder, root = folder.resolve(), self.root.resolve()
        subfolders = (root / "JPEGImages", root / "Annotations", root / "ImageSets")
        return folder == root or any(folder.is_relative_to(each) for each in subfolders)


def open_dataset(
    root: str | Path,
    *,
    year: str = "2017",
    split: str = DEFAULT_SPLIT,
    resolution: str | None = None,
    sequences: Sequence[str] | None = None,
) -> DavisDataset:
    """Dataset whose files are listed, but not read.

    Args:
        root: folder with ``JPEGImages`` and ``Annotations``, or with ``<split>/JPEGImages``.
        year: ``2016`` (one binary object) or ``2017`` (object ids).
        split: name of the list, ``ImageSets/<year>/<split>.txt``.
        resolution: ``480p``, ``1080p`` or ``Full-Resolution``; default: 480p, or the only one that exists.
        sequences: names of sequences to choose instead of the list's.
    Raises:
        InputError: the dataset, resolution or sequence does not exist, or a sequence has no annotation.
    """
    if year not in YEARS:
        raise InputError(f"unknown year {year!r}; the years are {', '.join(YEARS)}")
    if not split or Path(split).name != split:
        raise InputError(f"{parameter('split', split)}: give the name of a list, without its folder and .txt")
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; it should hold JPEGImages and Annotations, as DAVIS does")
    if not (root / "Annotations").is_dir() and (root / split / "Annotations").is_dir():
        root = root / split
    annotations = root / "Annotations"
    if not annotations.is_dir():
        raise InputError(f"{root}: holds no folder Annotations; give the folder that holds JPEGImages and Annotations")
    resolution = _resolution(annotations, resolution)
    annotations, images = annotations / resolution, root / "JPEGImages" / resolution
    available = sorted((path.name for path in annotations.iterdir() if _is_sequence(path)), key=natural_key)
    if not available:
        raise InputError(f"{annotations}: holds no folder; it should hold one with annotations for each sequence")
    names = list(sequences) if sequences else _listed_names(root, year, split, resolution, available)
    chosen = []
    for name in dict.fromkeys(names):
        if name not in available:
            examples = ", ".join(available[:8]) + (", …" if len(available) > 8 else "")
            raise InputError(f"{annotations}: holds no sequence {name!r}; it holds {examples}")
        files = _files(annotations / name, {".png"})
        if not files:
            raise InputError(f"{annotations / name}: holds no annotation; it should hold PNG files such as 00000.png")
        chosen.append(DavisSequence(name, _files(images / name, IMAGE_SUFFIXES), files, year, not resolution))
    return DavisDataset(root, split, year, resolution, tuple(chosen))


def _resolution(annotations: Path, wanted: str | None) -> str:
    """Name of the folder level between ``Annotations`` and the sequences; empty where there is none."""
    available = [name for name in RESOLUTIONS if (annotations / name).is_dir()]
    if wanted is None:
        if len(available) < 2 or "480p" in available:
            return "480p" if "480p" in available else "".join(available)
        example = parameter("resolution", available[0])
        raise InputError(f"{annotations}: holds {' and '.join(available)}; choose one, for example by {example}")
    if wanted not in available:
        raise InputError(
            f"{annotations}: holds no folder {wanted}; it holds {', '.join(available) or 'no resolutions'}"
        )
    return wanted


def _listed_names(root: Path, year: str, split: str, resolution: str, available: list[str]) -> list[str]:
    """Names in the list of a split; all available names where there is no list."""
    # DAVIS-2016's own package has its lists in ImageSets/480p.
    lists = [root / "ImageSets" / folder / f"{split}.txt" for folder in (year, resolution) if folder]
    for path in lists:
        if path.is_file():
            return _read_list(path)
    if (root / "ImageSets").is_dir() or split not in (DEFAULT_SPLIT, root.name):
        logger.warning("%s is missing: all %d sequences are used", lists[0], len(available))
    return available


def _read_list(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except ValueError as error:
        raise InputError(
            f"{path}: is not UTF-8 text ({one_line(error)}); it should hold one sequence name per line"
        ) from error
    names = [_sequence_name(line) for line in lines if line.strip()]
    if not names:
        raise InputError(f"{path}: is empty; it should hold one sequence name per line")
    return names


def _is_sequence(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _sequence_name(line: str) -> str:
    """Sequence name in a line: ``dog``, or ``/JPEGImages/480p/dog/00000.jpg /Annotations/…`` as in DAVIS 2016."""
    first = line.split()[0]
    return Path(first).parent.name if "/" in first else first


def _files(folder: Path, suffixes: Collection[str]) -> tuple[Path, ...]:
    """Image files of a folder with one of the suffixes, in natural order; empty if there is no such folder."""
    return tuple(image_files(folder.iterdir(), suffixes)) if folder.is_dir() else ()
