"""Results that are kept in files, as a run's results with the images of its video."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from persam_video.errors import InputError
from persam_video.frame import Frame, LabelMap
from persam_video.inputs.names import check_names
from persam_video.messages import parameter
from persam_video.result import FrameResult
from persam_video.results.coco import CocoEntries
from persam_video.results.record import RunInfo
from persam_video.video.reader import VideoInfo, VideoReader, open_video


@dataclass(frozen=True, eq=False, slots=True)
class FrameRecord:
    """What is kept of a frame's result: all but the image.

    Args:
        index: number of the frame.
        name: of the frame (`Frame.name`).
        label_map: uint8, H×W.
        scores: of all objects, by id.
        names: of the objects that have one in the files, by id.
        pts: `Frame.pts`.
        time_base: `Frame.time_base`.
    """

    index: int
    name: str
    label_map: LabelMap
    scores: Mapping[int, float]
    names: Mapping[int, str] = field(default_factory=dict)
    pts: int | None = None
    time_base: Fraction | None = None


class ResultSource(ABC):
    """Results that are kept in files, an iterable of `FrameResult`.

    Args:
        path: of the results.
        video: the video file or folder of images; None: it is not at hand, and images are black.
        names: of objects by id, or a JSON file of them, instead of those in the files.

    Attributes:
        path: of the results.
        run: what they are of.
        video: the video file or folder of images; None: it is not at hand.
        given_names: names of objects by id that replace those in the files.
    """

    run: RunInfo

    def __init__(
        self, path: str | Path, video: str | Path | None, names: Mapping[int, str] | str | Path | None
    ) -> None:
        self.path = Path(path)
        self.video = None if video is None else Path(video)
        self.given_names: Mapping[int, str] = check_names(names)
        self._names_file = Path(names) if isinstance(names, (str, PathLike)) else None

    @property
    def inputs(self) -> Sequence[Path]:
        """Files and folders that are read."""
        return [path for path in (self.path, self.video, self._names_file) if path is not None]

    @abstractmethod
    def records(self) -> Generator[FrameRecord, None, None]:
        """Records of all frames, in order.

        Raises:
            InputError: one cannot be read, or does not fit the others.
        """

    def __repr__(self) -> str:
        video = self.run.video
        return f"{type(self).__name__}({str(self.path)!r}, of {video.path.name}, {video.width}×{video.height})"

    def __iter__(self) -> Iterator[FrameResult]:
        """Results of all frames.

        Raises:
            InputError: a record is damaged, or the video has no such frame.
            DamagedVideoError: the video is damaged.
        """
        with self.opened() as (_, results):
            yield from results

    def to_coco(self) -> dict[str, Any]:
        """All results in COCO's instance format, as `CocoOutput` writes them: images, annotations and categories."""
        entries = CocoEntries(self.run.video)
        images, annotations = [], []
        for record in self.results_without_images():
            image, found = entries.of(record)
            images.append(image)
            annotations += found
        return {"info": entries.info, "images": images, "annotations": annotations, "categories": entries.categories}

    @contextmanager
    def opened(self) -> Generator[tuple[VideoInfo, Iterator[FrameResult]], None, None]:
        """The video's properties, with its audio where it is at hand, and the results of all frames."""
        if self.video is None:
            yield self.run.video, self.results_without_images()
            return
        with self.open_video() as reader:
            found = reader.info
            info = replace(self.run.video, path=found.path, media=found.media, stream=found.stream)
            yield info, self._with_images(reader)

    def open_video(self) -> VideoReader:
        """The video, opened.

        Raises:
            InputError: it is not at hand, or cannot be read.
        """
        if self.video is None:
            raise InputError(
                f"{self.path}: its video {self.run.video.path.name} is not at hand; give it with {parameter('video')}"
            )
        return open_video(self.video, stream=self.run.video.stream)

    def results_without_images(self) -> Iterator[FrameResult]:
        """Results of all frames, with black images, so that the video is not read."""
        shape = self.run.video.height, self.run.video.width, 3
        black = np.broadcast_to(np.zeros((), np.uint8), shape)
        for record in self.records():
            yield self._result(record, Frame(record.index, black, record.name, record.pts, record.time_base))

    def _with_images(self, reader: VideoReader) -> Iterator[FrameResult]:
        frames = iter(reader)
        for record in self.records():
            frame = next((each for each in frames if each.index >= record.index), None)
            if frame is None or frame.index != record.index:
                raise InputError(
                    f"{self.video}: has no frame {record.index}, of which there are results in {self.path}; give the "
                    "video that was tracked"
                )
            yield self._result(record, replace(frame, name=record.name))

    def _result(self, record: FrameRecord, frame: Frame) -> FrameResult:
        names = {**record.names, **self.given_names}
        return FrameResult.of(frame, record.label_map, record.scores, names)
