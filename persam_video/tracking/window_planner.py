"""Planner of windows: which part of the next frame is encoded, and at how many pixels.

The window is around all visible objects, so that they are seen at a finer scale and little else is encoded. It follows
the results of `DELAY` frames before, so that the frames in between can be encoded while those are tracked. Whole frames
are encoded while an object is absent, after a cut to another scene, and where the objects fill most of the frame.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from persam_video.frame import LabelMap, PixelBox, ids_in, trimmed_box
from persam_video.sam.grids import FEATURE_SIZE, INPUT_SIZE
from persam_video.sam.window import Window

DELAY = 2
"""Frames from a result to the first window that follows it."""
_CELL = INPUT_SIZE // FEATURE_SIZE
_SAMPLES = 1024
"""Pixels along the longer side of a label map in which boxes are looked for, about."""


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """Constants of `WindowPlanner`.

    Args:
        area: of a window, relative to that of the objects' box: with half a box on each side objects stay inside for a
            few frames, and their surroundings are seen.
        trimmed: share of the objects' pixels on each side that do not count for the box: stray pixels.
        max_aspect: longer side of a window relative to its shorter one.
        max_area: of a window, relative to the frame's, above which the whole frame is encoded.
        shrink: least ratio of a side to that in the frame before: what is hidden for a moment is still inside when it
            comes back.
        grow: greatest ratio.
        thickness: of the thinnest object in its first frame, in input pixels (`object_thickness`): five cells of the
            feature grid, so that some are wholly within it. The scale of the windows follows from it.
        max_scale: input pixels per frame pixel: finer detail is not in the video.
        max_zoom: scale relative to the one at which objects were learned.
        min_visible: share of an object's usual area below which it may be elsewhere, as if it were absent. The usual
            area shrinks no faster than windows do.
        max_search_zoom: while an object is absent, whole frames are encoded; where it was learned at so many times
            their scale, in every other frame a window instead, around the visible objects and the places where absent
            ones were last seen.
        min_side: longer side of an encoded window, in input pixels.
        step: sides in input pixels are multiples of it.
    """

    area: float = 4.0
    trimmed: float = 0.01
    max_aspect: float = 3.0
    max_area: float = 0.5
    shrink: float = 0.97
    grow: float = 1.15
    thickness: float = 80.0
    max_scale: float = 2.2
    max_zoom: float = 1.2
    min_visible: float = 0.5
    max_search_zoom: float = 2.0
    min_side: int = 256
    step: int = 64


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the planner needs of a frame's result.

    Args:
        boxes: trimmed box of each object by its id; None: it is absent.
        areas: number of its pixels.
    """

    boxes: dict[int, PixelBox | None]
    areas: dict[int, int]

    @classmethod
    def of(cls, label_map: LabelMap, object_ids: Sequence[int], *, trimmed: float) -> Sighting:
        """What is seen in a label map."""
        step = max(1, max(label_map.shape) // _SAMPLES)
        sampled = label_map[::step, ::step]
        boxes = {}
        for each in object_ids:
            box = _sampled_box(sampled == each, step, trimmed)
            boxes[each] = box or (trimmed_box(label_map == each, trimmed) if step > 1 else None)  # a thin object
        counts = np.ravel(cv2.calcHist([label_map], [0], None, [256], [0, 256]))
        return cls(boxes, {each: int(counts[each]) for each in object_ids})


def _sampled_box(mask: npt.NDArray[np.bool_], step: int, trimmed: float) -> PixelBox | None:
    """Trimmed box of a mask of every n-th pixel, in pixels."""
    box = trimmed_box(mask, trimmed)
    return None if box is None else (box[0] * step, box[1] * step, box[2] * step, box[3] * step)


class WindowPlanner:
    """Plans the windows of the frames of a video, in their order.

    Args:
        size: longer side of whole frames in input pixels; windows have at most as many pixels.
        settings: the constants; None: all frames are encoded whole.
        object_ids: of objects that are looked for from the first frame on.
    """

    def __init__(self, size: int, settings: WindowSettings | None, object_ids: Sequence[int] = ()) -> None:
        self._size = size
        self._settings = settings
        self._ids = set(object_ids)
        self._shape: tuple[int, int] | None = None  # of the latest frame
        self._since_cut = 0  # number of frames since the latest cut or change of their size
        self._given: deque[Sighting | None] = deque(maxlen=DELAY)  # masks of the latest frames
        self._last: dict[int, PixelBox] = {}  # of each object where it was last seen in this scene
        self._areas: dict[int, float] = {}  # usual area of each object, in pixels
        self._searching = 0  # number of frames since all objects were visible
        self._was_whole = False  # whether the whole of the latest frame was encoded
        self._extent: tuple[float, float] | None = None  # width and height of the latest window around objects
        self._wanted_scale = 0.0  # for the thinnest object
        self._learned_scale = math.inf  # least one at which objects were learned; infinite: unknown

    def see(self, label_map: LabelMap, object_ids: Sequence[int]) -> Sighting:
        """Sighting of all objects, visible or not, in a frame's result."""
        return Sighting.of(label_map, object_ids, trimmed=0 if self._settings is None else self._settings.trimmed)

    def plan(
        self, sighting: Sighting | None, shape: tuple[int, int], *, is_cut: bool, given: LabelMap | None = None
    ) -> Window:
        """Window of the next frame.

        Args:
            sighting: of `DELAY` frames before; None: there was no frame then.
            shape: height and width of the frame.
            is_cut: whether it is of another scene than the one before.
            given: label map of masks that are given for this frame.
        """
        settings, whole = self._settings, self._whole(shape)
        if settings is None:
            return whole
        self._since_cut += 1
        if is_cut or shape != self._shape:
            self._begin_scene(shape)
        seen = [] if sighting is None or self._since_cut < DELAY else [sighting]
        # Given masks are in no sighting yet.
        self._given.append(None if given is None else Sighting.of(given, ids_in(given), trimmed=0))
        newly_given = [each for each in self._given if each is not None]
        if given is not None:
            thinnest = min(object_thickness(given == each) for each in ids_in(given))
            self._wanted_scale = max(self._wanted_scale, settings.thickness / thinnest)
        boxes = {key: box for each in (*seen, *newly_given) for key, box in each.boxes.items()}
        self._ids |= boxes.keys()
        self._last.update({key: box for key, box in boxes.items() if box is not None})
        is_searching = None in boxes.values() or self._is_little_visible([*seen, *newly_given], settings)
        self._searching = self._searching + 1 if is_searching else 0
        was_whole, self._was_whole = self._was_whole, True
        if not self._last or self._ids - self._last.keys():
            return whole
        is_fine = math.inf > self._learned_scale > settings.max_search_zoom * whole.scale
        if self._searching and not (is_fine and self._searching % 2 == 0):
            return whole
        self._was_whole = False
        # Given masks are no mistake, and when the whole frame was encoded there is nothing new beside the objects.
        grows_at_once = bool(newly_given) or was_whole
        box = _union(self._last.values())
        self._extent = self._next_extent(box, shape, settings, grows_at_once=grows_at_once)
        return self._around(box, self._extent, shape, settings)

    def _is_little_visible(self, seen: Sequence[Sighting], settings: WindowSettings) -> bool:
        """Whether much less than usual is visible of an object: the rest of it may be elsewhere."""
        areas = {key: area for each in seen for key, area in each.areas.items()}
        shrink = settings.shrink**2
        for key, area in areas.items():
            self._areas[key] = max(area, shrink * self._areas.get(key, 0))
        return any(area < settings.min_visible * self._areas[key] for key, area in areas.items())

    def _begin_scene(self, shape: tuple[int, int]) -> None:
        """Forget where objects were. Frames of another size are taken for the same video, resized."""
        if self._shape is not None:
            ratio = max(self._shape) / max(shape)
            self._wanted_scale *= ratio
            self._learned_scale *= ratio
        self._shape, self._since_cut, self._extent, self._last = shape, 0, None, {}
        self._areas = {}
        self._given.clear()

    def learn(self, label_map: LabelMap) -> Window:
        """Window of a frame in which objects are personalised, around all objects of a label map."""
        height, width = label_map.shape
        if self._settings is None:
            return self._whole((height, width))
        boxes = Sighting.of(label_map, ids_in(label_map), trimmed=0).boxes.values()
        box = _union(each for each in boxes if each is not None)
        extent = _wanted_extent(box, (height, width), self._settings)
        window = self._around(box, extent, (height, width), self._settings)
        self._learned_scale = min(self._learned_scale, window.scale)
        return window

    def _whole(self, shape: tuple[int, int]) -> Window:
        return Window.whole(shape, self._size)

    def _next_extent(
        self, box: PixelBox, shape: tuple[int, int], settings: WindowSettings, *, grows_at_once: bool
    ) -> tuple[float, float]:
        """Width and height of the next window around a box, which follow those of the latest one slowly."""
        wanted = _wanted_extent(box, shape, settings)
        if self._extent is None:
            return wanted
        grow = math.inf if grows_at_once else settings.grow
        width, height = (
            max(min(max(now, before * settings.shrink), before * grow), least)
            for now, before, least in zip(wanted, self._extent, (box[2] - box[0], box[3] - box[1]), strict=True)
        )
        return min(width, shape[1]), min(height, shape[0])

    def _around(
        self,
        box: PixelBox,
        extent: tuple[float, float],
        shape: tuple[int, int],
        settings: WindowSettings,
    ) -> Window:
        """Window around a box.

        Args:
            extent: width and height of the window.
        """
        whole = self._whole(shape)
        width, height = extent
        if width * height > settings.max_area * whole.width * whole.height:
            return whole
        wanted = max(min(self._wanted_scale, settings.max_scale), whole.scale)
        wanted = min(wanted, settings.max_zoom * self._learned_scale)
        scale = min((whole.input_pixels / (width * height)) ** 0.5, wanted)
        steps = max(width, height) * scale / settings.step
        # A little larger rather than of another scale, unless it would have too many pixels.
        steps = math.ceil(steps) if scale == wanted else math.floor(steps)
        side = min(max(steps * settings.step, settings.min_side), INPUT_SIZE)
        if steps * settings.step > INPUT_SIZE:
            scale = min(scale, side / max(width, height))
        enlarged = max(1.0, side / scale / max(width, height))
        # In whole cells of the feature grid, so that nothing is padded.
        columns, rows = (
            min(round(math.ceil(each * enlarged * scale / _CELL - 0.01) * _CELL / scale), limit)
            for each, limit in ((width, whole.width), (height, whole.height))
        )
        return Window(
            left=_centred(box[0], box[2], columns, whole.width),
            top=_centred(box[1], box[3], rows, whole.height),
            width=columns,
            height=rows,
            side=side,
            frame_width=whole.width,
            frame_height=whole.height,
        )


def _union(boxes: Iterable[PixelBox]) -> PixelBox:
    """Box around boxes, of which there is at least one."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _wanted_extent(box: PixelBox, shape: tuple[int, int], settings: WindowSettings) -> tuple[float, float]:
    """Width and height of a window around a box, in pixels."""
    factor = settings.area**0.5
    width, height = (box[2] - box[0]) * factor, (box[3] - box[1]) * factor
    width, height = max(width, height / settings.max_aspect), max(height, width / settings.max_aspect)
    return min(width, shape[1]), min(height, shape[0])


def object_thickness(mask: npt.NDArray[np.bool_]) -> float:
    """Thickness of an object, in pixels: twice its area by its perimeter (of a disk the radius, of a line the width).

    Args:
        mask: bool, H×W, not empty.
    """
    padded = np.pad(mask, 1)
    edges = np.count_nonzero(padded[1:] != padded[:-1]) + np.count_nonzero(padded[:, 1:] != padded[:, :-1])
    # Along the rows and columns an outline is longer by 4 / pi, in the mean over all directions.
    return 2 * np.count_nonzero(mask) / (edges * math.pi / 4)


def _centred(start: int, stop: int, length: int, limit: int) -> int:
    """Start of a part of some length with the same centre as another, within a limit."""
    return min(max(0, (start + stop - length) // 2), limit - length)
