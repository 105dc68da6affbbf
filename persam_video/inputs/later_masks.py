"""Masks of later frames: of objects that appear there, and corrections of those that are tracked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from persam_video.errors import AnnotationError
from persam_video.frame import Frame, LabelMap
from persam_video.inputs.first_mask import load_first_masks


class LaterMasks:
    """Masks by the number of their frame.

    Each is read and checked when this is made, and read again when its frame comes, so that a whole folder of masks
    takes no memory.

    Args:
        files: frames' numbers, from 0, and their masks' files (as for `load_first_masks`).
        width, height: the video's, in pixels.
    Raises:
        AnnotationError: a mask cannot be used, or a frame has two.
    """

    def __init__(self, files: Iterable[tuple[int, Path]], *, width: int, height: int) -> None:
        self._size = {"width": width, "height": height}
        self._files: dict[int, Path] = {}
        for frame, path in files:
            if frame in self._files:
                raise AnnotationError(f"frame {frame} has two masks, {self._files[frame]} and {path}; give one")
            load_first_masks([path], **self._size)
            self._files[frame] = path

    def take(self, frame: Frame) -> LabelMap | None:
        """The mask of a frame, once."""
        path = self._files.pop(frame.index, None)
        return None if path is None else load_first_masks([path], **self._size)

    @property
    def left(self) -> tuple[int, ...]:
        """The frames whose masks were not taken."""
        return tuple(sorted(self._files))


def masks_in(folder: Path) -> list[tuple[int, Path]]:
    """The masks of a folder, each named by its frame's number: ``00012.png`` for frame 12.

    Raises:
        AnnotationError: there is none, or one has another name.
    """
    paths = sorted(path for path in folder.glob("*.png") if not path.name.startswith("."))
    if not paths:
        raise AnnotationError(f"{folder}: holds no mask; it should hold PNGs named by frame, like 00012.png")
    for path in paths:
        if not path.stem.isdecimal():
            raise AnnotationError(f"{path}: is not named by its frame; name it like 00012.png")
    return [(int(path.stem), path) for path in paths]
