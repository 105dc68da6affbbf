"""Where a DAVIS-layout dataset has its pictures, annotations and lists of sequences; YouTube-VOS's layout as well.

ROOT/JPEGImages/480p/<sequence>/00000.jpg    also 1080p, Full-Resolution; YouTube-VOS has no such folder between
ROOT/Annotations/480p/<sequence>/00000.png
ROOT/ImageSets/2017/val.txt                  a sequence's name a line; where it is missing, the folders are the list
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from persam_video.errors import InputError
from persam_video.files.images import IMAGE_SUFFIXES, natural_key
from persam_video.files.palette_png import read_palette_png
from persam_video.frame import IGNORE_ID, LabelMap, ids_in

YEARS = ("2016", "2017")
RESOLUTIONS = ("480p", "1080p", "Full-Resolution")
DEFAULT_SPLIT = "val"


@dataclass(frozen=True)
class DavisSequence:
    """One sequence of a dataset.

    Args:
        name: of its folder.
        pictures: the frames' files, in order; may be empty where only the annotations are at hand.
        annotations: the annotated frames' files, in order: label maps.
        year: ``2016``: everything annotated is one object, id 1; ``2017``: the values are object ids, 255 is void.
        is_youtube_vos: the annotations are of the frames in which objects appear, not of all frames.
    """

    name: str
    pictures: tuple[Path, ...]
    annotations: tuple[Path, ...]
    year: str
    is_youtube_vos: bool = False

    @property
    def is_binary(self) -> bool:
        """Whether all that is annotated is one object."""
        return self.year == "2016"

    def why_not_scored(self) -> str | None:
        """What keeps masks of this sequence from being scored, in one line; None if nothing does."""
        where, count = self.annotations[0].parent, len(self.annotations)
        if self.is_youtube_vos:
            return f"{where}: is in YouTube-VOS's layout, of a dataset that is to be scored elsewhere"
        if self.pictures and len(self.pictures) != count:
            return f"{where}: holds {count} annotations for {len(self.pictures)} frames; all frames must be annotated"
        if count < 3:
            return f"{where}: holds {count} annotations; the first and the last do not count, so 3 are needed"
        return None

    @property
    def start(self) -> int:
        """The number of the first frame that is annotated.

        Raises:
            InputError: there is no picture of its name.
        """
        name = self.annotations[0].stem
        for index, picture in enumerate(self.pictures):
            if picture.stem == name:
                return index
        raise InputError(
            f"{self.annotations[0]}: there is no picture of this name among the {len(self.pictures)} frames"
        )

    @property
    def given(self) -> tuple[Path, ...]:
        """The annotations that a tracker may see: the first one, in YouTube-VOS's layout all."""
        return self.annotations if self.is_youtube_vos else self.annotations[:1]

    def given_at(self, frame_name: str) -> int | None:
        """The number of the annotation that a tracker may see in a frame; None where there is none."""
        names = [path.stem for path in self.given]
        return names.index(frame_name) if frame_name in names else None

    @property
    def first_annotation(self) -> LabelMap:
        """The first frame's annotation, as `read_annotation` gives it.

        Raises:
            InputError: it cannot be read, or holds no object.
        """
        label_map = self.read_annotation(0)
        if not ids_in(label_map):
            advice = "; in DAVIS-2016 255 is the object: give --year 2016" if IGNORE_ID in label_map else ""
            raise InputError(f"{self.annotations[0]}: holds no object{advice}")
        return label_map

    def read_annotation(self, index: int) -> LabelMap:
        """An annotated frame's label map, uint8, H×W: 0 = background, 255 = void.

        Raises:
            InputError: the file cannot be read as a label map.
        """
        label_map = read_palette_png(self.annotations[index])
        return _as_one_object(label_map, void=self._void_id) if self.is_binary else label_map

    def read_result(self, path: Path) -> LabelMap:
        """A mask that a method found in this sequence: object ids, H×W; in 2016's layout 0 and 1, whatever stood for
        the object.

        Raises:
            InputError: the file cannot be read as a label map.
        """
        label_map = read_palette_png(path)
        return _as_one_object(label_map, void=None) if self.is_binary else label_map

    @cached_property
    def _void_id(self) -> int | None:
        """255 where objects have other values; None where it is the object itself, as in DAVIS-2016's own files."""
        return IGNORE_ID if ids_in(read_palette_png(self.annotations[0])) else None


def _as_one_object(label_map: LabelMap, void: int | None) -> LabelMap:
    one: LabelMap = (label_map != 0).astype(np.uint8)
    if void is not None:
        one[label_map == void] = IGNORE_ID
    return one


@dataclass(frozen=True)
class DavisDataset:
    """Sequences of a dataset.

    Args:
        root: its folder.
        split: name of the list, ``val`` for example.
        year: ``2016`` or ``2017``.
        resolution: name of the folder with the pictures; empty in YouTube-VOS's layout.
        sequences: those that were chosen, in the list's order.
    """

    root: Path
    split: str
    year: str
    resolution: str
    sequences: tuple[DavisSequence, ...]

    def owns(self, folder: Path) -> bool:
        """Whether a folder is the dataset's own: results do not belong there."""
        folder, root = folder.resolve(), self.root.resolve()
        parts = (root / "JPEGImages", root / "Annotations", root / "ImageSets")
        return folder == root or any(folder.is_relative_to(part) for part in parts)


def open_dataset(
    root: str | Path,
    *,
    year: str = "2017",
    split: str = DEFAULT_SPLIT,
    resolution: str | None = None,
    sequences: Sequence[str] | None = None,
) -> DavisDataset:
    """Look through a dataset's folders; nothing is read but the list.

    Args:
        root: the folder with ``JPEGImages`` and ``Annotations``, or with ``<split>/JPEGImages``.
        year: ``2016`` (one binary object) or ``2017`` (object ids).
        split: the list ``ImageSets/<year>/<split>.txt``.
        resolution: ``480p``, ``1080p`` or ``Full-Resolution``; by default 480p, or the only one there is.
        sequences: only these, whether the list has them or not.
    Raises:
        InputError: there is no such dataset, resolution or sequence, or a sequence has no annotation.
    """
    if year not in YEARS:
        raise InputError(f"unknown year {year!r}; the years are {', '.join(YEARS)}")
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; it should hold JPEGImages and Annotations, as DAVIS does")
    if not (root / "Annotations").is_dir() and (root / split / "Annotations").is_dir():
        root = root / split
    annotations = root / "Annotations"
    if not annotations.is_dir():
        raise InputError(f"{root}: holds no folder Annotations; give the folder that holds JPEGImages and Annotations")
    resolution = _resolution(annotations, resolution)
    annotations, pictures = annotations / resolution, root / "JPEGImages" / resolution
    there = sorted((path.name for path in annotations.iterdir() if _is_sequence(path)), key=natural_key)
    if not there:
        raise InputError(f"{annotations}: holds no folder; it should hold one with annotations for each sequence")
    names = list(sequences) if sequences else _listed(root, year, split, resolution, there)
    chosen = []
    for name in dict.fromkeys(names):
        if name not in there:
            some = ", ".join(there[:8]) + (", …" if len(there) > 8 else "")
            raise InputError(f"{annotations}: holds no sequence {name!r}; it holds {some}")
        files = _files(annotations / name, {".png"})
        if not files:
            raise InputError(f"{annotations / name}: holds no annotation; it should hold PNG files such as 00000.png")
        chosen.append(DavisSequence(name, _files(pictures / name, IMAGE_SUFFIXES), files, year, not resolution))
    return DavisDataset(root, split, year, resolution, tuple(chosen))


def _resolution(annotations: Path, wanted: str | None) -> str:
    """The name of the folder between ``Annotations`` and the sequences; empty where there is none."""
    found = [name for name in RESOLUTIONS if (annotations / name).is_dir()]
    if wanted is None:
        if len(found) < 2 or "480p" in found:
            return "480p" if "480p" in found else "".join(found)
        raise InputError(f"{annotations}: holds {' and '.join(found)}; choose one by --resolution")
    if wanted not in found:
        raise InputError(f"{annotations}: holds no folder {wanted}; it holds {', '.join(found) or 'no resolutions'}")
    return wanted


def _listed(root: Path, year: str, split: str, resolution: str, there: list[str]) -> list[str]:
    """The names in the list of a split; all folders where there is no list."""
    lists = [root / "ImageSets" / folder / f"{split}.txt" for folder in (year, resolution) if folder]
    for path in lists:  # DAVIS-2016's own package has its lists in ImageSets/480p
        if path.is_file():
            try:
                lines = path.read_text(encoding="utf-8-sig").splitlines()
            except ValueError as error:
                raise InputError(
                    f"{path}: is no text in UTF-8 ({error}); it should hold a sequence's name a line"
                ) from error
            names = [_name(line) for line in lines if line.strip()]
            if not names:
                raise InputError(f"{path}: is empty; it should hold a sequence's name a line")
            return names
    if (root / "ImageSets").is_dir() or split not in (DEFAULT_SPLIT, root.name):
        warnings.warn(f"{lists[0]} is missing: all {len(there)} sequences are taken", stacklevel=3)
    return there


def _is_sequence(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _name(line: str) -> str:
    """``dog``, or of DAVIS-2016's ``/JPEGImages/480p/dog/00000.jpg /Annotations/480p/dog/00000.png`` the same."""
    first = line.split()[0]
    return Path(first).parent.name if "/" in first else first


def _files(folder: Path, suffixes: frozenset[str] | set[str]) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    files = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")]
    return tuple(sorted(files, key=lambda path: natural_key(path.name)))
