"""Objects found in a frame of a video."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image

from persam_video.drawing import draw_overlay
from persam_video.errors import InputError, OutputError
from persam_video.files.atomic import write_atomic
from persam_video.files.images import IMAGE_SUFFIXES
from persam_video.files.palette_png import write_palette_png
from persam_video.frame import Frame, Image, LabelMap, PixelBox
from persam_video.matting import alpha_of

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class FrameResult:
    """Objects found in one frame.

        result.mask(2)   # bool, H×W
        result.box(2)    # (x0, y0, x1, y1), or None where object 2 is absent
        result.crop(2)   # RGB, the part of the image within the box

    Args:
        frame: the frame.
        label_map: object id of every pixel, uint8, H×W, 0 = background.
        scores: estimate of the IoU of each object's mask with the true one, 0 to 1; 1 where the mask was given by the
            user, 0 where the object is absent.
        visible: whether each object is in the frame. The keys of both are all objects that have been added so far,
            visible or not, in the order in which they were added.
        names: of the objects that have one, by id.

    Raises:
        ValueError: the label map is not of the frame's size, or the two mappings have different ids.
    """

    frame: Frame
    label_map: LabelMap
    scores: Mapping[int, float]
    visible: Mapping[int, bool]
    names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.label_map.shape != self.frame.image.shape[:2] or self.label_map.dtype != np.uint8:
            raise ValueError(
                f"the label map must be uint8 of the frame's size {self.frame.image.shape[:2]}; "
                f"got {self.label_map.dtype} of shape {self.label_map.shape}"
            )
        if self.scores.keys() != self.visible.keys():
            raise ValueError("scores and visible must be about the same object ids")

    def __repr__(self) -> str:
        height, width = self.label_map.shape
        objects = ", ".join(f"{i}: {self.scores[i]:.2f}" if self.visible[i] else f"{i}: absent" for i in self.scores)
        return f"FrameResult({self.frame!r}, label_map {height}×{width} uint8, scores {{{objects}}})"

    @classmethod
    def of(
        cls, frame: Frame, label_map: LabelMap, scores: Mapping[int, float], names: Mapping[int, str] | None = None
    ) -> FrameResult:
        """Result of a label map and a score for every object; objects without a pixel are absent.

        Args:
            names: of objects by id, tracked or not.
        """
        areas = np.ravel(cv2.calcHist([label_map], [0], None, [256], [0, 256]))
        visible = {i: bool(areas[i]) for i in scores}
        clamped = {i: min(max(score, 0.0), 1.0) if visible[i] else 0.0 for i, score in scores.items()}
        known = {i: names[i] for i in scores if i in names} if names else {}
        return cls(frame=frame, label_map=label_map, scores=clamped, visible=visible, names=known)

    @property
    def index(self) -> int:
        """Number of the frame in its source, from 0."""
        return self.frame.index

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of all objects that are tracked, visible or not."""
        return tuple(self.scores)

    def mask(self, object_id: int) -> npt.NDArray[np.bool_]:
        """Mask of one object, bool, H×W.

        Raises:
            KeyError: there is no such object.
        """
        self._check_id(object_id)
        mask: npt.NDArray[np.bool_] = self.label_map == object_id
        return mask

    def box(self, object_id: int) -> PixelBox | None:
        """Bounding box of one object's mask, so that ``image[y0:y1, x0:x1]`` holds it; None where it is absent.

        Raises:
            KeyError: there is no such object.
        """
        self._check_id(object_id)
        x, y, width, height = cv2.boundingRect(cv2.inRange(self.label_map, object_id, object_id))
        return (x, y, x + width, y + height) if width else None

    def alpha(self, object_id: int | Collection[int]) -> npt.NDArray[np.float32]:
        """Share of each pixel that an object covers, float32, H×W, 0 to 1: its mask with soft edges (`alpha_of`).

        The alphas of all objects and of the background, id 0, sum to 1. Computed anew with each call.

        Args:
            object_id: of one object, or ids of several that are taken together.
        Raises:
            KeyError: there is no such object.
        """
        ids = [object_id] if isinstance(object_id, int) else list(object_id)
        for each in ids:
            if each:
                self._check_id(each)
        return alpha_of(self.frame.image, self.label_map, ids)

    def crop(self, object_id: int, *, margin: int = 0) -> Image | None:
        """Part of the image within an object's box, RGB, uint8, h×w×3, a copy; None where the object is absent.

        Args:
            margin: pixels added to each side of the box, within the image.
        Raises:
            KeyError: there is no such object.
            ValueError: the margin is negative.
        """
        if margin < 0:
            raise ValueError(f"the margin must be 0 or more pixels, got {margin}")
        box = self.box(object_id)
        if box is None:
            return None
        x0, y0, x1, y1 = box
        crop: Image = self.frame.image[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin].copy()
        return crop

    def plot(self, *, opacity: float = 0.45) -> Image:
        """Copy of the image with masks, outlines and names or ids drawn over it, RGB, uint8, H×W×3.

        Args:
            opacity: of the masks' colours, 0 (outlines only) to 1.
        """
        return draw_overlay(
            self.frame.image, self.label_map, object_ids=self.object_ids, names=self.names, opacity=opacity
        )

    def save(self, path: str | Path) -> None:
        """Write `plot` as an image file (.jpg, .png, .webp, …); one that exists is replaced.

        Raises:
            OutputError: the suffix is of no image, or the file cannot be written.
        """
        image, suffix = io.BytesIO(), Path(path).suffix.lower()
        if suffix not in IMAGE_SUFFIXES:
            raise OutputError(f"{path}: the suffix must be one of {', '.join(sorted(IMAGE_SUFFIXES))}")
        PIL.Image.fromarray(self.plot()).save(image, PIL.Image.registered_extensions()[suffix])
        write_atomic(Path(path), image.getvalue())

    def save_mask(self, path: str | Path) -> None:
        """Write the label map as a PNG with DAVIS' palette, whose pixel values are the object ids; a file that exists
        is replaced.

        Raises:
            OutputError: the suffix is not .png, or the file cannot be written.
        """
        if Path(path).suffix.lower() != ".png":
            raise OutputError(f"{path}: masks are written as .png; give such a name")
        png = io.BytesIO()
        write_palette_png(png, self.label_map)
        write_atomic(Path(path), png.getvalue())

    def to_supervision(self) -> supervision.Detections:
        """The visible objects as ``supervision.Detections``: boxes (``xyxy``), ``mask``, ``confidence`` (the scores),
        ``class_id`` and ``tracker_id`` (both the object ids), and the names as ``data["class_name"]``.

        Raises:
            InputError: the package supervision is missing.
        """
        try:
            import supervision
        except ImportError as error:
            raise InputError("the package supervision is missing; install persam-video[supervision]") from error
        ids = [i for i in self.object_ids if self.visible[i]]
        if not ids:
            return supervision.Detections.empty()
        return supervision.Detections(
            xyxy=np.array([self.box(i) for i in ids], np.float32),
            mask=np.stack([self.mask(i) for i in ids]),
            confidence=np.array([self.scores[i] for i in ids], np.float32),
            class_id=np.array(ids),
            tracker_id=np.array(ids),
            data={"class_name": np.array([self.names.get(i, f"object {i}") for i in ids])},
        )

    def _check_id(self, object_id: int) -> None:
        if object_id not in self.scores:
            raise KeyError(f"no object {object_id}; the ids are {', '.join(map(str, self.scores))}")
