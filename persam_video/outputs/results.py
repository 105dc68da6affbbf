"""Record of a run: everything about every object of every frame, in one file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import FileIO
from pathlib import Path

from persam_video.errors import OutputError
from persam_video.files.atomic import create_exclusively
from persam_video.files.output_file import OutputFile
from persam_video.messages import one_line
from persam_video.result import FrameResult
from persam_video.results.record import RunInfo, frame_line, header_line
from persam_video.video.reader import VideoInfo


class ResultsOutput:
    """Record of a run as JSON Lines (docs/results.md): what it is of, then a line for each frame.

    `load_results` reads it. It has its name from the first frame on, and grows by whole lines.
    """

    is_folder = False

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._reserved: OutputFile | None = None
        self._run: RunInfo | None = None
        self._file: FileIO | None = None

    def open(self, video: VideoInfo, *, overwrite: bool) -> None:
        """See `Output.open`."""
        self._reserved = OutputFile(self.path, overwrite=overwrite)
        self._run = RunInfo(video)

    def begin(self, run: RunInfo) -> None:
        """See `RunOutput.begin`."""
        self._run = run

    def prepare(self, result: FrameResult) -> Callable[[], None]:
        """See `Output.prepare`."""
        return partial(self._write, frame_line(result))

    def close(self) -> None:
        """See `Output.close`."""
        if self._file is not None:
            self._file.close()
        if self._reserved is not None:
            self._reserved.release()

    discard = close  # every line that was written is whole

    def _write(self, line: bytes) -> None:
        try:
            if self._file is None:
                self._file = self._begin_file()
            _append(self._file, line)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written ({one_line(error)})") from error

    def _begin_file(self) -> FileIO:
        assert self._reserved is not None and self._run is not None, "the output is not open"
        partial_file = self._reserved.partial
        create_exclusively(partial_file)
        file = FileIO(partial_file, "a")
        try:
            _append(file, header_line(self._run, self.path))
            partial_file.replace(self.path)
        except BaseException:
            file.close()
            raise
        return file


def _append(file: FileIO, line: bytes) -> None:
    """Write a line, at once, so that a process that ends leaves whole lines."""
    view = memoryview(line)
    while view:
        view = view[file.write(view) :]
