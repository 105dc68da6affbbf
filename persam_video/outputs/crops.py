"""Images and videos that follow one object."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from persam_video.frame import Image, PixelBox, trimmed_box
from persam_video.outputs.cutout import checked_objects, chosen, cutout
from persam_video.outputs.folder import FolderOutput, encode_jpeg, encode_png
from persam_video.outputs.video import VideoOutput
from persam_video.result import FrameResult
from persam_video.video.reader import VideoInfo

CROP_SIZE = 512
"""Default width and height of a crop, in pixels."""

_MARGIN = 1.3
"""Side of the square relative to the longer side of the object's box."""
_LEAST_MARGIN = 0.06
"""Part of the square's side that is always left between the object and its edge."""
_TRIMMED = 0.01
"""Share of the object's pixels on each side that do not count for the box."""
_STRAY = 1.3
"""Longer side of the whole box relative to the trimmed one from which on there are stray pixels."""
_SHRINK = 0.98
"""Least ratio of the side to that in the frame before."""
_FOLLOW = 0.15
"""Part of the way to the object's centre that the square goes in a frame, as long as the object is in it."""


@dataclass
class _Square:
    """Square that follows an object, in pixels; it moves smoothly, and always holds the object's box."""

    x: float  # centre
    y: float
    side: float

    @classmethod
    def around(cls, box: PixelBox) -> _Square:
        x0, y0, x1, y1 = box
        return cls((x0 + x1) / 2, (y0 + y1) / 2, _MARGIN * max(x1 - x0, y1 - y0))

    def follow(self, box: PixelBox) -> None:
        """Move on to the object's next box."""
        wanted = _Square.around(box)
        self.side = max(wanted.side, _SHRINK * self.side)
        half, (x0, y0, x1, y1) = (0.5 - _LEAST_MARGIN) * self.side, box
        self.x = min(max(self.x + _FOLLOW * (wanted.x - self.x), x1 - half), x0 + half)
        self.y = min(max(self.y + _FOLLOW * (wanted.y - self.y), y1 - half), y0 + half)

    def cut(self, image: Image, size: int) -> Image:
        """The square's part of an image, size×size; beyond the image it is black, or transparent."""
        scale = size / self.side
        if scale < 0.5:  # a larger step in one would flicker
            factor = int(1 / scale)
            columns, rows = -(-image.shape[1] // factor), -(-image.shape[0] // factor)
            shrunk = np.asarray(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
            ratio = columns / image.shape[1]
            return _Square(self.x * ratio, self.y * ratio, self.side * ratio).cut(shrunk, size)
        # OpenCV's coordinates are those of pixel centres.
        shift = size / 2 - 0.5 + scale * 0.5
        matrix = np.array([[scale, 0, shift - scale * self.x], [0, scale, shift - scale * self.y]])
        return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR), np.uint8)


class _Followed:
    """Crops of objects, frame by frame."""

    def __init__(self, size: int, *, background: bool) -> None:
        self._size = size
        self._background = background
        self._squares: dict[int, _Square] = {}

    def crop(self, result: FrameResult, object_id: int) -> Image | None:
        """Crop of an object, size×size, RGB, or RGBA without the background; None where it was not seen yet. While it
        is absent the square stays where it was."""
        box = _box(result, object_id)
        if box is not None:
            self._squares.setdefault(object_id, _Square.around(box)).follow(box)
        if object_id not in self._squares:
            return None
        image = result.frame.image if self._background else cutout(result, [object_id])
        return self._squares[object_id].cut(image, self._size)


def _box(result: FrameResult, object_id: int) -> PixelBox | None:
    """Box of an object, without stray pixels if it has some far away; None where it is absent."""
    box = result.box(object_id)
    trimmed = trimmed_box(result.mask(object_id), _TRIMMED)
    if box is None or trimmed is None:
        return None
    sides = [max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in (box, trimmed)]
    return trimmed if sides[0] > _STRAY * sides[1] else box


class CropOutput(FolderOutput):
    """Folder of images that follow each object, ``<folder>/<id>/<frame name>.jpg``, all of the same size.

    Args:
        path: of the folder.
        objects: ids of the objects that are followed; None: all.
        size: width and height of the images.
        background: keep it; otherwise the images are PNG files with transparency.
    """

    own = ("*/*.jpg", "*/*.png")

    def __init__(
        self,
        path: str | Path,
        *,
        objects: Collection[int] | None = None,
        size: int = CROP_SIZE,
        background: bool = True,
    ) -> None:
        super().__init__(path)
        self.objects, self._background = checked_objects(objects), background
        self._followed = _Followed(size, background=background)

    def frame_files(self, result: FrameResult) -> Mapping[str, bytes]:
        """See `FolderOutput.frame_files`."""
        files = {}
        for i in chosen(result, self.objects):
            crop = self._followed.crop(result, i)
            if crop is not None and self._background:
                files[f"{i}/{result.frame.name}.jpg"] = encode_jpeg(crop)
            elif crop is not None:
                files[f"{i}/{result.frame.name}.png"] = encode_png(cv2.cvtColor(crop, cv2.COLOR_RGBA2BGRA))
        return files


class CropVideoOutput(VideoOutput):
    """Video that follows one object, with the timing and sound of the original.

    Args:
        path: of the file (.mp4, .mov, .mkv).
        object_id: of the object; None: the first one.
        size: width and height of the video.
        background: keep it; otherwise it is black.
    """

    def __init__(
        self, path: str | Path, *, object_id: int | None = None, size: int = CROP_SIZE, background: bool = True
    ) -> None:
        super().__init__(path)
        self._object_id, self._size = object_id, size
        self.objects = None if object_id is None else [object_id]
        self._followed = _Followed(size, background=background)

    def size(self, video: VideoInfo) -> tuple[int, int]:
        """See `VideoOutput.size`."""
        return self._size, self._size

    def image(self, result: FrameResult) -> Image:
        """See `VideoOutput.image`."""
        if self._object_id is None:
            self._object_id = result.object_ids[0]
        known = self._object_id in result.object_ids
        crop = self._followed.crop(result, self._object_id) if known else None
        if crop is None:
            return np.zeros((self._size, self._size, 3), np.uint8)
        if crop.shape[2] == 3:
            return crop
        return np.asarray(np.rint(crop[..., :3] * (crop[..., 3:] / 255)), np.uint8)
