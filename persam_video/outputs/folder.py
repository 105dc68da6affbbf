"""Output that is a folder of files, which gets its name when all of them are written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy.typing as npt

from persam_video.errors import OutputError
from persam_video.files.output_folder import OutputFolder
from persam_video.frame import Image
from persam_video.messages import one_line
from persam_video.result import FrameResult
from persam_video.video.reader import VideoInfo


class FolderOutput(ABC):
    """Folder of files, some for each frame and some for all.

    Args:
        path: of the folder.

    Attributes:
        video: whose results are written.
        count: number of frames so far.
        own: patterns of the files that are written; a folder that holds others is not replaced.
    """

    is_folder = True
    own: tuple[str, ...] = ()

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.video: VideoInfo | None = None
        self._reserved: OutputFolder | None = None
        self.count = 0

    @abstractmethod
    def frame_files(self, result: FrameResult) -> Mapping[str, bytes]:
        """Content of a frame's own files, by their paths within the folder."""

    def frame_lines(self, result: FrameResult) -> Mapping[str, str]:
        """Text that a frame adds to files of all frames, by their paths; asked for after `frame_files`."""
        return {}

    def last_lines(self) -> Mapping[str, str]:
        """Text at the end of files of all frames."""
        return {}

    def open(self, video: VideoInfo, *, overwrite: bool) -> None:
        """See `Output.open`."""
        self._reserved = OutputFolder(self.path, overwrite=overwrite, is_own=self.is_own)
        self.video = video

    def prepare(self, result: FrameResult) -> Callable[[], None]:
        """See `Output.prepare`."""
        files, lines = self.frame_files(result), self.frame_lines(result)
        self.count += 1
        return partial(self._write, files, lines)

    def close(self) -> None:
        """See `Output.close`."""
        try:
            if self._reserved is not None and self.count:
                self._write({}, self.last_lines())
                self._reserved.complete()
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written ({one_line(error)})") from error
        finally:
            self.discard()

    def discard(self) -> None:
        """See `Output.discard`."""
        self.count = 0
        if self._reserved is not None:
            self._reserved.release()

    def _write(self, files: Mapping[str, bytes], lines: Mapping[str, str]) -> None:
        try:
            for name, content in files.items():
                with self._path(name).open("xb") as file:
                    file.write(content)
            for name, text in lines.items():
                with self._path(name).open("ab") as file:
                    file.write(text.encode())
        except FileExistsError as error:
            raise OutputError(f"{self.path}: two frames have the same name; every frame needs its own") from error
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written ({one_line(error)})") from error

    def _path(self, name: str) -> Path:
        assert self._reserved is not None, "the output is not open"
        path = self._reserved.partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def is_own(self, path: Path) -> bool:
        """Whether a file, by its path within the folder, is one that is written here."""
        return any(len(path.parts) == pattern.count("/") + 1 and path.match(pattern) for pattern in self.own)


def encode_jpeg(image: Image, quality: int = 95) -> bytes:
    """JPEG file of an RGB image."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return _encoded(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(pixels: npt.NDArray[Any], level: int = 1) -> bytes:
    """PNG file of an image whose channels are in OpenCV's order: grey (8 or 16 bits), BGR or BGRA."""
    return _encoded(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, level])


def _encoded(suffix: str, pixels: npt.NDArray[Any], options: list[int]) -> bytes:
    is_encoded, content = cv2.imencode(suffix, pixels, options)
    if not is_encoded:
        raise OutputError(
            f"an image of {pixels.shape[1]}×{pixels.shape[0]} cannot be written as {suffix}; give smaller frames"
        )
    return content.tobytes()
