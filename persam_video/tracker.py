"""The tracker: all objects of a video, one frame after another. The only thing that remembers anything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from persam_video.errors import InputError
from persam_video.frame import IGNORE_ID, Frame, FrameResult, Image, LabelMap, ids_in
from persam_video.inputs.first_mask import check_label_map
from persam_video.methods.appearance.flow import small_grey
from persam_video.methods.appearance.flow_inputs import look_ahead
from persam_video.methods.appearance.method import AppearanceMethod
from persam_video.methods.persam.method import PersamMethod
from persam_video.methods.persam.segmentation import PERSAM, PERSAM_F
from persam_video.methods.saved_targets import SavedTargets
from persam_video.options import DEFAULT_METHOD, METHODS
from persam_video.runtime.streams import copy_to_host
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.sam.object_masks import argmax_rows, to_object_ids


class Method(Protocol):
    """A way to find objects. It remembers what it needs of the frames before."""

    def add(self, frame: Frame, features: Features, masks: Tensor, ignored: Tensor) -> None:
        """Learn objects from a frame in which they are given; they come after those that are known.

        Args:
            masks: bool, N×H×W, on the CPU; none is empty.
            ignored: bool, H×W, on the CPU: what is neither object nor background.
        """

    def keep(self, places: Sequence[int]) -> None:
        """Go on with some of the objects alone, by their places among all, in ascending order."""

    def state(self) -> dict[str, Tensor]:
        """What is known of the objects from where they were given, to be kept; nothing of the frames since."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Begin with objects of a `state`, before any frame: they are looked for everywhere.

        Raises:
            KeyError: it is not one of this method's.
        """

    def find(self, frame: Frame, features: Features, cues: Any = None) -> tuple[Tensor, Tensor]:
        """All objects in the next frame.

        Args:
            cues: what is seen of it (`Look`), if that is at hand already.
        Returns:
            logits, float, N×rows×columns of the low-res grid, and scores, float, N, 0 to 1.
        """


_METHODS: dict[str, Callable[[Sam], Method]] = {
    "appearance": AppearanceMethod,
    "persam-f": partial(PersamMethod, recipe=PERSAM_F),
    "persam": partial(PersamMethod, recipe=PERSAM),
}


@dataclass(frozen=True, slots=True)
class Look:
    """What a method sees of frames beside their features, whatever it tracks: where there is time for it ahead.

    Args:
        glance: what is seen of a picture, RGB, uint8, H×W×3, by itself.
        compare: the cues (`Tracker.start`) of a picture of which that was seen, and of the one before that or None.
    """

    glance: Callable[[Image], Any]
    compare: Callable[[Any, Any], Any]


def looking(method: str, sam: Sam) -> Look | None:
    """How a method looks at frames, or None if it sees nothing but their features."""
    return Look(small_grey, partial(look_ahead, sam)) if method == "appearance" else None


class Tracker:
    """Tracks the objects of a first frame.

    The objects are personalised when the tracker is made. After that each `step` takes the next frame. Ids never
    shift: an object that is not seen stays in the tracker and can come back. Objects may also be added in later frames.

    Args:
        sam: from `load_sam`.
        frame: the first frame: a `Frame`, or a picture, RGB, uint8, H×W×3.
        label_map: its masks: H×W, integer object ids from 1 to 254, 0 = background, 255 = ignore; or bool for one
            object.
        method: ``appearance``, ``persam-f`` or ``persam`` (`persam_video.options`), or what makes a `Method`.
        features: the first frame's features, if they are at hand already.
    Raises:
        InputError: no such method.
        AnnotationError: the label map is not of the frame's size, or holds no object or no valid ids.
    """

    def __init__(
        self,
        sam: Sam,
        frame: Frame | Image,
        label_map: npt.ArrayLike,
        *,
        method: str | Callable[[Sam], Method] = DEFAULT_METHOD,
        features: Features | None = None,
    ) -> None:
        self._begin(sam, method)
        first = self._as_frame(frame)
        given = check_label_map(np.asarray(label_map), width=first.width, height=first.height)
        self._add(first, features if features is not None else sam.encode(first.image), given, ids_in(given))
        self._index += 1
        self.first_result = self._result(first, np.where(given == IGNORE_ID, 0, given).astype(np.uint8), {})

    @classmethod
    def from_targets(cls, sam: Sam, targets: SavedTargets) -> Tracker:
        """Track objects that are known from elsewhere: each is absent until it is found in one of the frames.

        Every frame, the first too, is for `step`.

        Args:
            sam: the model that the targets are of.
            targets: from `persam_video.methods.saved_targets.load_targets`, or another tracker's `targets`.
        """
        tracker = cls.__new__(cls)
        tracker._begin(sam, targets.method)
        tracker._method.restore(targets.state)
        tracker.object_ids = targets.object_ids
        return tracker

    @property
    def targets(self) -> SavedTargets:
        """What was learned of the objects where they were given, to be kept (`saved_targets.targets_writer`).

        Raises:
            InputError: the method is one of one's own.
        """
        if self._method_name is None:
            raise InputError(f"targets can be kept of the methods {', '.join(METHODS)} only")
        return SavedTargets(self._method_name, self.object_ids, self._method.state())

    def _begin(self, sam: Sam, method: str | Callable[[Sam], Method]) -> None:
        if isinstance(method, str):
            check_method(method)
        self._method_name = method if isinstance(method, str) else None
        self._method = (_METHODS[method] if isinstance(method, str) else method)(sam)
        self._sam = sam
        self._index = 0  # of the next frame, where it does not come with a number of its own
        self.object_ids: tuple[int, ...] = ()

    def step(
        self,
        frame: Frame | Image,
        *,
        features: Features | None = None,
        label_map: npt.ArrayLike | None = None,
        cues: Any = None,
    ) -> FrameResult:
        """Find all objects in the next frame.

        Args: as for `start`.
        Raises:
            AnnotationError: the label map is not of the frame's size, or holds no object or no valid ids.
        """
        return self.start(frame, features=features, label_map=label_map, cues=cues)()

    def start(
        self,
        frame: Frame | Image,
        *,
        features: Features | None = None,
        label_map: npt.ArrayLike | None = None,
        cues: Any = None,
    ) -> Callable[[], FrameResult]:
        """Begin to find all objects in the next frame. What is returned gives the result, for which a GPU is waited
        then: the next frame may be begun before.

        Args:
            frame: a `Frame`, or a picture, RGB, uint8, H×W×3, of any size.
            features: the frame's features, if they are at hand already.
            label_map: masks in this frame, as in the first one. Objects that are new are followed from here on; those
                that are tracked already are corrected: what was learned of them is replaced by what is given here.
            cues: what is seen of the frame (`Look`), if it is at hand already.
        Raises:
            AnnotationError: the label map is not of the frame's size, or holds no object or no valid ids.
        """
        frame = self._as_frame(frame)
        given = None
        if label_map is not None:
            given = check_label_map(np.asarray(label_map), width=frame.width, height=frame.height)
        self._index += 1
        if features is None:
            features = self._sam.encode(frame.image)
        logits, scores = self._method.find(frame, features, cues)
        object_ids = self.object_ids
        fetched = copy_to_host(argmax_rows(logits, features.geometry), scores)

        def result() -> FrameResult:
            owners, qualities = fetched()
            known = dict(zip(object_ids, qualities.tolist(), strict=True))
            return FrameResult.of(frame, to_object_ids(owners, object_ids), known)

        if given is None:
            return result
        corrected = self._corrected(result(), features, given)
        return lambda: corrected

    def _corrected(self, found: FrameResult, features: Features, given: LabelMap) -> FrameResult:
        """What was found in a frame, with what is given in it, which is learned."""
        there = ids_in(given)
        given_ids = [*(i for i in self.object_ids if i in there), *(i for i in there if i not in self.object_ids)]
        label_map = np.where(np.isin(found.label_map, given_ids), 0, found.label_map)
        label_map = np.where(np.isin(given, given_ids), given, label_map).astype(np.uint8)
        known = {i: score for i, score in found.scores.items() if i not in given_ids}
        self._keep(known)
        self._add(found.frame, features, given, given_ids)
        return self._result(found.frame, label_map, known)

    def _keep(self, object_ids: Collection[int]) -> None:
        places = [place for place, i in enumerate(self.object_ids) if i in object_ids]
        if len(places) < len(self.object_ids):
            self._method.keep(places)
            self.object_ids = tuple(self.object_ids[place] for place in places)

    def _add(self, frame: Frame, features: Features, given: LabelMap, object_ids: Sequence[int]) -> None:
        masks = torch.stack([torch.from_numpy(given == i) for i in object_ids])
        self._method.add(frame, features, masks, torch.from_numpy(given == IGNORE_ID))
        self.object_ids += tuple(object_ids)

    def _result(self, frame: Frame, label_map: LabelMap, scores: Mapping[int, float]) -> FrameResult:
        """The result for all objects; those without a score were given."""
        return FrameResult.of(frame, label_map, {i: scores.get(i, 1.0) for i in self.object_ids})

    def _as_frame(self, frame: Frame | Image) -> Frame:
        if isinstance(frame, Frame):
            return frame
        return Frame(index=self._index, image=frame, name=f"{self._index:05d}")


def check_method(name: str) -> None:
    """Raises `InputError` where there is no such method."""
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}; the methods are {', '.join(METHODS)}")
