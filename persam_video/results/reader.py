"""Reading of a run's record, with the video where that is at hand."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Mapping
from dataclasses import replace
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from persam_video.errors import InputError, VideoError
from persam_video.files.images import IMAGE_SUFFIXES
from persam_video.files.json_file import shortened
from persam_video.files.regular_file import check_regular_file
from persam_video.frame import MAX_OBJECT_ID
from persam_video.inputs.names import check_names, name_fault
from persam_video.inputs.run_lengths import mask_of_runs
from persam_video.messages import one_line
from persam_video.results.record import FORMAT, FORMAT_VERSION, RunInfo
from persam_video.results.source import FrameRecord, ResultSource
from persam_video.video.reader import VideoInfo, VideoReader, open_video

logger = logging.getLogger(__name__)

_MAX_LINE = 1 << 28
_MAX_SIDE = 1 << 16
_MAX_FRAME_PIXELS = 1 << 28
_ADVICE = "give a file written by persam-track (results.jsonl)"


def load_results(
    path: str | Path,
    video: str | Path | None = None,
    *,
    names: Mapping[int, str] | str | Path | None = None,
) -> Results:
    """Results of an earlier run.

    Args:
        path: its record (`ResultsOutput`).
        video: the video that was tracked; None: it is looked for beside the record, in the folder above it, and in the
            current one.
        names: of objects by id, or a JSON file of them, instead of those in the record.
    Raises:
        InputError: the file is no record, or the video is another one or cannot be read.
    """
    return Results(path, video, names=names)


def recorded_outputs(path: Path) -> list[str] | None:
    """Names of the other outputs of the run that a record is of (`relative_names`); None: the file does not exist, or
    is no record."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.readline(_MAX_LINE))
    except (OSError, ValueError, RecursionError):
        return None
    names = content.get("outputs") if isinstance(content, dict) and content.get("format") == FORMAT else None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


class Results(ResultSource):
    """Results of an earlier run: an iterable of `FrameResult`, read from its record frame by frame.

        for result in load_results("clip_persam/results.jsonl"):
            result.frame.index, result.mask(1), result.names

    Where the video is not at hand, all images are black.

    Args: those of `load_results`.

    Attributes:
        path: the record.
        run: what the results are of: the video, settings and names.
        video: the video file, or the folder of images; None: it is not at hand.
    Raises:
        InputError: the file is no record, or the given video is another one or cannot be read.
    """

    def __init__(
        self,
        path: str | Path,
        video: str | Path | None = None,
        *,
        names: Mapping[int, str] | str | Path | None = None,
    ) -> None:
        if not isinstance(path, (str, PathLike)):
            raise InputError(f"results are of the type {type(path).__name__}; {_ADVICE}")
        super().__init__(path, video, names)
        check_regular_file(self.path, InputError, wanted="a file written by persam-track (results.jsonl)")
        with self.path.open("rb") as file:
            run = _parse_header(self.path, file.readline(_MAX_LINE))
        self.run = replace(run, names={**run.names, **self.given_names})
        if self.video is None:
            self.video = self._find_video()
        else:
            with self.open_video() as reader:
                self._check(reader)

    def _find_video(self) -> Path | None:
        """The video, if a file or folder of its name is near the record and holds the same."""
        name, folder = self.run.video.path.name, self.path.resolve().parent
        if not name or self.run.video.in_memory:
            return None
        candidates = (place / name for place in (folder, folder.parent, Path().resolve()))
        for candidate in dict.fromkeys(candidates):
            if not candidate.exists():
                continue
            try:
                with open_video(candidate, stream=self.run.video.stream) as reader:
                    self._check(reader)
            except InputError as error:
                logger.warning(f"{error}; the results are used without the video")
                continue
            return candidate
        return None

    def _check(self, reader: VideoReader) -> None:
        wanted, found = self.run.video, reader.info
        if (found.width, found.height) != (wanted.width, wanted.height):
            raise VideoError(
                f"{found.path}: is {found.width}×{found.height}, but the results {self.path} are of a video of "
                f"{wanted.width}×{wanted.height}; give that one"
            )
        sha256 = self.run.hash_video()
        if sha256 is not None and reader.content_sha256() != sha256:
            raise VideoError(
                f"{found.path}: is not the video that the results {self.path} are of (its hash differs); give that one"
            )

    def records(self) -> Generator[FrameRecord, None, None]:
        """See `ResultSource.records`. A last line that is not whole is left out with a warning."""
        latest = -1
        with self.path.open("rb") as file:
            file.readline(_MAX_LINE)
            number = 2
            while line := file.readline(_MAX_LINE):
                try:
                    record = _parse_frame(line, self.run.video)
                    if record.index <= latest:
                        raise ValueError(f"frame {record.index} comes after frame {latest}")
                except ValueError as error:
                    if not line.endswith(b"\n") and not file.read(1):
                        logger.warning(f"{self.path}: its last line is cut off and left out")
                        return
                    raise InputError(f"{self.path}: line {number} is damaged ({one_line(error)}); {_ADVICE}") from error
                latest = record.index
                number += 1
                yield record


class _ObjectLine(NamedTuple):
    """One object in a frame; `segmentation` is None where it is absent."""

    object_id: int
    name: str | None
    score: float
    segmentation: dict[str, Any] | None


def _parse_header(path: Path, line: bytes) -> RunInfo:
    """What the results are of.

    Raises:
        InputError: it is no header of a record, or of another version.
    """
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: holds no results; {_ADVICE}")
    if content.get("version") != FORMAT_VERSION:
        raise InputError(
            f"{path}: its results are of version {shortened(content.get('version'))}, this program reads version "
            f"{FORMAT_VERSION}; track again"
        )
    try:
        video = _mapping(content.get("video"), "video")
        sha256 = video.get("sha256") if isinstance(video.get("sha256"), str) else None
        info = VideoInfo(
            path=Path(Path(_text(video.get("name"), "the video's name")).name),
            width=_whole(video.get("width"), "the video's width", 1, _MAX_SIDE),
            height=_whole(video.get("height"), "the video's height", 1, _MAX_SIDE),
            time_base=_fraction(video.get("time_base"), "time_base"),
            frame_rate=None if video.get("frame_rate") is None else _fraction(video["frame_rate"], "frame_rate"),
            frame_count=None
            if video.get("frame_count") is None
            else _whole(video["frame_count"], "frame_count", 0, 10**12),
            is_images=video.get("kind") != "file",
            pixel_aspect=_fraction(video.get("pixel_aspect", "1/1"), "pixel_aspect"),
            in_memory=video.get("kind") == "frames",
            stream=None if video.get("stream") is None else _whole(video["stream"], "the stream", 0, 10**6),
            image_suffix=_suffix(video.get("image_suffix")),
        )
        if info.width * info.height > _MAX_FRAME_PIXELS:
            raise ValueError(f"its frames are {info.width}×{info.height}, more than {_MAX_FRAME_PIXELS:,} pixels")
        return RunInfo(
            info,
            hash_video=lambda: sha256,
            settings=_mapping(content.get("settings") or {}, "settings"),
            names=check_names(_mapping(content.get("names") or {}, "names"), source="its "),
        )
    except ValueError as error:
        raise InputError(f"{path}: its first line is damaged ({one_line(error)}); {_ADVICE}") from error


def _parse_frame(line: bytes, video: VideoInfo) -> FrameRecord:
    """A frame's line; ValueError where it is damaged."""
    try:
        content = _mapping(json.loads(line), "a frame")
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    index = _whole(content.get("frame"), "the frame's number", 0, 10**12)
    name = _text(content.get("name"), "the frame's name")
    if {"/", "\\", "\0"} & set(name) or name in (".", ".."):
        raise ValueError(f"{shortened(name)} is not the name of a frame")
    has_time = content.get("time") is not None
    pts = round(_fraction(content["time"], "time", positive=False) / video.time_base) if has_time else None
    entries = content.get("objects")
    if not isinstance(entries, list):
        raise ValueError("it has no objects")
    objects = tuple(map(_parse_object, entries))
    if len({each.object_id for each in objects}) < len(objects):
        raise ValueError("an object comes twice")
    label_map = np.zeros((video.height, video.width), np.uint8)
    for each in objects:
        if each.segmentation is not None:
            mask = mask_of_runs(each.segmentation, width=video.width, height=video.height)
            if label_map[mask].any():
                raise ValueError(f"object {each.object_id} overlaps another one")
            label_map[mask] = each.object_id
    scores = {each.object_id: each.score for each in objects}
    names = {each.object_id: each.name for each in objects if each.name is not None}
    return FrameRecord(index, name, label_map, scores, names, pts, video.time_base if has_time else None)


def _parse_object(value: object) -> _ObjectLine:
    entry = _mapping(value, "an object")
    object_id = _whole(entry.get("id"), "an object's id", 1, MAX_OBJECT_ID)
    name, score = entry.get("name"), entry.get("score")
    if name is not None and (fault := name_fault(name)):
        raise ValueError(f"the name of object {object_id} {fault}")
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not 0 <= score <= 1:
        raise ValueError(f"the score of object {object_id} is {shortened(score)}, not a number from 0 to 1")
    mask = entry.get("mask")
    if mask is not None and not isinstance(_mapping(mask, f"the mask of object {object_id}").get("counts"), str):
        raise ValueError(f"the mask of object {object_id} has no counts")
    return _ObjectLine(object_id, name, float(score), mask)


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is missing")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{what} is missing")
    return value


def _suffix(value: object) -> str:
    if not isinstance(value, str) or value.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"the suffix of images is {shortened(value)}")
    return value


def _whole(value: object, what: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{what} is {shortened(value)}, not a whole number from {least} to {most}")
    return value


def _fraction(value: object, what: str, *, positive: bool = True) -> Fraction:
    """A fraction such as ``1/25``."""
    numerator, slash, denominator = value.partition("/") if isinstance(value, str) else ("", "", "")
    is_valid = slash and len(numerator) < 20 and denominator.isascii() and denominator.isdecimal()
    try:
        fraction = Fraction(int(numerator), int(denominator)) if is_valid and len(denominator) < 20 else None
    except (ValueError, ZeroDivisionError):
        fraction = None
    if fraction is None or (positive and fraction <= 0):
        raise ValueError(f"{what} is {shortened(value)}, not a fraction such as 1/25")
    return fraction
