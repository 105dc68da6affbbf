"""Atomic writing: a file gets its name only when it is complete."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from persam_video.errors import OutputError
from persam_video.messages import one_line, parameter


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file of text (in UTF-8) or bytes, and its folder where that is missing.

    Raises:
        OutputError: it cannot be written; an existing file of that name stays as it is.
    """
    check_writable(path)
    path = path.resolve()  # a symbolic link stays one
    partial, folders = partial_path(path), CreatedFolders()
    try:
        folders.create(path.parent)
        with renamed_when_complete(partial, path):
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        folders.remove_empty()
        raise OutputError(f"{path} cannot be written ({one_line(error)}); give another file") from error


def check_writable(path: Path, *, overwrite: bool = True) -> None:
    """Refuse, before long work, a path where no file can be written after it.

    Args:
        overwrite: whether the file may exist already.

    Raises:
        OutputError: the file exists, the path is not one of a file, or its folder is not writable.
    """
    if not overwrite and path.is_file():
        raise OutputError(f"{path} exists already; give {parameter('overwrite', True)} to replace it")
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise OutputError(f"{path} cannot be written (it is {kind}); give the name of a file")
    folder = next(each for each in path.resolve().parents if each.exists())
    if not folder.is_dir():
        raise OutputError(f"{path} cannot be written ({folder} is a file, not a folder); give another file")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{path} cannot be written ({folder} is not writable); give another file")


def partial_path(path: Path) -> Path:
    """Hidden name beside a file, private to this process, under which the file is written until it is complete."""
    return path.with_name(f".{path.name}-{os.getpid()}.part")


@contextmanager
def renamed_when_complete(partial: Path, path: Path) -> Generator[None, None, None]:
    """Rename ``partial``, which the block writes, to ``path``; remove it where the block raises."""
    try:
        yield
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


class CreatedFolders:
    """Folders created for an output, so that they can be removed again where nothing was written."""

    def __init__(self) -> None:
        self._created: list[Path] = []  # the outermost first

    def create(self, folder: Path) -> None:
        """Create a folder and its parents where they are missing.

        Raises:
            OSError: one of them cannot be created; `remove_empty` removes the others.
        """
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            self._created.append(each)

    def remove_empty(self) -> None:
        """Remove the created folders, but those that hold other files. May be repeated."""
        while self._created:
            with suppress(OSError):  # not empty
                self._created.pop().rmdir()
