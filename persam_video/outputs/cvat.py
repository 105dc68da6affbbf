"""Labels in the format "CVAT for images 1.1"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from persam_video.drawing import overlay_palette
from persam_video.outputs.text import TextOutput
from persam_video.result import FrameResult
from persam_video.results.coco import Categories, name_of


class CvatOutput(TextOutput):
    """XML that CVAT imports as "CVAT 1.1" into a task of the same video or images: a mask per object and frame.

    The masks of an object have its id as their group. (A mask track of CVAT's video format would keep only its first
    frame.) Names of frames are those that CVAT gives the frames of a video, or the image files'.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._categories = Categories()

    def frame_texts(self, result: FrameResult) -> Sequence[str]:
        """See `TextOutput.frame_texts`."""
        assert self.video is not None, "the output is not open"
        name = f"{result.frame.name}{self.video.image_suffix}" if self.video.is_images else f"frame_{result.index:06d}"
        lines = [
            f'  <image id="{result.index}" name={quoteattr(name)} width="{result.frame.width}" '
            f'height="{result.frame.height}">'
        ]
        for i in result.object_ids:
            self._categories.number(result, i)
            box = result.box(i)
            if box is not None:
                x0, y0, x1, y1 = box
                runs = ", ".join(map(str, row_runs(result.label_map[y0:y1, x0:x1] == i)))
                lines.append(
                    f'    <mask label={quoteattr(name_of(result, i))} source="auto" occluded="0" rle="{runs}" '
                    f'left="{x0}" top="{y0}" width="{x1 - x0}" height="{y1 - y0}" z_order="0" group_id="{i}"/>'
                )
        return ["\n".join([*lines, "  </image>\n"])]

    def layout(self) -> Iterator[str | int]:
        """See `TextOutput.layout`."""
        colours = overlay_palette()
        yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        yield "  <meta><task><labels>\n"
        for number, name in self._categories.items():
            red, green, blue = colours[number % 256]
            yield f"    <label><name>{escape(name)}</name><color>#{red:02x}{green:02x}{blue:02x}</color>"
            yield "<type>mask</type><attributes></attributes></label>\n"
        yield "  </labels></task></meta>\n"
        yield 0
        yield "</annotations>\n"


def row_runs(mask: np.ndarray) -> list[int]:
    """Lengths of runs of background and object in turn, along the rows, the first one of background (it may be 0).

    Args:
        mask: bool, h×w.
    """
    edges = np.flatnonzero(np.diff(mask.ravel(), prepend=False)).tolist()
    return [int(each) for each in np.diff([0, *edges, mask.size])]
