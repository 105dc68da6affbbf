"""Labels in the format of YOLO's instance segmentation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from persam_video.outputs.folder import FolderOutput, encode_jpeg
from persam_video.outputs.polygons import centre_polygons
from persam_video.result import FrameResult
from persam_video.results.coco import Categories


class YoloOutput(FolderOutput):
    """Dataset for training a YOLO segmentation model: ``data.yaml``, ``images/train`` and ``labels/train``.

    A line is a class and a polygon, in shares of the image's width and height. Classes are the objects' names: the
    format has no ids. A hole, or a part that lies apart, is joined to the outline by a line there and back; where that
    would change the mask, the parts have lines of their own (`centre_polygons`).
    """

    own = ("data.yaml", "images/train/*.jpg", "labels/train/*.txt")

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._classes = Categories(first=0)

    def frame_files(self, result: FrameResult) -> Mapping[str, bytes]:
        """See `FolderOutput.frame_files`."""
        height, width = result.label_map.shape
        lines = []
        for i in result.object_ids:
            number = self._classes.number(result, i)
            for polygon in centre_polygons(result.label_map, i):
                numbers = " ".join(f"{each:.6f}" for each in (polygon / (width, height)).ravel())
                lines.append(f"{number} {numbers}\n")
        name = result.frame.name
        return {
            f"images/train/{name}.jpg": encode_jpeg(result.frame.image),
            f"labels/train/{name}.txt": "".join(lines).encode(),
        }

    def last_lines(self) -> Mapping[str, str]:
        """See `FolderOutput.last_lines`."""
        names = "".join(
            f"  {number}: {json.dumps(name, ensure_ascii=False)}\n" for number, name in self._classes.items()
        )
        return {"data.yaml": f"path: .  # this folder\ntrain: images/train\nval: images/train\nnames:\n{names}"}
