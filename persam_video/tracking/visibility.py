"""Counts of the frames in which each object of a video is visible."""

from __future__ import annotations

from persam_video.frame import LabelMap, ids_in
from persam_video.result import FrameResult


class Visibility:
    """Counts of frames by object id.

    Attributes:
        frames: number of frames in which each object was visible, those with a given mask included.
    """

    def __init__(self) -> None:
        self.frames: dict[int, int] = {}
        self._given: dict[int, tuple[int, ...]] = {}  # ids by the index of a frame whose result is not counted yet
        self._missed: dict[int, bool] = {}  # whether an object that was looked for was not found in any frame

    def given(self, index: int, label_map: LabelMap) -> None:
        """Note the objects whose masks are given in a frame, before it is counted."""
        self._given[index] = ids_in(label_map)

    def count(self, result: FrameResult) -> None:
        """Count the objects of a frame."""
        given = self._given.pop(result.index, ())
        for object_id, is_visible in result.visible.items():
            self.frames[object_id] = self.frames.get(object_id, 0) + is_visible
            if object_id not in given:
                self._missed[object_id] = self._missed.get(object_id, True) and not is_visible

    @property
    def unseen(self) -> tuple[int, ...]:
        """Ids of the objects that were not visible in any frame but those in which their masks were given."""
        return tuple(object_id for object_id, missed in self._missed.items() if missed)
