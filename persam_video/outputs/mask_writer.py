"""Masks written to disk, one label map after another."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from persam_video.errors import OutputError
from persam_video.files.palette_png import is_mask_png, write_palette_png
from persam_video.frame import LabelMap
from persam_video.messages import one_line


class MaskWriter:
    """Writes `<folder>/<name>.png`: indexed PNG with DAVIS' palette, the pixel values are the object ids.

    A file gets its name only when it is whole. For one thread at a time.

    Args:
        folder: where the masks go; it is made, with its parents, if it does not exist.
        overwrite: let the folder hold PNG files already. Its old masks (indexed PNG files with DAVIS' palette) are
            removed as soon as the first new one is on the disk, so that none of a longer run is left between the
            new ones; all other files are left alone.

    Raises:
        OutputError: the folder is a file, cannot be made or written to, or holds PNG files and `overwrite` is
            False. Nothing is changed then.
    """

    def __init__(self, folder: str | Path, *, overwrite: bool = False) -> None:
        self._folder = Path(folder)
        self._unfinished = self._folder / f".unfinished-{os.getpid()}.part"  # no .png: never taken for a mask
        self._written: set[str] = set()  # names, not paths: a film has many frames
        self._made: list[Path] = []  # the folders made here, the outermost first
        self._overwrite = overwrite
        self._closed = False
        if os.path.lexists(self._folder) and not self._folder.is_dir():
            raise OutputError(f"{self._folder} is a file; masks are written to a folder")
        if not overwrite:
            self._refuse_old_pictures()
        try:
            self._make_folder()
            self._unfinished.write_bytes(b"")
            self._unfinished.unlink()
        except OSError as error:
            self._remove_made_folders()
            raise OutputError(
                f"{self._folder} cannot be written to ({one_line(error)}); give another folder"
            ) from error

    @property
    def folder(self) -> Path:
        """Where the masks go."""
        return self._folder

    @property
    def count(self) -> int:
        """How many masks were written."""
        return len(self._written)

    def write(self, name: str, label_map: LabelMap) -> None:
        """Write one mask.

        Args:
            name: the file's name without `.png`.
            label_map: uint8, H×W; 0 = background.

        Raises:
            OutputError: the file cannot be written, would be the second one of its name, or would replace a file
                that is no mask.
            ValueError: the writer is closed, the name is none of a file, or the label map is not uint8, H×W.
        """
        if self._closed:
            raise ValueError("the mask writer is closed")
        if name in ("", ".", "..") or {"/", "\\", "\0"} & set(name):
            raise ValueError(f"{name!r} is no file name")
        path = self._path(name)
        if name in self._written:
            raise OutputError(f"{path} was written for an earlier frame; every frame needs a name of its own")
        try:
            if os.path.lexists(path) and not (self._overwrite and is_mask_png(path)):
                raise OutputError(f"{path} exists and is no old mask to be replaced; give another folder")
            with self._unfinished.open("wb") as file:
                write_palette_png(file, label_map)
            if self._overwrite and not self._written:
                self._remove_old_masks()
            self._unfinished.replace(path)
        except OSError as error:
            raise OutputError(f"{path} cannot be written ({one_line(error)})") from error
        finally:
            with suppress(OSError):
                self._unfinished.unlink(missing_ok=True)
        self._written.add(name)

    def close(self) -> None:
        """Finish; every mask is whole already. Without a mask, the folders made here go again."""
        self._closed = True
        if not self._written:
            self._remove_made_folders()

    def discard(self) -> None:
        """Remove the masks written here, and the folders made here if nothing else is in them; never raises OSError.

        Old masks that were replaced do not come back.
        """
        self._closed = True
        for name in self._written:
            with suppress(OSError):
                self._path(name).unlink(missing_ok=True)
        self._written.clear()
        self._remove_made_folders()

    def _pictures(self) -> list[Path]:
        """The PNG files that the folder holds, as a person counts them: none of the hidden ones."""
        if not self._folder.is_dir():
            return []
        files = self._folder.iterdir()
        return sorted(file for file in files if file.suffix.lower() == ".png" and not file.name.startswith("."))

    def _refuse_old_pictures(self) -> None:
        try:
            pictures = self._pictures()
        except OSError as error:
            raise OutputError(f"{self._folder} cannot be read ({one_line(error)}); give another folder") from error
        if any(is_mask_png(picture) for picture in pictures):
            raise OutputError(f"{self._folder} holds masks already; give --overwrite to replace them")
        if pictures:
            raise OutputError(
                f"{self._folder} holds PNG files that are no masks ({pictures[0].name}); give another folder"
            )

    def _remove_old_masks(self) -> None:
        for picture in self._pictures():
            if is_mask_png(picture):
                picture.unlink()

    def _make_folder(self) -> None:
        missing = [folder for folder in (self._folder, *self._folder.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            self._made.append(folder)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.png"

    def _remove_made_folders(self) -> None:
        while self._made:
            with suppress(OSError):  # not empty: somebody else's files are in it
                self._made.pop().rmdir()
