"""Inputs and outputs that are the same file, refused before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from persam_video.errors import OutputError


@dataclass(frozen=True, slots=True)
class InputPath:
    """File or folder that is read.

    Args:
        path: where it is.
        is_mask: whether it is an image file of masks, which a folder of masks must not hold.
    """

    path: Path
    is_mask: bool = False


@dataclass(frozen=True, slots=True)
class OutputPath:
    """File or folder that is written.

    Args:
        path: where it will be.
        is_folder: whether it is a folder, in which files of any name are written and old masks are replaced.
    """

    path: Path
    is_folder: bool = False


def refuse_overlaps(inputs: Iterable[InputPath], outputs: Sequence[OutputPath]) -> None:
    """Refuse outputs that would replace an input, or one another.

    Links are followed. A folder of outputs may hold other outputs, and inputs that are no masks.

    Raises:
        OutputError: an output is an input or holds one, or two outputs are the same or one lies in a file.
        OSError: a path cannot be looked up.
    """
    keys = [_key(output.path) for output in outputs]
    for given in inputs:
        key, folder_key = _key(given.path), _key(given.path.parent) if given.is_mask else None
        for output, output_key in zip(outputs, keys, strict=True):
            if output_key == key:
                raise OutputError(f"{output.path}: is an input; name another place for the output")
            if output.is_folder and output_key == folder_key:
                raise OutputError(f"{output.path}: holds the input {given.path}; name another place for the output")
    for (first, first_key), (second, second_key) in combinations(zip(outputs, keys, strict=True), 2):
        if first_key == second_key:
            raise OutputError(f"{second.path}: is given as two outputs; name another place for one of them")
        for outer, inner in ((first, second), (second, first)):
            if not outer.is_folder and outer.path.resolve() in inner.path.resolve().parents:
                kind = "a folder" if outer.path.is_dir() else "a file"
                raise OutputError(f"{inner.path}: lies in {outer.path}, which is {kind}; name another place for one")


def _key(path: Path) -> Path | tuple[int, int]:
    """Key by which a file is recognised: its device and inode, which all its names share; where it does not exist, its
    path without links."""
    for name in (path, resolved := path.resolve()):  # the latter also where .. follows a folder that does not exist
        with suppress(FileNotFoundError, NotADirectoryError):
            status = name.stat()
            return status.st_dev, status.st_ino
    return resolved
