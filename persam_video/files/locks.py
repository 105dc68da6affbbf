"""Locks of outputs, so that two runs do not write to the same one."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from persam_video.errors import OutputError
from persam_video.files.atomic import hidden_path

if sys.platform != "win32":  # outputs are not locked there
    import fcntl

_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_POLL_SECONDS = 0.05


class OutputLock:
    """Lock of a file or folder that is written, held from its creation to `release`, and not longer than its process.

    Of a folder it is the lock of the folder itself, of a file that of an empty hidden file beside it, which is removed
    at the end. On file systems without locks nothing is locked. (The package ``filelock`` would leave its file behind.)

    Args:
        path: the output. Its folder, or the output itself if that is a folder, must exist.

    Raises:
        OutputError: another run writes to it.
        OSError: the lock's file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self._file = None if path.is_dir() else _lock_file(path)
        descriptor = _lock_folder(path) if self._file is None else _lock(self._file)
        if descriptor is None:
            raise OutputError(f"{path}: another run is writing to it; wait for its end, or give another output")
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Release the lock and remove its file. May be repeated; never raises OSError."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if self._file is not None:
            with suppress(OSError):  # while it is held: what another run makes afterwards is not touched
                self._file.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def exclusive(path: Path) -> Generator[None, None, None]:
    """Hold the lock of a file while the block changes it; waits for other processes that do so.

    Raises:
        OSError: the lock's file cannot be created.
    """
    file = _lock_file(path)
    while (descriptor := _lock(file)) is None:
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)
        os.close(descriptor)


def _lock_file(path: Path) -> Path:
    return hidden_path(path.resolve(), ".lock")


def _lock_folder(folder: Path) -> int | None:
    """Descriptor of a folder that is held; None if another one holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    if _hold(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _lock(file: Path) -> int | None:
    """Descriptor of a lock file that is held; None if another one holds it."""
    while True:
        descriptor = os.open(file, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o666)
        is_held = _hold(descriptor)
        if is_held and _is_current(descriptor, file):
            return descriptor
        os.close(descriptor)
        if not is_held:
            return None  # else its holder removed it just now


def _hold(descriptor: int) -> bool:
    """Lock an open file; False if it is locked already."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in _HELD  # others: a file system without locks
    return True


def _is_current(descriptor: int, file: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False
