"""Masks drawn over a frame: coloured areas, outlines, and each object's id on a small tag."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from persam_video.files.palette_png import DAVIS_PALETTE, VOC_PALETTE, Palette
from persam_video.frame import Image, LabelMap

_Mask = npt.NDArray[np.uint8]  # 0 or not, as OpenCV wants it

_WHITE = (255, 255, 255)
_BLACK = (0, 0, 0)


def draw_overlay(image: Image, label_map: LabelMap, *, object_ids: Iterable[int], opacity: float = 0.45) -> Image:
    """Draw the masks of some objects, their outlines and ids over a frame.

    The colours are those of the palette PNGs, brightened. Lines and text grow with the frame's shorter side.

    Args:
        image: RGB, uint8, H×W×3; is not changed.
        label_map: object id of every pixel, uint8, H×W.
        object_ids: the objects to draw; those without a pixel in the label map are left out, and so are all other
            values of the map.
        opacity: how much of a mask's colour covers the frame, 0 (outline only) to 1.

    Returns:
        A new picture, RGB, uint8, H×W×3.

    Raises:
        ValueError: the two are not of the same size or type, an object id is not 1 to 255, or the opacity not 0 to 1.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"the image must be RGB, uint8, H×W×3; got {image.dtype} of shape {image.shape}")
    if label_map.shape != image.shape[:2] or label_map.dtype != np.uint8:
        raise ValueError(
            f"the label map must be uint8 of the image's size {image.shape[:2]}; "
            f"got {label_map.dtype} of shape {label_map.shape}"
        )
    if not 0 <= opacity <= 1:
        raise ValueError(f"the opacity must be 0 to 1, got {opacity}")
    ids = sorted(set(object_ids))
    if ids and not 1 <= ids[0] <= ids[-1] <= 255:
        raise ValueError(f"object ids must be 1 to 255, got {ids[0]} to {ids[-1]}")

    canvas = np.array(image, order="C")
    shown = np.zeros(256, dtype=np.uint8)
    shown[ids] = ids
    labels = np.asarray(cv2.LUT(np.ascontiguousarray(label_map), shown), dtype=np.uint8)
    x, y, width, height = cv2.boundingRect(labels)
    if width == 0:
        return canvas
    # All below is done inside the box around the objects, with a rim of background where the frame goes on.
    line_width = _line_width(canvas.shape)
    top, left = max(0, y - line_width), max(0, x - line_width)
    box = slice(top, y + height + line_width), slice(left, x + width + line_width)
    labels = np.ascontiguousarray(labels[box])
    _paint(canvas[box], labels, opacity, line_width)

    text_height = max(9, round(min(canvas.shape[:2]) / 36))
    placed: list[_Box] = []
    for object_id in ids:
        if spot := _top_of(np.asarray(cv2.inRange(labels, object_id, object_id), np.uint8), 2 * text_height):
            tag = _tag(object_id, text_height)
            where = _place(tag.shape, (left + spot[0], top + spot[1]), placed, canvas.shape)
            canvas[where.y : where.bottom, where.x : where.right] = tag[: canvas.shape[0], : canvas.shape[1]]
            placed.append(where)
    return canvas


def overlay_palette() -> Palette:
    """The colours that objects are drawn in: uint8, 256×3, RGB.

    DAVIS' palette made as bright as can be (its largest value is 191); from id 22 on, where DAVIS has greys that
    nobody could tell apart, VOC's.
    """
    palette: Palette = np.array(VOC_PALETTE)
    palette[:22] = np.rint(DAVIS_PALETTE[:22] * (255 / 191))
    return palette


_COLOURS = overlay_palette()
# Outlines are lighter than the areas, so that they show on dark frames as well.
_LINE_COLOURS = (_COLOURS + (255 - _COLOURS.astype(np.uint16)) * 3 // 10).astype(np.uint8)


def _line_width(shape: tuple[int, ...]) -> int:
    """Width of the outlines in pixels: 1 at 240p, 2 at 480p, 4 at 1080p, 8 at 4K."""
    return max(1, round(min(shape[:2]) / 270))


def _paint(area: Image, labels: LabelMap, opacity: float, line_width: int) -> None:
    """Colour the objects in `area` (changed in place) and draw outlines along the inside of their borders."""
    coloured = cv2.applyColorMap(labels, _COLOURS[:, None])
    blended = cv2.addWeighted(area, 1 - opacity, coloured, opacity, 0)
    cv2.copyTo(blended, labels, area)
    # A pixel is on an outline if another value is within the line's width; the frame's edge is none.
    # (A square neighbourhood is separable: at 4K four times as fast as a round one.)
    kernel = np.ones((2 * line_width + 1, 2 * line_width + 1), np.uint8)
    outline = cv2.compare(cv2.dilate(labels, kernel), cv2.erode(labels, kernel), cv2.CMP_NE)
    lines = cv2.applyColorMap(labels, _LINE_COLOURS[:, None])
    cv2.copyTo(lines, cv2.min(outline, labels), area)  # min: none on the background


class _Box(NamedTuple):
    x: int
    y: int
    right: int
    bottom: int

    def overlap(self, other: _Box) -> int:
        """Pixels that both have."""
        width = min(self.right, other.right) - max(self.x, other.x)
        height = min(self.bottom, other.bottom) - max(self.y, other.y)
        return max(0, width) * max(0, height)


def _top_of(mask: _Mask, strip_width: int) -> tuple[int, int] | None:
    """The top of an object (x, y in pixels) near its median column, which stray specks hardly move; None if empty."""
    x, y, width, height = cv2.boundingRect(mask)
    if width == 0:
        return None
    mask = mask[y : y + height, x : x + width]
    sums = np.cumsum(cv2.reduce(mask, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel(), dtype=np.int64)
    middle = int(np.searchsorted(sums, sums[-1] / 2))
    strip = mask[:, max(0, middle - strip_width // 2) : middle + strip_width // 2 + 1]
    return x + middle, y + int(np.argmax(strip.any(axis=1)))


def _place(tag_shape: tuple[int, ...], top: tuple[int, int], placed: list[_Box], frame: tuple[int, ...]) -> _Box:
    """Where a tag goes: on top of its object or, where other tags are in the way, beside or below that place.

    It is always inside the frame; in a frame smaller than the tag it is cut off.
    """
    height, width = min(tag_shape[0], frame[0]), min(tag_shape[1], frame[1])

    def box(columns: float, rows: float) -> _Box:
        x = min(max(round(top[0] - width / 2 + columns * width), 0), frame[1] - width)
        y = min(max(round(top[1] - height + rows * height), 0), frame[0] - height)
        return _Box(x, y, x + width, y + height)

    shifts = ((0, 0), (0, 1.1), (-1.1, 0), (1.1, 0), (-1.1, 1.1), (1.1, 1.1), (0, -1.1), (0, 2.2), (0, 3.3))
    return min((box(*shift) for shift in shifts), key=lambda spot: sum(spot.overlap(other) for other in placed))


@lru_cache(maxsize=512)
def _tag(object_id: int, text_height: int) -> Image:
    """An object's id on a filled rectangle of its colour with a light rim, RGB."""
    text = _text(str(object_id), text_height)
    rim = max(1, text_height // 14)
    pad = max(2, text_height // 3)
    fill = _COLOURS[object_id].astype(np.float32)
    ink = _BLACK if fill @ (0.299, 0.587, 0.114) > 140 else _WHITE
    cover = np.pad(text, pad)[..., None].astype(np.float32) / 255
    inner = np.rint(fill * (1 - cover) + np.array(ink, dtype=np.float32) * cover).astype(np.uint8)
    tag = cv2.copyMakeBorder(inner, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=_WHITE)
    tag = np.asarray(tag, dtype=np.uint8)
    tag.flags.writeable = False  # it is kept for the frames to come
    return tag


def _text(text: str, height: int) -> _Mask:
    """Digits as coverage 0 to 255, cropped to their ink and exactly `height` pixels high.

    Drawn large and scaled down: OpenCV 4 and 5 have different fonts of different sizes, and small ones are ragged.
    """
    drawn = np.zeros((200, 120 * len(text) + 100), dtype=np.uint8)
    cv2.putText(drawn, text, (30, 160), cv2.FONT_HERSHEY_SIMPLEX, 5, 255, 13, cv2.LINE_AA)
    x, y, w, h = cv2.boundingRect(drawn)
    width = max(1, round(w * height / h))
    return np.asarray(cv2.resize(drawn[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_AREA), np.uint8)
