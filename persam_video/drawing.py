"""Masks drawn over an image: coloured areas, outlines, and each object's name or id on a small tag."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from persam_video.files.palette_png import DAVIS_PALETTE, VOC_PALETTE, Palette
from persam_video.frame import Image, LabelMap

_Mask = npt.NDArray[np.uint8]  # 0 or not, as OpenCV needs it

_MAX_TAG = 24
"""Characters of a name on a tag."""
_NO_CHARACTER = "\uffff"
_ROWS = 512  # painted at once, so that memory does not grow with the image
_WHITE = (255, 255, 255)
_BLACK = (0, 0, 0)


def draw_overlay(
    image: Image,
    label_map: LabelMap,
    *,
    object_ids: Iterable[int],
    names: Mapping[int, str] | None = None,
    opacity: float = 0.45,
) -> Image:
    """Copy of an image with the masks of some objects, their outlines and names or ids drawn over it.

    The colours are those of the palette PNGs, brightened. Lines and text scale with the image's shorter side.

    Args:
        image: RGB, uint8, H×W×3; is not changed.
        label_map: object id of every pixel, uint8, H×W.
        object_ids: objects to draw; other values of the label map are left out.
        names: of objects by id, drawn instead of the id; with it where several objects have the same name. Names in
            scripts that Pillow's own font lacks are not drawn.
        opacity: of the masks' colours, 0 (outlines only) to 1.

    Returns:
        A new image, RGB, uint8, H×W×3.

    Raises:
        ValueError: the image or the label map has another type or shape, an object id is not from 1 to 255, or the
            opacity is not from 0 to 1.
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
    drawn_ids = np.zeros(256, dtype=np.uint8)
    drawn_ids[ids] = ids
    labels = np.asarray(cv2.LUT(np.ascontiguousarray(label_map), drawn_ids), dtype=np.uint8)
    x, y, width, height = cv2.boundingRect(labels)
    if width == 0:
        return canvas
    # Only the box around the objects is drawn, with a margin so that its sides count as background.
    line_width = _line_width(canvas.shape)
    top, left = max(0, y - line_width), max(0, x - line_width)
    box = slice(top, y + height + line_width), slice(left, x + width + line_width)
    labels = np.ascontiguousarray(labels[box])
    _paint(canvas[box], labels, opacity, line_width)

    text_height = max(9, round(min(canvas.shape[:2]) / 36))
    texts = _tag_texts(ids, names or {})
    tag_boxes: list[_Box] = []
    for object_id in ids:
        if anchor := _top_of(np.asarray(cv2.inRange(labels, object_id, object_id), np.uint8), 2 * text_height):
            tag = _tag(object_id, texts[object_id], text_height)
            tag_box = _tag_box(tag.shape, (left + anchor[0], top + anchor[1]), tag_boxes, canvas.shape)
            canvas[tag_box.y : tag_box.bottom, tag_box.x : tag_box.right] = tag[: canvas.shape[0], : canvas.shape[1]]
            tag_boxes.append(tag_box)
    return canvas


def _tag_texts(object_ids: Iterable[int], names: Mapping[int, str]) -> dict[int, str]:
    """Text on each object's tag."""
    texts = {}
    for object_id in object_ids:
        name = names.get(object_id)
        drawable = None if name is None else next(filter(_has_glyphs, (name, _without_accents(name))), None)
        if name is None or drawable is None:
            texts[object_id] = str(object_id)
            continue
        shown = drawable if len(drawable) <= _MAX_TAG else f"{drawable[: _MAX_TAG - 3]}..."
        is_shared = sum(each == name for each in names.values()) > 1
        texts[object_id] = f"{shown} {object_id}" if is_shared else shown
    return texts


def overlay_palette() -> Palette:
    """Colours of drawn objects by id, RGB, uint8, 256×3.

    DAVIS' palette at full brightness (its largest value is 191); from id 22 on, where DAVIS has greys that are hardly
    distinguishable, VOC's.
    """
    palette: Palette = np.array(VOC_PALETTE)
    palette[:22] = np.rint(DAVIS_PALETTE[:22] * (255 / 191))
    return palette


_COLOURS = overlay_palette()
# Outlines are lighter than the areas, so that they are visible on dark images as well.
_LINE_COLOURS = (_COLOURS + (255 - _COLOURS.astype(np.uint16)) * 3 // 10).astype(np.uint8)


def _line_width(shape: tuple[int, ...]) -> int:
    """Width of the outlines in pixels: 1 at 240p, 2 at 480p, 4 at 1080p, 8 at 4K."""
    return max(1, round(min(shape[:2]) / 270))


def _paint(area: Image, labels: LabelMap, opacity: float, line_width: int) -> None:
    """Colour the objects in `area` (changed in place) and draw outlines along the inside of their borders."""
    for row in range(0, len(labels), _ROWS):
        rows = slice(row, row + _ROWS)
        top = max(0, row - line_width)  # rows that decide about outlines
        outline = _outline(labels[top : row + _ROWS + line_width], line_width)[row - top :][:_ROWS]
        _paint_rows(area[rows], labels[rows], np.ascontiguousarray(outline), opacity)


def _outline(labels: LabelMap, line_width: int) -> _Mask:
    """Pixels with another value within the line's width; the image's edge is not a border."""
    # A square neighbourhood is separable: at 4K four times as fast as a round one.
    kernel = np.ones((2 * line_width + 1, 2 * line_width + 1), np.uint8)
    return np.asarray(cv2.compare(cv2.dilate(labels, kernel), cv2.erode(labels, kernel), cv2.CMP_NE), np.uint8)


def _paint_rows(area: Image, labels: LabelMap, outline: _Mask, opacity: float) -> None:
    coloured = cv2.applyColorMap(labels, _COLOURS[:, None])
    blended = cv2.addWeighted(area, 1 - opacity, coloured, opacity, 0)
    cv2.copyTo(blended, labels, area)
    lines = cv2.applyColorMap(labels, _LINE_COLOURS[:, None])
    cv2.copyTo(lines, cv2.min(outline, labels), area)  # min: not on the background


class _Box(NamedTuple):
    x: int
    y: int
    right: int
    bottom: int

    def overlap(self, other: _Box) -> int:
        """Number of pixels in both boxes."""
        width = min(self.right, other.right) - max(self.x, other.x)
        height = min(self.bottom, other.bottom) - max(self.y, other.y)
        return max(0, width) * max(0, height)


def _top_of(mask: _Mask, strip_width: int) -> tuple[int, int] | None:
    """Top of an object, (x, y) in pixels, near its median column, which stray pixels hardly move; None if empty."""
    x, y, width, height = cv2.boundingRect(mask)
    if width == 0:
        return None
    mask = mask[y : y + height, x : x + width]
    sums = np.cumsum(cv2.reduce(mask, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel(), dtype=np.int64)
    middle = int(np.searchsorted(sums, sums[-1] / 2))
    strip = mask[:, max(0, middle - strip_width // 2) : middle + strip_width // 2 + 1]
    return x + middle, y + int(np.argmax(strip.any(axis=1)))


def _tag_box(tag: tuple[int, ...], anchor: tuple[int, int], others: list[_Box], image: tuple[int, ...]) -> _Box:
    """Box of a tag above its anchor or, if other tags are there, beside or below that, where it overlaps them least.

    It is always inside the image; a tag larger than the image is cut off.

    Args:
        tag: shape of the tag.
        anchor: top of the object, (x, y), pixels.
        others: boxes of the tags that are drawn already.
        image: shape of the image.
    """
    height, width = min(tag[0], image[0]), min(tag[1], image[1])

    def box(columns: float, rows: float) -> _Box:
        x = min(max(round(anchor[0] - width / 2 + columns * width), 0), image[1] - width)
        y = min(max(round(anchor[1] - height + rows * height), 0), image[0] - height)
        return _Box(x, y, x + width, y + height)

    shifts = ((0, 0), (0, 1.1), (-1.1, 0), (1.1, 0), (-1.1, 1.1), (1.1, 1.1), (0, -1.1), (0, 2.2), (0, 3.3))
    return min((box(*shift) for shift in shifts), key=lambda each: sum(each.overlap(other) for other in others))


@lru_cache(maxsize=512)
def _tag(object_id: int, text: str, text_height: int) -> Image:
    """Tag of an object: text on a rectangle of its colour with a white rim, RGB, uint8, h×w×3."""
    drawn = _text(text, text_height)
    rim = max(1, text_height // 14)
    pad = max(2, text_height // 3)
    fill = _COLOURS[object_id].astype(np.float32)
    text_colour = _BLACK if fill @ (0.299, 0.587, 0.114) > 140 else _WHITE
    coverage = np.pad(drawn, pad)[..., None].astype(np.float32) / 255
    inner = np.rint(fill * (1 - coverage) + np.array(text_colour, dtype=np.float32) * coverage).astype(np.uint8)
    tag = cv2.copyMakeBorder(inner, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=_WHITE)
    tag = np.asarray(tag, dtype=np.uint8)
    tag.flags.writeable = False  # it is cached
    return tag


def _text(text: str, height: int) -> _Mask:
    """Coverage of a line of text, 0 to 255, uint8, h×w: digits are `height` pixels high, and letters may go beyond."""
    font = _font(height)
    _, top, _, bottom = font.getbbox("0", anchor="ls")
    left, highest, right, lowest = font.getbbox(text, anchor="ls")
    first, last = min(top, highest), max(bottom, lowest)
    drawn = PIL.Image.new("L", (max(1, math.ceil(right - left)), math.ceil(last - first)))
    PIL.ImageDraw.Draw(drawn).text((-left, -first), text, fill=255, font=font, anchor="ls")
    return np.asarray(drawn)


@lru_cache(maxsize=16)
def _font(height: int) -> PIL.ImageFont.FreeTypeFont:
    """Pillow's own font, in which digits are `height` pixels high. (OpenCV's differ between its versions 4 and 5, and
    have no letters beyond ASCII.)"""
    font = PIL.ImageFont.load_default(100)
    assert isinstance(font, PIL.ImageFont.FreeTypeFont)
    _, top, _, bottom = font.getbbox("0", anchor="ls")
    return font.font_variant(size=100 * height / (bottom - top))


def _without_accents(text: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))


@lru_cache(maxsize=512)
def _has_glyphs(text: str) -> bool:
    """Whether the font has all characters of a text."""
    font = _font(20)
    missing = bytes(font.getmask(_NO_CHARACTER))
    return all(character.isspace() or bytes(font.getmask(character)) != missing for character in text)
