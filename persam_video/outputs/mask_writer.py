"""Writing of masks: one label map after another into a folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from persam_video.errors import OutputError
from persam_video.files.atomic import (
    CreatedFolders,
    create_exclusively,
    partial_path,
    remove_dead_partials,
    renamed_when_complete,
)
from persam_video.files.images import image_files, natural_key
from persam_video.files.locks import OutputLock
from persam_video.files.palette_png import is_mask_png, write_palette_png
from persam_video.frame import LabelMap
from persam_video.messages import one_line, parameter


class MaskWriter:
    """Writer of `<folder>/<name>.png`: indexed PNG with DAVIS' palette, whose pixel values are the object ids.

    A file gets its name only when it is complete. For one thread at a time.

    Args:
        folder: where the masks are written; it is created, with its parents, if it does not exist.
        overwrite: let the folder hold PNG files already. Its old masks (indexed PNG files with DAVIS' palette) are
            removed as soon as the first new one is on the disk, so that none of a longer run is left between the new
            ones; all other files are left alone.
        keep_earlier: leave the old masks alone whose names come before the first new one's, in natural order: the
            video is not written from its beginning.
        keep_later: the same of those after the last new one: the video is not written up to its end.

    Raises:
        OutputError: the folder is a file, cannot be created or written to, holds PNG files and `overwrite` is False,
            or another run writes to it. Nothing is changed then.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        overwrite: bool = False,
        keep_earlier: bool = False,
        keep_later: bool = False,
    ) -> None:
        self._folder = Path(folder)
        self._partial = partial_path(self._folder / "mask")  # one for all masks: long names leave no room for more
        self._written: set[str] = set()  # names, not paths: a film has many frames
        self._created = CreatedFolders()
        self._overwrite = overwrite
        self._keep_earlier, self._keep_later = keep_earlier, keep_later
        self._old_masks: list[Path] | None = None  # to be removed, in reverse order; None: not listed yet
        self._closed = False
        self._lock: OutputLock | None = None
        try:
            self._open()
        except OSError as error:
            self._release()
            raise OutputError(
                f"{self._folder} cannot be written to ({one_line(error)}); give another folder"
            ) from error
        except BaseException:
            self._release()
            raise

    @property
    def folder(self) -> Path:
        """Folder of the masks."""
        return self._folder

    @property
    def count(self) -> int:
        """Number of masks written."""
        return len(self._written)

    def write(self, name: str, label_map: LabelMap) -> None:
        """Write one mask.

        Args:
            name: the file's name without `.png`.
            label_map: uint8, H×W; 0 = background.

        Raises:
            OutputError: the file cannot be written, would be the second one of its name, or would replace a file
                that is not a mask.
            ValueError: the writer is closed, the name is not one of a file, or the label map is not uint8, H×W.
        """
        if self._closed:
            raise ValueError("the mask writer is closed")
        if name in ("", ".", "..") or {"/", "\\", "\0"} & set(name):
            raise ValueError(f"{name!r} is not a file name")
        path = self._path(name)
        if name in self._written:
            raise OutputError(f"{path} was written for an earlier frame; every frame needs a name of its own")
        try:
            if os.path.lexists(path) and not (self._overwrite and is_mask_png(path)):
                raise OutputError(f"{path} exists and is not an old mask to be replaced; give another folder")
            create_exclusively(self._partial)
            with renamed_when_complete(self._partial, path), self._partial.open("wb") as file:
                write_palette_png(file, label_map)
            self._written.add(name)
            if self._overwrite:
                self._remove_old_masks(name)
        except OSError as error:
            raise OutputError(f"{path} cannot be written ({one_line(error)})") from error

    def close(self) -> None:
        """Finish; every mask is complete already. If none was written, remove the folders created for them."""
        self._closed = True
        self._release()

    def discard(self) -> None:
        """Remove the masks written here, and the folders created for them if nothing else is in them.

        Old masks that were replaced are not restored. Never raises OSError.
        """
        self._closed = True
        for name in self._written:
            with suppress(OSError):
                self._path(name).unlink(missing_ok=True)
        self._written.clear()
        self._release()

    def _open(self) -> None:
        if os.path.lexists(self._folder) and not self._folder.is_dir():
            raise OutputError(f"{self._folder} is a file; masks are written to a folder")
        if not self._overwrite:
            self._refuse_existing_files()
        self._created.create(self._folder)
        self._lock = OutputLock(self._folder)
        if not self._overwrite:
            self._refuse_existing_files()  # another run may just have finished
        remove_dead_partials(self._partial.with_name("mask"))
        create_exclusively(self._partial)
        self._partial.unlink()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        self._created.remove_empty()  # they are not empty where something was written

    def _png_files(self) -> list[Path]:
        return image_files(self._folder.iterdir(), {".png"}) if self._folder.is_dir() else []

    def _refuse_existing_files(self) -> None:
        try:
            files = self._png_files()
        except OSError as error:
            raise OutputError(f"{self._folder} cannot be read ({one_line(error)}); give another folder") from error
        if any(is_mask_png(file) for file in files):
            raise OutputError(
                f"{self._folder} holds masks already; give {parameter('overwrite', True)} to replace them"
            )
        if files:
            raise OutputError(
                f"{self._folder} holds PNG files that are not masks ({files[0].name}); give another folder"
            )

    def _remove_old_masks(self, name: str) -> None:
        """Remove the old masks that new ones stand for, once the mask ``name`` is on the disk."""
        last = natural_key(f"{name}.png")
        if self._old_masks is None:
            from_first = [
                file for file in self._png_files() if not self._keep_earlier or natural_key(file.name) >= last
            ]
            self._old_masks = [file for file in reversed(from_first) if is_mask_png(file)]
        while self._old_masks and (not self._keep_later or natural_key(self._old_masks[-1].name) <= last):
            old_mask = self._old_masks.pop()
            if old_mask.stem not in self._written:
                old_mask.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.png"
