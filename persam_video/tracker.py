"""The tracker: all objects of a video, one frame after another. The only thing that remembers anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from persam_video.appearance.tracking import AppearanceTracking
from persam_video.composition import compose
from persam_video.errors import InputError
from persam_video.frame import IGNORE_ID, Frame, FrameResult, Image, LabelMap, ids_in
from persam_video.masks.first_frame import check_label_map
from persam_video.options import DEFAULT_METHOD, METHODS
from persam_video.persam.tracking import PersamFTracking
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.sam.preprocess import to_frame

_OBJECTS_AT_A_TIME = 16
"""How many are resized to the frame at once: with 254 objects the logits of a 4K frame would fill 8 GB."""


class Method(Protocol):
    """A way to find objects. It remembers what it needs of the frames before."""

    def add(self, frame: Frame, features: Features, masks: Tensor, ignored: Tensor) -> None:
        """Learn objects from a frame in which they are given; they come after those that are known.

        Args:
            masks: bool, N×H×W, on the CPU; none is empty.
            ignored: bool, H×W, on the CPU: what is neither object nor background.
        """

    def find(self, frame: Frame, features: Features) -> tuple[Tensor, Tensor]:
        """All objects in the next frame.

        Returns:
            logits, float, N×rows×columns of the low-res grid, and scores, float, N, 0 to 1.
        """


_METHODS: dict[str, Callable[[Sam], Method]] = {"appearance": AppearanceTracking, "persam-f": PersamFTracking}


class Tracker:
    """Tracks the objects of a first frame.

    The objects are personalised when the tracker is made. After that each `step` takes the next frame. Ids never
    shift: an object that is not seen stays in the tracker and can come back. Objects may also be added in later frames.

    Args:
        sam: from `load_sam`.
        frame: the first frame: a `Frame`, or a picture, RGB, uint8, H×W×3.
        label_map: its masks: H×W, integer object ids from 1 to 254, 0 = background, 255 = ignore; or bool for one
            object.
        method: ``appearance`` or ``persam-f`` (`persam_video.options`), or what makes a `Method` of one's own.
        features: the first frame's features, if they are at hand already.
    Raises:
        InputError: no such method.
        FirstMaskError: the label map is not of the frame's size, or holds no object or no valid ids.
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
        if isinstance(method, str):
            check_method(method)
            method = _METHODS[method]
        self._sam = sam
        self._index = 0  # of the next frame, where it does not come with a number of its own
        self.object_ids: tuple[int, ...] = ()
        self._method = method(sam)
        first = self._as_frame(frame)
        given = check_label_map(np.asarray(label_map), width=first.width, height=first.height)
        self._add(first, features if features is not None else sam.encode(first.image), given, ids_in(given))
        self._index += 1
        self.first_result = self._result(first, np.where(given == IGNORE_ID, 0, given).astype(np.uint8), {})

    def step(
        self, frame: Frame | Image, *, features: Features | None = None, label_map: npt.ArrayLike | None = None
    ) -> FrameResult:
        """Find all objects in the next frame.

        Args:
            frame: a `Frame`, or a picture, RGB, uint8, H×W×3, of any size.
            features: the frame's features, if they are at hand already.
            label_map: masks of objects that appear in this frame, as in the first one; they are followed from here on.
                Ids that are tracked already do not count.
        Raises:
            FirstMaskError: the label map is not of the frame's size, or holds no object or no valid ids.
        """
        frame = self._as_frame(frame)
        given = None
        if label_map is not None:
            given = check_label_map(np.asarray(label_map), width=frame.width, height=frame.height)
        self._index += 1
        if features is None:
            features = self._sam.encode(frame.image)
        logits, scores = self._method.find(frame, features)
        known = dict(zip(self.object_ids, scores.tolist(), strict=True))
        owners = compose(to_frame(part, features.geometry) for part in torch.split(logits, _OBJECTS_AT_A_TIME))
        found = np.array([0, *self.object_ids], dtype=np.uint8)[owners.to(torch.uint8).cpu().numpy()]
        if given is not None and (new_ids := [i for i in ids_in(given) if i not in self.object_ids]):
            self._add(frame, features, given, new_ids)
            found = np.where(np.isin(given, new_ids), given, found)
        return self._result(frame, found, known)

    def _add(self, frame: Frame, features: Features, given: LabelMap, object_ids: Sequence[int]) -> None:
        masks = torch.stack([torch.from_numpy(given == i) for i in object_ids])
        self._method.add(frame, features, masks, torch.from_numpy(given == IGNORE_ID))
        self.object_ids += tuple(object_ids)

    def _result(self, frame: Frame, label_map: LabelMap, scores: Mapping[int, float]) -> FrameResult:
        """The result for all objects; those without a score were given."""
        areas = np.bincount(label_map.ravel(), minlength=256)
        visible = {i: bool(areas[i]) for i in self.object_ids}
        return FrameResult(
            frame=frame,
            label_map=label_map,
            scores={i: min(max(scores.get(i, 1.0), 0.0), 1.0) if visible[i] else 0.0 for i in self.object_ids},
            visible=visible,
        )

    def _as_frame(self, frame: Frame | Image) -> Frame:
        if isinstance(frame, Frame):
            return frame
        return Frame(index=self._index, image=frame, name=f"{self._index:05d}")


def check_method(name: str) -> None:
    """Raises `InputError` where there is no such method."""
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}; the methods are {', '.join(METHODS)}")
