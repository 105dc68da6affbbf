"""Table of all objects in all frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

import cv2

from persam_video.outputs.text import TextOutput
from persam_video.result import FrameResult

COLUMNS = ("frame", "seconds", "id", "name", "score", "visible", "x", "y", "w", "h", "area", "cx", "cy")


class CsvOutput(TextOutput):
    """Comma-separated values: a row for each object in each frame (`COLUMNS`).

    ``x, y, w, h`` is the mask's box, ``area`` its number of pixels and ``cx, cy`` its centroid, in pixels from the
    upper left corner of the image; they are empty where the object is absent.
    """

    def frame_texts(self, result: FrameResult) -> Sequence[str]:
        """See `TextOutput.frame_texts`."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        seconds = result.frame.time_seconds
        for i in result.object_ids:
            known = [result.index, seconds, i, result.names.get(i), round(result.scores[i], 6), int(result.visible[i])]
            rows.writerow([*known, *_measures(result, i)])
        return [text.getvalue()]

    def layout(self) -> Iterator[str | int]:
        """See `TextOutput.layout`."""
        yield ",".join(COLUMNS) + "\n"
        yield 0


def _measures(result: FrameResult, object_id: int) -> list[float | None]:
    """Box, area and centroid of a mask."""
    box = result.box(object_id)
    if box is None:
        return [None] * 7
    x0, y0, x1, y1 = box
    mask = cv2.inRange(result.label_map[y0:y1, x0:x1], object_id, object_id)
    moments = cv2.moments(mask, binaryImage=True)
    area = moments["m00"]
    centroid = (x0 + moments["m10"] / area + 0.5, y0 + moments["m01"] / area + 0.5)
    return [x0, y0, x1 - x0, y1 - y0, int(area), *(round(each, 2) for each in centroid)]
