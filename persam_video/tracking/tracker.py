"""Tracker of all objects of a video, one frame after another; the only part that keeps state between frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from persam_video.arrays import ImageSource, to_frame
from persam_video.errors import InputError
from persam_video.frame import IGNORE_ID, Frame, Image, LabelMap, ids_in
from persam_video.inputs.first_mask import MaskSource, check_label_map
from persam_video.inputs.names import check_names
from persam_video.inputs.pixel_values import Origin
from persam_video.methods.base import Method, Prepared
from persam_video.methods.registry import MethodFactory, method_factory
from persam_video.methods.saved_targets import SavedTargets
from persam_video.options import DEFAULT_METHOD, METHODS, check_model
from persam_video.result import FrameResult
from persam_video.runtime.ambient import isolated
from persam_video.runtime.streams import copy_to_host
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.sam.object_masks import argmax_rows, to_object_ids
from persam_video.sam.window import Window
from persam_video.tracking.window_planner import DELAY, Sighting, WindowPlanner, WindowSettings

_COMPARED_FIRST = 64
"""Every 64th row of two images is compared before all rows."""


class Tracker:
    """Tracks objects from the frames in which their masks are given.

        tracker = Tracker(load_sam("vit_t"))
        result = tracker.step(first_image, label_map=masks)
        for image in images:
            result = tracker.step(image)

    Masks may come with any frame: new objects are tracked from there on, and those that are tracked already are
    personalised anew. Ids never change: an absent object keeps its id and is tracked again when it returns.

    Args:
        sam: from `load_sam`.
        method: ``appearance``, ``persam-f`` or ``persam`` (`persam_video.options.METHODS`), or a function of the model
            that makes a `Method`; None: that of the targets, or else ``appearance``.
        targets: objects personalised in another video (`persam_video.load_targets`): absent until they are found.
        windows: constants of the windows around the objects (`persam_video.options.ModelOptions.window`).
        names: of objects by id, also of later ones. They replace those of the targets.

    Attributes:
        object_ids: ids of all objects, in the order in which they were added.
        method: the `Method`.
        method_name: its name; None where it is none of this package.
        names: of objects by id.
        has_windows: whether windows around the objects are encoded, not whole frames. The window of a frame then
            depends on the result of the second frame before it.
    Raises:
        InputError: there is no such method, or the targets are of another one or damaged.
    """

    @isolated()
    def __init__(
        self,
        sam: Sam,
        *,
        method: str | MethodFactory | None = None,
        targets: SavedTargets | None = None,
        windows: WindowSettings | None = None,
        names: Mapping[int, str] | None = None,
    ) -> None:
        if targets is not None:
            _check_targets(targets)
        if targets is not None and method not in (None, targets.method):
            raise InputError(f"the targets are of the method {targets.method}; leave the other method out")
        chosen = targets.method if targets is not None else method or DEFAULT_METHOD
        check_model(sam)
        self.method_name = chosen if isinstance(chosen, str) else None
        self._sam = sam
        self._next_index = 0  # of a frame that is given as an image
        self._planned = 0  # number of frames that were planned
        self._started = 0  # and started
        # Of those between, and whether they are equal to the frame before.
        self._windows: deque[tuple[Window, bool]] = deque()
        self._image: Image | None = None  # of the latest frame that was planned
        self._reduced: tuple[Image, Any] | None = None  # an image and its `Method.reduce`
        self._latest: _Deferred | None = None  # result of the latest frame that was started
        self._pending: dict[int, Callable[[], FrameResult]] = {}  # results that were not made yet, by frame number
        self._sightings: dict[int, Sighting] = {}  # in the results of the latest frames, by frame number
        self.method: Method = (method_factory(chosen) if isinstance(chosen, str) else chosen)(sam)
        self.has_windows = sam.options.encodes_windows(self.method.windows, sam.device.type)
        self.names = {**(targets.names if targets is not None else {}), **check_names(names)}
        self.object_ids: tuple[int, ...] = ()
        self._row_ids: tuple[int, ...] = ()  # object id of each row of the method's tensors
        if targets is not None:
            self.method.restore({name: tensor.to(sam.device) for name, tensor in targets.state.items()})
            self.object_ids = self._row_ids = targets.object_ids
        settings = (windows or WindowSettings()) if self.has_windows else None
        self._planner = WindowPlanner(sam.options.size, settings, self.object_ids)

    @property
    @isolated()
    def targets(self) -> SavedTargets:
        """Personalised state of all objects, to be saved (`persam_video.save_targets`).

        Raises:
            InputError: there is no object, or the method is not one of this package.
        """
        if not self._row_ids:
            raise InputError("there is no object yet whose targets could be saved")
        if self.method_name is None:
            raise InputError(f"targets can be saved of the methods {', '.join(METHODS)} only")
        names = {i: self.names[i] for i in self._row_ids if i in self.names}
        return SavedTargets(self.method_name, self._row_ids, self.method.state(), names)

    def step(
        self,
        frame: Frame | ImageSource,
        *,
        label_map: MaskSource | None = None,
        features: Features | None = None,
        prepared: Any | None = None,
    ) -> FrameResult:
        """Objects in the next frame.

        Args: as for `start`.
        Raises:
            AnnotationError: the label map is not of the frame's size, or holds no object or an invalid id.
            InputError: the frame is no image, as None at a video's end, or no object has been given in this or an
                earlier one.
        """
        frame = self._to_frame(frame)
        masks = None if label_map is None else self._check(frame, label_map, "array")
        return self._begin(frame, masks, features, prepared)()

    @isolated()
    def start(
        self,
        frame: Frame | ImageSource,
        *,
        label_map: MaskSource | None = None,
        features: Features | None = None,
        prepared: Any | None = None,
    ) -> Callable[[], FrameResult]:
        """Start to find all objects in the next frame, without synchronising with a GPU.

        Args:
            frame: a `Frame`, or an image, RGB, uint8, H×W×3, of any size; also a torch tensor (3×H×W too), a Pillow
                image, or a grey image, H×W.
            label_map: masks in this frame, H×W: integer object ids from 1 to 254, 0 = background, 255 = ignore; or bool
                for one object; or N×H×W or a list of masks, ids 1 to N; or masks by object id. Arrays, torch tensors
                and Pillow images will do. New objects are tracked from here on; those that are tracked already are
                personalised anew from these masks.
            features: the frame's features, or those of the window of `plan`; None: the frame is encoded here.
            prepared: `Method.prepare` of the frame; None: computed here.
        Returns:
            function that synchronises and returns the result; the next frame may be started before it is called.
        Raises: as `step`.
        """
        frame = self._to_frame(frame)
        masks = None if label_map is None else self._check(frame, label_map, "settled")
        return self._begin(frame, masks, features, prepared)

    @isolated()
    def _begin(
        self, frame: Frame, masks: LabelMap | None, features: Features | None, prepared: Prepared | None
    ) -> Callable[[], FrameResult]:
        """`start` of a frame whose image is not the caller's, with checked masks."""
        if masks is None and not self._row_ids:
            raise InputError(
                f"frame {frame.index}: there is no object to track; give masks with label_map, in this or an earlier "
                "frame, or targets"
            )
        self._next_index = frame.index + 1
        try:
            return self._start(frame, masks, features, prepared)
        except BaseException:  # the frame may be given again
            self._image = None
            self._started = self._planned - len(self._windows)
            raise

    def _start(
        self, frame: Frame, masks: LabelMap | None, features: Features | None, prepared: Prepared | None
    ) -> Callable[[], FrameResult]:
        if prepared is None and self._row_ids:
            prepared = self._prepare(frame.image)
        window, is_repeated = self._take_window(frame, masks, features, prepared)
        latest = self._latest
        # An object that is absent may be found at the second look.
        if is_repeated and latest is not None and all(latest().visible.values()):
            return self._note(lambda: latest.repeated(frame), latest)
        found = None
        if self._row_ids:
            assert prepared is not None
            features = features or self._sam.encode(frame.image, window)
            found = self._find(frame, features, prepared.in_window(window))
        if masks is not None:
            annotated = self._annotate(frame, features, masks, None if found is None else found())
            return self._note(lambda: annotated)
        assert found is not None
        return self._note(found)

    @isolated()
    def plan(self, frame: Frame, prepared: Prepared | None, *, label_map: LabelMap | None = None) -> Window | None:
        """Part of the next frame that is to be encoded for `start`, which must then be called for the same frames in
        the same order, with their features. So frames can be encoded while others are tracked: at most `DELAY` - 1 may
        be planned and not started (any number if `has_windows` is false).

        Args:
            prepared: `Method.prepare` of the frame; None where there is no object yet.
            label_map: masks that are given for it.
        Returns:
            the window; None: the frame is equal to the one before, and mostly needs no features.
        """
        number, previous = self._planned, self._image
        self._planned += 1
        self._image = frame.image
        shape = (frame.height, frame.width)
        is_cut = prepared is not None and prepared.is_cut
        window = self._planner.plan(self._sighting(number - DELAY), shape, is_cut=is_cut, given=label_map)
        is_repeated = label_map is None and previous is not None and _are_equal(previous, frame.image)
        self._windows.append((window, is_repeated))
        return None if is_repeated else window

    def _take_window(
        self, frame: Frame, masks: LabelMap | None, features: Features | None, prepared: Prepared | None
    ) -> tuple[Window, bool]:
        """Window of the frame that is started, and whether it is equal to the frame before."""
        if not self._windows and features is not None:  # not planned: all of what was encoded
            self._planned += 1
            self._image = frame.image
            return features.window, False
        if not self._windows:
            self.plan(frame, prepared, label_map=masks)
        return self._windows.popleft()

    def _sighting(self, number: int) -> Sighting | None:
        """What was seen of all objects in an earlier frame; None before the first one."""
        if number in self._pending:
            self._pending[number]()
        return self._sightings.get(number)

    def _prepare(self, image: Image) -> Prepared:
        previous = None
        if self._reduced is not None and self._reduced[0] is self._image:
            previous = self._reduced[1]
        elif self._image is not None:
            previous = self.method.reduce(self._image)
        reduced = self.method.reduce(image)
        self._reduced = (image, reduced)
        return self.method.prepare(reduced, previous)

    def _note(self, make: Callable[[], FrameResult], latest: _Deferred | None = None) -> Callable[[], FrameResult]:
        """The result of the frame that is started, which the windows of later ones follow.

        Args:
            latest: the result of the frame before, if this one is equal.
        """
        number = self._started
        self._started += 1

        # Not the tracker itself: no reference cycle.
        sightings, pending, planner = self._sightings, self._pending, self._planner

        def note(made: FrameResult) -> None:
            sightings[number] = planner.see(made.label_map, made.object_ids)
            del pending[number]
            for old in [each for each in sightings if each < number - DELAY]:
                del sightings[old]

        result = _Deferred(make, note if self.has_windows else None)
        if self.has_windows:
            pending[number] = result
        self._latest = latest or result
        return result

    def _to_frame(self, value: Frame | ImageSource) -> Frame:
        """Frame of an image. The image is copied, unless it was planned before: it is needed with the next frame, which
        many programs read into the same memory."""
        frame = to_frame(value, name="the frame", index=self._next_index)
        return frame if self._windows else replace(frame, image=frame.image.copy())

    def _check(self, frame: Frame, label_map: MaskSource, origin: Origin) -> LabelMap:
        name = f"the mask of frame {frame.index}" if self.object_ids else "the first mask"
        return check_label_map(label_map, width=frame.width, height=frame.height, name=name, origin=origin)

    def _find(self, frame: Frame, features: Features, prepared: Prepared) -> Callable[[], FrameResult]:
        logits, scores = self.method.find(frame, features, prepared)
        object_ids, row_ids, window, names = self.object_ids, self._row_ids, features.window, self.names
        copied = copy_to_host(argmax_rows(logits, features.geometry), scores)

        @isolated()
        def result() -> FrameResult:
            rows, row_scores = copied()
            score_of = dict(zip(row_ids, row_scores.tolist(), strict=True))
            label_map = to_object_ids(rows, row_ids)
            if not window.is_whole:
                inside, label_map = label_map, np.zeros(frame.image.shape[:2], np.uint8)
                window.crop(label_map)[:] = inside
            return FrameResult.of(frame, label_map, {i: score_of[i] for i in object_ids}, names)

        return result

    def _annotate(
        self, frame: Frame, features: Features | None, masks: LabelMap, found: FrameResult | None
    ) -> FrameResult:
        """Personalise the objects of a label map, and merge it with the objects that were found in the frame."""
        annotated = ids_in(masks)
        label_map = np.where(np.isin(masks, annotated), masks, 0).astype(np.uint8)
        scores = dict.fromkeys(annotated, 1.0)
        if found is not None:
            others = np.where(np.isin(found.label_map, annotated), 0, found.label_map)
            label_map = np.where(label_map, label_map, others).astype(np.uint8)
            scores = {**found.scores, **scores}
        window = self._planner.learn(label_map)
        if features is None or features.window != window:
            features = self._sam.encode(frame.image, window)
        self._drop_rows(annotated)
        # Objects that are corrected come first, in their order, then the new ones.
        ordered = [*(i for i in self.object_ids if i in annotated), *(i for i in annotated if i not in self.object_ids)]
        self._add_rows(frame, features, masks, ordered)
        self.object_ids += tuple(i for i in annotated if i not in self.object_ids)
        return FrameResult.of(frame, label_map, {i: scores[i] for i in self.object_ids}, self.names)

    def _drop_rows(self, object_ids: Collection[int]) -> None:
        kept = [row for row, i in enumerate(self._row_ids) if i not in object_ids]
        if len(kept) < len(self._row_ids):
            self.method.keep(kept)
            self._row_ids = tuple(self._row_ids[row] for row in kept)

    def _add_rows(self, frame: Frame, features: Features, masks: LabelMap, object_ids: Sequence[int]) -> None:
        stacked = torch.stack([torch.from_numpy(masks == i) for i in object_ids])
        self.method.add(frame, features, stacked, torch.from_numpy(masks == IGNORE_ID))
        self._row_ids += tuple(object_ids)


class _Deferred:
    """Result that is made when it is first asked for, and kept for frames that are equal to its own."""

    def __init__(self, make: Callable[[], FrameResult], note: Callable[[FrameResult], None] | None) -> None:
        self._make: Callable[[], FrameResult] | None = make
        self._note = note
        self._result: FrameResult | None = None
        self._label_map: LabelMap | None = None

    def __call__(self) -> FrameResult:
        if self._result is None:
            assert self._make is not None
            self._result = self._make()
            self._make = None
            self._label_map = self._result.label_map.copy()  # the caller may draw on the other
            if self._note is not None:
                self._note(self._result)
        return self._result

    def repeated(self, frame: Frame) -> FrameResult:
        """The same result for a frame that is equal."""
        result = self()
        assert self._label_map is not None
        return replace(result, frame=frame, label_map=self._label_map.copy())


def _are_equal(one: Image, other: Image) -> bool:
    if one.shape != other.shape:
        return False
    # Most frames differ in every row.
    return bool((one[::_COMPARED_FIRST] == other[::_COMPARED_FIRST]).all()) and np.array_equal(one, other)


def _check_targets(targets: object) -> None:
    if not isinstance(targets, SavedTargets):
        raise InputError(f"targets are of the type {type(targets).__name__}; give what load_targets returns")
    targets.check()
