"""A run over a video: its results, frame by frame, handed to outputs on the way."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from persam_video.errors import InputError
from persam_video.files.output_file import OutputFile
from persam_video.frame import LARGE_FRAME_PIXELS, Frame, LabelMap, ids_in
from persam_video.inputs.annotations import Annotations
from persam_video.inputs.later_masks import LaterMasks
from persam_video.messages import printable
from persam_video.outputs.base import OUTPUT_DEPTH, Output, OutputThreads, discard_outputs, warn_of_unknown_objects
from persam_video.result import FrameResult
from persam_video.tracking.visibility import Visibility
from persam_video.video.reader import VideoInfo, VideoReader

if TYPE_CHECKING:
    from persam_video.sam.models import Sam
    from persam_video.tracking.pipeline import StageSeconds
    from persam_video.tracking.tracker import Tracker

logger = logging.getLogger(__name__)


class VideoRun(Iterator[FrameResult]):
    """A video that is being tracked: an iterator over the results of its frames, and a context manager.

        with open_run("video.mp4", first_mask="ann.png", outputs=[MaskOutput("masks")]) as run:
            for result in run:
                ...

    Frames are read and tracked as results are asked for, a few ahead, so that memory does not grow with the video. At
    the end, on an error and on `close`, the video is closed and the outputs are finished with the frames that they
    have. Made by `open_run`.

    Attributes:
        info: size, times and length of the video.
        first_label_map: masks of the first frame, uint8, H×W, given or made by SAM of boxes and points; None where
            there are only saved targets.
        first_mask_file: file into which a mask made by SAM was written; None: there is none.
    """

    def __init__(
        self,
        reader: VideoReader,
        sam: Sam,
        tracker: Tracker,
        annotations: Annotations,
        label_map: LabelMap | None,
        *,
        outputs: Sequence[Output] = (),
        first_mask_file: Path | None = None,
        targets_file: Path | None = None,
        reserved: Sequence[OutputFile] = (),
        progress: bool = False,
    ) -> None:
        from persam_video.tracking.pipeline import StageSeconds

        self.info: VideoInfo = reader.info
        self.first_label_map = label_map
        self.first_mask_file = first_mask_file
        self._reader = reader
        self._sam = sam
        self._tracker = tracker
        self._later = annotations.later
        self._visibility = Visibility()
        self._outputs = outputs
        self._reserved = reserved
        self._writer = OutputThreads(())
        self._targets_file = targets_file
        self._progress = progress
        self._seconds = StageSeconds()
        self._results: Generator[FrameResult, None, None] | None = None
        self._has_raised = False
        self._process = os.getpid()

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of all objects so far, in the order in which they were added."""
        return self._tracker.object_ids

    @property
    def seconds(self) -> StageSeconds:
        """Seconds that each stage has worked so far."""
        return replace(self._seconds, write=self._writer.seconds)

    @property
    def unreached_masks(self) -> tuple[int, ...]:
        """Numbers of the frames whose later masks have not been used (yet), in ascending order."""
        return self._later.unreached

    @property
    def visible_frames(self) -> Mapping[int, int]:
        """Number of frames so far in which each object was visible, by object id."""
        return self._visibility.frames

    @property
    def unseen_objects(self) -> tuple[int, ...]:
        """Ids of the objects that were not visible in any frame so far but those in which their masks were given."""
        return self._visibility.unseen

    @property
    def output_errors(self) -> tuple[Exception, ...]:
        """Errors of outputs that could not be finished, once the run has ended."""
        return tuple(self._writer.errors)

    def __iter__(self) -> VideoRun:
        return self

    def __next__(self) -> FrameResult:
        """Result of the next frame; that of the first one has the given masks.

        Raises:
            DamagedVideoError: the video is damaged here; the results of all frames before were returned.
            OutputError: an output cannot be written.
            InputError: this process was forked from the one that opened the run.
        """
        if os.getpid() != self._process:  # the run's threads are not in this one
            raise InputError("a run goes on only in the process that opened it; open one in each process")
        if self._results is None:
            self._results = self._begin()
        try:
            return next(self._results)
        except BaseException:
            self._has_raised = True
            raise

    def close(self) -> None:
        """End the run: close the video and finish the outputs. May be repeated.

        Raises:
            OutputError: an output cannot be finished.
        """
        if self._results is None:
            self._results = _no_results()
            release(self._outputs, self._reserved)
            self._reader.close()
        self._results.close()
        if self._writer.errors and not self._has_raised:
            self._has_raised = True
            raise self._writer.errors[0]

    def __enter__(self) -> VideoRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._has_raised |= error is not None
        self.close()

    def _begin(self) -> Generator[FrameResult, None, None]:
        """Results of all frames. They hold no reference to the run: dropping it closes them at once."""
        from persam_video.methods.saved_targets import save_targets
        from persam_video.tracking.pipeline import Pipeline

        first, label_map, later = self._reader.first.index, self.first_label_map, self._later
        tracker, sam, targets_file = self._tracker, self._sam, self._targets_file
        visibility = self._visibility

        def masks_at(frame: Frame) -> LabelMap | None:
            given = label_map if frame.index == first else later.get(frame)
            if given is not None:
                visibility.given(frame.index, given)
            return given

        def on_annotated(frame: Frame) -> None:
            later.drop(frame)
            if targets_file is not None:
                save_targets(targets_file, tracker.targets, sam, overwrite=True)

        objects = len(self.object_ids) + (0 if label_map is None else len(ids_in(label_map)))
        large_frames = self.info.width * self.info.height > LARGE_FRAME_PIXELS
        pipeline = Pipeline(tracker, sam, objects=objects, seconds=self._seconds, large_frames=large_frames)
        bar = tqdm(
            total=self.info.frame_count,
            desc=printable(self.info.path.name),
            unit="frame",
            disable=not self._progress,
            leave=None,  # only where it is the outermost bar
        )
        self._writer = OutputThreads(self._outputs, depth=1 if large_frames else OUTPUT_DEPTH)
        results = pipeline.results(self._reader, masks_at, on_annotated)
        return _written(
            results,
            reader=self._reader,
            writer=self._writer,
            bar=bar,
            later=later,
            visibility=visibility,
            reserved=self._reserved,
            names=tracker.names,
            outputs=self._outputs,
        )


def _no_results() -> Generator[FrameResult, None, None]:
    yield from ()


def _written(
    results: Generator[FrameResult, None, None],
    *,
    reader: VideoReader,
    writer: OutputThreads,
    bar: Any,
    later: LaterMasks,
    visibility: Visibility,
    reserved: Sequence[OutputFile],
    names: Mapping[int, str],
    outputs: Sequence[Output],
) -> Generator[FrameResult, None, None]:
    """Results, each of which is counted and handed to the outputs; at the end everything is closed."""
    try:
        with reader, bar, writer, closing(results):
            for result in results:
                visibility.count(result)
                writer.put(result)
                bar.update()
                yield result
    except (GeneratorExit, KeyboardInterrupt):  # ended early, on purpose
        raise
    except BaseException:
        _warn_of_unreached(later)
        raise
    finally:
        release((), reserved)
    _warn_of_unreached(later)
    _warn_of_unseen(visibility)
    warn_of_unknown_objects(outputs, names, visibility.frames)


def _warn_of_unreached(later: LaterMasks) -> None:
    if later.unreached:
        numbers = ", ".join(map(str, later.unreached))
        logger.warning("the masks of frames that were not reached had no effect: %s", numbers)


def _warn_of_unseen(visibility: Visibility) -> None:
    if visibility.unseen:
        logger.warning(
            "never seen after it was given: object %s; check its mask or saved target, and that these frames show it",
            ", ".join(map(str, visibility.unseen)),
        )


def release(outputs: Sequence[Output], reserved: Sequence[OutputFile]) -> None:
    """Discard outputs, and give reserved names back."""
    discard_outputs(outputs)
    for file in reserved:
        file.release()
