"""A folder that a run writes, reserved for it from the beginning to the end of the run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from persam_video.errors import OutputError
from persam_video.files.atomic import CreatedFolders, hidden_path, partial_path, remove_dead_partials
from persam_video.files.locks import OutputLock
from persam_video.messages import one_line, parameter


class OutputFolder:
    """Reserved name of a folder: checked, locked, and what dead runs left of it removed.

    Args:
        path: of the folder.
        overwrite: whether it may exist with the files of an earlier run in it, which are replaced.
        is_own: whether a file, by its path within the folder, is one that a run writes there; a folder with others is
            refused.

    Attributes:
        path: of the folder.
        partial: folder to write to until all is complete (`complete`); it exists.
    Raises:
        OutputError: it exists, it cannot be written there, or another run writes to it; nothing is left behind.
    """

    def __init__(self, path: Path, *, overwrite: bool, is_own: Callable[[Path], bool]) -> None:
        self.path = path
        self.partial = partial_path(path)
        self._overwrite, self._is_own = overwrite, is_own
        self._lock: OutputLock | None = None
        self._folders = CreatedFolders()
        try:
            self._check()
            self._folders.create(path.parent)
            self._lock = OutputLock(path)
            self._check()  # another run may just have finished
            remove_dead_partials(path)
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir()
        except OSError as error:
            self.release()
            raise OutputError(f"{path} cannot be written ({one_line(error)}); give another folder") from error
        except BaseException:
            self.release()
            raise

    def complete(self) -> None:
        """Give the folder its name.

        Raises:
            OSError: it cannot be renamed.
        """
        self._check()
        old = hidden_path(self.path, ".old")
        if self.path.exists():
            shutil.rmtree(old, ignore_errors=True)
            self.path.rename(old)
        self.partial.rename(self.path)
        shutil.rmtree(old, ignore_errors=True)

    def release(self) -> None:
        """Give the name back: remove what is not complete, and created folders that are empty. May be repeated; never
        raises OSError."""
        if self._lock is not None:
            with suppress(OSError):
                shutil.rmtree(self.partial)
            self._lock.release()
            self._lock = None
        self._folders.remove_empty()

    def _check(self) -> None:
        if not self.path.name:
            raise OutputError(f"{self.path} cannot be written; give the name of a new folder")
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise OutputError(f"{self.path} is a file; give a folder")
        files = (each for each in sorted(self.path.rglob("*")) if not each.is_dir())
        first = next(files, None)
        if first is not None and not self._overwrite:
            raise OutputError(f"{self.path} holds files already; give {parameter('overwrite', True)} to replace them")
        for each in (first, *files):
            if each is not None and not self._is_own(each.relative_to(self.path)):
                raise OutputError(f"{self.path} holds another file ({each.name}), which is kept; give another folder")
