"""Writing of results that are kept in files, in other formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from persam_video.files.overlaps import InputPath, OutputPath, refuse_overlaps
from persam_video.messages import printable
from persam_video.outputs.base import (
    Output,
    OutputThreads,
    begin_outputs,
    discard_outputs,
    open_outputs,
    warn_of_unknown_objects,
)
from persam_video.results.mask_folder import MaskFolder
from persam_video.results.reader import load_results
from persam_video.results.source import ResultSource


def open_results(
    path: str | Path, video: str | Path | None = None, *, names: dict[int, str] | str | Path | None = None
) -> ResultSource:
    """Results of a record (`load_results`) or of a folder of masks (`MaskFolder`).

    Args:
        path: of the record or the folder.
        video: of the results; None: that of a record is looked for near it.
        names: of objects by id, instead of those in the record.
    Raises:
        InputError: it holds no results, or the video is another one or cannot be read.
    """
    if Path(path).is_dir():
        return MaskFolder(path, video, names=names)
    return load_results(path, video, names=names)


def export(source: ResultSource, outputs: Sequence[Output], *, overwrite: bool = False, progress: bool = False) -> int:
    """Write results to outputs, and return the number of frames.

    Args:
        source: the results.
        outputs: such as `CocoOutput`; see `persam_video.outputs.formats.FORMATS`.
        overwrite: replace outputs that exist.
        progress: show a bar on stderr.
    Raises:
        InputError: the results cannot be read, or an output cannot be written.
        DamagedVideoError: the video is damaged; what comes before that is written.
    """
    inputs = [InputPath(each) for each in (source.path, source.video) if each is not None]
    inputs += [InputPath(path) for each in outputs for path in getattr(each, "inputs", ())]
    refuse_overlaps(inputs, [OutputPath(each.path, getattr(each, "is_folder", False)) for each in outputs])
    count = 0
    object_ids: set[int] = set()
    with source.opened() as (info, results):
        open_outputs(outputs, info, overwrite=overwrite)
        try:
            begin_outputs(outputs, source.run)
            writer = OutputThreads(outputs)
        except BaseException:
            discard_outputs(outputs)
            raise
        with writer, _bar(results, info.frame_count, info.path.name, progress) as bar:
            for result in bar:
                writer.put(result)
                object_ids.update(result.object_ids)
                count += 1
    warn_of_unknown_objects(outputs, object_ids)
    return count


def _bar(results: Iterable[object], total: int | None, name: str, progress: bool) -> Any:
    return tqdm(results, total=total, desc=printable(name), unit="frame", disable=not progress, leave=None)
