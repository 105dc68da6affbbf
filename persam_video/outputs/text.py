"""Output that is one text file, written frame by frame."""

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from persam_video.errors import OutputError
from persam_video.files.atomic import create_exclusively
from persam_video.files.output_file import OutputFile
from persam_video.messages import one_line
from persam_video.result import FrameResult
from persam_video.video.reader import VideoInfo


class TextOutput(ABC):
    """Text file (UTF-8) of sections to which every frame adds. Memory does not grow with the video: sections are kept
    on the disk until they are joined at the end.

    Args:
        path: of the file.

    Attributes:
        video: whose results are written.
        count: number of frames so far.
    """

    is_folder = False
    sections = 1

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.video: VideoInfo | None = None
        self._reserved: OutputFile | None = None
        self._files: list[BinaryIO] = []
        self.count = 0

    @abstractmethod
    def frame_texts(self, result: FrameResult) -> Sequence[str]:
        """What a frame adds to each section."""

    @abstractmethod
    def layout(self) -> Iterator[str | int]:
        """The whole file: text, and numbers of sections, in their order. Asked for when all frames are written."""

    def open(self, video: VideoInfo, *, overwrite: bool) -> None:
        """See `Output.open`."""
        self._reserved = OutputFile(self.path, overwrite=overwrite)
        self.video = video

    def prepare(self, result: FrameResult) -> Callable[[], None]:
        """See `Output.prepare`."""
        texts = self.frame_texts(result)
        self.count += 1
        return partial(self._write, texts)

    def close(self) -> None:
        """See `Output.close`."""
        try:
            if self._reserved is not None and self._files:
                self._join(self._reserved)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written ({one_line(error)})") from error
        finally:
            self.discard()

    def discard(self) -> None:
        """See `Output.discard`."""
        while self._files:
            self._files.pop().close()
        if self._reserved is not None:
            self._reserved.release()

    def _write(self, texts: Sequence[str]) -> None:
        try:
            if not self._files:
                folder = self.path.resolve().parent
                self._files = [tempfile.TemporaryFile(dir=folder) for _ in range(self.sections)]  # noqa: SIM115
            for file, text in zip(self._files, texts, strict=True):
                file.write(text.encode())
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written ({one_line(error)})") from error

    def _join(self, reserved: OutputFile) -> None:
        create_exclusively(reserved.partial)
        with reserved.partial.open("wb") as joined:
            for part in self.layout():
                if isinstance(part, str):
                    joined.write(part.encode())
                else:
                    self._files[part].seek(0)
                    shutil.copyfileobj(self._files[part], joined)
        reserved.partial.replace(self.path)
