"""A file that a run writes, reserved for it from the beginning to the end of the run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from persam_video.errors import OutputError
from persam_video.files.atomic import CreatedFolders, check_writable, partial_path, remove_dead_partials
from persam_video.files.locks import OutputLock
from persam_video.messages import one_line


class OutputFile:
    """Reserved name of a file: checked, its folder created, locked, and what dead runs left of it removed.

    Args:
        path: of the file.
        overwrite: whether it may exist.

    Attributes:
        path: of the file.
        partial: where to write it until it is complete (`partial_path`).
    Raises:
        OutputError: it exists, it cannot be written there, or another run writes to it; nothing is left behind.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        check_writable(path, overwrite=overwrite)
        self.path = path
        self.partial = partial_path(path)
        self._lock: OutputLock | None = None
        self._folders = CreatedFolders()
        try:
            self._folders.create(path.parent)
            self._lock = OutputLock(path)
            check_writable(path, overwrite=overwrite)  # another run may just have finished
            remove_dead_partials(path)
        except OSError as error:
            self.release()
            raise OutputError(f"{path} cannot be written ({one_line(error)}); give another file") from error
        except BaseException:
            self.release()
            raise

    def remove_partial(self) -> None:
        """Remove what was written of the file so far."""
        if self._lock is not None:  # else it is another writer's
            with suppress(OSError):
                self.partial.unlink(missing_ok=True)

    def release(self) -> None:
        """Give the name back: remove what is not complete, and created folders that are empty. May be repeated; never
        raises OSError."""
        self.remove_partial()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        self._folders.remove_empty()
