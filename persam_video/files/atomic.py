"""Atomic writing: a file gets its name only when it is complete.

Until then it has a hidden name beside its own with the process's id in it. It is created exclusively, so that no link
of that name is followed, and is removed by the next run if its process has died.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from persam_video.errors import OutputError
from persam_video.messages import one_line, parameter

_MAX_NAME_BYTES = 255
_PARTIAL = ".part"


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file of text (in UTF-8) or bytes, and its folder where that is missing.

    Raises:
        OutputError: it cannot be written; an existing file of that name stays as it is.
    """
    check_writable(path)
    folders = CreatedFolders()
    try:
        path = path.resolve()  # a symbolic link stays one
        folders.create(path.parent)
        remove_dead_partials(path)
        partial = partial_path(path)
        create_exclusively(partial)
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
    if not path.name:
        raise OutputError(f"{path} cannot be written (it is a folder); give the name of a file")
    try:
        found = path.stat() if path.exists() else None
        target = path.resolve()
        with suppress(FileNotFoundError, NotADirectoryError):
            target.lstat()  # raises for a name that is too long
        folder = next(each for each in target.parents if each.exists())
        is_writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({one_line(error)}); give another file") from error
    if found is not None and stat.S_ISREG(found.st_mode) and not overwrite:
        raise OutputError(f"{path} exists already; give {parameter('overwrite', True)} to replace it")
    if found is not None and not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise OutputError(f"{path} cannot be written (it is {kind}); give the name of a file")
    if not folder.is_dir():
        raise OutputError(f"{path} cannot be written ({folder} is a file, not a folder); give another file")
    if not is_writable:
        raise OutputError(f"{path} cannot be written ({folder} is not writable); give another file")


def partial_path(path: Path) -> Path:
    """Hidden name beside a file, private to this process, under which the file is written until it is complete."""
    return hidden_path(path, f"-{os.getpid()}{_PARTIAL}")


def hidden_path(path: Path, suffix: str) -> Path:
    """Hidden name beside a file: its own with a suffix, or a digest of it where that would be too long."""
    hidden = f".{path.name}{suffix}"
    if len(os.fsencode(hidden)) > _MAX_NAME_BYTES:
        hidden = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}{suffix}"
    return path.with_name(hidden)


def create_exclusively(partial: Path) -> None:
    """Create an empty file that was not there; what has the name, a link for example, is removed.

    Raises:
        OSError: it cannot be created.
    """
    with suppress(FileNotFoundError):
        partial.unlink()
    partial.touch(exist_ok=False)


def remove_dead_partials(path: Path) -> None:
    """Remove what processes that have died left of a file (`partial_path`)."""
    names = re.escape(hidden_path(path, "-PID").name).replace("PID", r"(\d+)") + re.escape(_PARTIAL)
    with suppress(OSError):
        for each in path.parent.iterdir():
            found = re.fullmatch(names, each.name)
            if found is not None and not _is_running(int(found[1])):
                with suppress(OSError):
                    shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is another user's
        return True
    return True


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
