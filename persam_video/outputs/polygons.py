"""Outlines of masks as polygons. A hole is joined with the outline around it by a line there and back, as polygons in
label files have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pycocotools.mask

from persam_video.frame import LabelMap

Polygon = npt.NDArray[np.float64]
"""Corners, float, K×2, (x, y) in pixels from the upper left corner of the image."""

_Points = npt.NDArray[np.int32]
_TOLERANCE = 0.75
_MIN_IOU = 0.99
_MIN_JOINED_IOU = 0.98


class _Part(NamedTuple):
    outline: _Points
    holes: list[_Points]


def edge_polygons(label_map: LabelMap, object_id: int) -> list[Polygon]:
    """Polygon of each part of an object, along the edges of its pixels; IoU with the mask about .99 or above."""
    mask, left, top = _crop(label_map, object_id)
    if mask is None:
        return []
    parts = _parts(np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1))
    # Of twice the size the first column of a pixel is even and the last odd: the edge is before or after it.
    exact = [[(points + 1) // 2 for points in (part.outline, *part.holes)] for part in parts]
    simple = [[_simplified(points) for points in rings] for rings in exact]
    for candidate in (simple, exact):
        polygons = [_closed(_joined(rings)) for rings in candidate]
        if candidate is exact or _iou(mask, polygons) >= _MIN_IOU:
            break
    return [polygon + np.array([left, top]) for polygon in polygons]


def centre_polygons(label_map: LabelMap, object_id: int) -> list[Polygon]:
    """Polygon of a whole object, through the centres of the pixels along its border, as OpenCV fills polygons
    (``fillPoly``). Its parts are joined by lines, unless those would change the mask (IoU below .98): then each part
    has a polygon."""
    mask, left, top = _crop(label_map, object_id)
    if mask is None:
        return []
    outlines = [_joined([part.outline, *part.holes]) for part in _parts(mask)]
    whole = _joined(outlines)
    filled = np.zeros_like(mask)
    cv2.fillPoly(filled, [whole], 255)
    # Filling draws the lines between parts, too, and nothing is left out.
    is_alike = cv2.countNonZero(mask) >= _MIN_JOINED_IOU * cv2.countNonZero(filled)
    # Readers cut or round coordinates to whole pixels.
    return [_closed(points) + np.array([left + 0.25, top + 0.25]) for points in ([whole] if is_alike else outlines)]


def _crop(label_map: LabelMap, object_id: int) -> tuple[npt.NDArray[np.uint8] | None, int, int]:
    mask = np.asarray(cv2.inRange(label_map, object_id, object_id), np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    return (mask[top : top + height, left : left + width] if width else None), left, top


def _parts(mask: npt.NDArray[np.uint8]) -> list[_Part]:
    """Parts of a mask, the largest first."""
    contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parts: dict[int, _Part] = {}
    for number, (points, (_, _, _, parent)) in enumerate(zip(contours, hierarchy[0], strict=True)):
        if parent < 0:
            parts.setdefault(number, _Part(np.asarray(points[:, 0], np.int32), []))
    for points, (_, _, _, parent) in zip(contours, hierarchy[0], strict=True):
        if parent >= 0:
            parts[parent].holes.append(np.asarray(points[:, 0], np.int32))
    return sorted(parts.values(), key=lambda part: cv2.contourArea(part.outline), reverse=True)


def _simplified(points: _Points) -> _Points:
    simple = np.asarray(cv2.approxPolyDP(points[:, None], _TOLERANCE, closed=True)[:, 0], np.int32)
    return simple if len(simple) >= 3 else points


def _joined(rings: Sequence[_Points]) -> _Points:
    """One ring of several, each joined with the ones before it by a line there and back where they are nearest."""
    joined = rings[0]
    for ring in rings[1:]:
        at, start = _nearest(joined, ring)
        there = np.concatenate((ring[start:], ring[: start + 1]))
        joined = np.concatenate((joined[: at + 1], there, joined[at:]))
    return joined


def _nearest(first: _Points, second: _Points) -> tuple[int, int]:
    """Indices of the points of two rings that are nearest to one another."""
    best, found = np.inf, (0, 0)
    for row, point in enumerate(second):
        distances = ((first - point) ** 2).sum(axis=1)
        nearest = int(distances.argmin())
        if distances[nearest] < best:
            best, found = float(distances[nearest]), (nearest, row)
    return found


def _closed(points: _Points) -> Polygon:
    """Polygon of at least three corners."""
    return np.resize(points, (max(3, len(points)), 2)).astype(np.float64)


def _iou(mask: npt.NDArray[np.uint8], polygons: Sequence[Polygon]) -> float:
    rows, columns = mask.shape
    encoded = pycocotools.mask.frPyObjects([each.ravel().tolist() for each in polygons], rows, columns)
    drawn = pycocotools.mask.decode(pycocotools.mask.merge(encoded)) > 0
    return float((drawn & (mask > 0)).sum() / (drawn | (mask > 0)).sum())
