"""Writing of results that are kept in files, in other formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from persam_video.errors import InputError
from persam_video.files.overlaps import InputPath
from persam_video.messages import printable
from persam_video.outputs.base import (
    Output,
    OutputThreads,
    begin_outputs,
    check_outputs,
    discard_outputs,
    open_outputs,
    refuse_output_overlaps,
    warn_of_unknown_objects,
)
from persam_video.results.mask_folder import MaskFolder
from persam_video.results.reader import load_results
from persam_video.results.source import ResultSource


def open_results(
    path: str | Path, video: str | Path | None = None, *, names: Mapping[int, str] | str | Path | None = None
) -> ResultSource:
    """Results of a record (`load_results`), of the folder that holds it, or of a folder of masks (`MaskFolder`).

    Args:
        path: of the record or the folder.
        video: of the results; None: that of a record is looked for near it.
        names: of objects by id, or a JSON file of them, instead of those in the record.
    Raises:
        InputError: it holds no results, or the video is another one or cannot be read.
    """
    for name, value in (("results", path), ("video", video)):
        if not (isinstance(value, (str, PathLike)) or (name == "video" and value is None)):
            raise InputError(f"{name} are of the type {type(value).__name__}; give the path of a file or folder")
    record = Path(path) / "results.jsonl"
    if record.is_file():
        return load_results(record, video, names=names)
    if Path(path).is_dir():
        return MaskFolder(path, video, names=names)
    return load_results(path, video, names=names)


def export(
    source: ResultSource | str | Path,
    outputs: Sequence[Output],
    *,
    overwrite: bool = False,
    progress: bool = False,
    on_frame: Callable[[], None] | None = None,
) -> int:
    """Write results to outputs, and return the number of frames. Where that fails or is interrupted nothing is written,
    and outputs of before stay as they are.

    Args:
        source: the results, or their path (`open_results`).
        outputs: such as `CocoOutput`; see `persam_video.outputs.formats.FORMATS`.
        overwrite: replace outputs that exist.
        progress: show a bar on stderr.
        on_frame: called after each frame.
    Raises:
        InputError: the results cannot be read, or an output cannot be written.
        DamagedVideoError: the video is damaged.
    """
    if isinstance(source, (str, PathLike)):
        source = open_results(source)
    check_outputs(outputs)
    refuse_output_overlaps(map(InputPath, source.inputs), outputs)
    count = 0
    object_ids: set[int] = set()
    with source.opened() as (info, results):
        open_outputs(outputs, info, overwrite=overwrite)
        try:
            begin_outputs(outputs, source.run)
            writer = OutputThreads(outputs, keep_partial=False)
        except BaseException:
            discard_outputs(outputs)
            raise
        with writer, _bar(results, info.frame_count, info.path.name, progress) as bar:
            for result in bar:
                writer.put(result)
                object_ids.update(result.object_ids)
                count += 1
                if on_frame is not None:
                    on_frame()
    warn_of_unknown_objects(outputs, source.given_names, object_ids)
    return count


def _bar(results: Iterable[object], total: int | None, name: str, progress: bool) -> Any:
    return tqdm(results, total=total, desc=printable(name), unit="frame", disable=not progress, leave=None)
