"""Labels in the formats of KITTI MOTS and MOTChallenge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from persam_video.errors import OutputError
from persam_video.outputs.folder import FolderOutput, encode_png
from persam_video.result import FrameResult
from persam_video.results.coco import name_of
from persam_video.results.run_lengths import encode_mask

_KNOWN_CLASSES = {"car": 1, "pedestrian": 2, "person": 2}
_IGNORED_CLASS = 10
_FIRST_CLASS = 3
_MAX_CLASS = 65


class MotsOutput(FolderOutput):
    """Multi-object tracking and segmentation: ``instances/``, ``instances.txt``, ``boxes.txt`` and ``classes.txt``.

    The PNGs ``instances/000000.png``, of 16 bits, and ``instances.txt`` are as those of KITTI MOTS: a pixel's value is
    1000 × class + id, and a line is a frame (from 0), the same number, the class, the image's height and width, and
    COCO's compressed run lengths. ``boxes.txt`` has MOTChallenge's results: frames and pixels count from 1. Classes are
    the objects' names: car is 1, pedestrian or person 2, as in KITTI, others follow from 3 on (not 10, KITTI's ignore);
    ``classes.txt`` lists them.
    """

    own = ("instances.txt", "boxes.txt", "classes.txt", "instances/*.png")

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._classes: dict[str, int] = {}

    def frame_files(self, result: FrameResult) -> Mapping[str, bytes]:
        """See `FolderOutput.frame_files`."""
        values = np.zeros(256, np.uint16)
        for i in result.object_ids:
            values[i] = 1000 * self._class(name_of(result, i)) + i
        return {f"instances/{result.index:06d}.png": encode_png(values[result.label_map])}

    def frame_lines(self, result: FrameResult) -> Mapping[str, str]:
        """See `FolderOutput.frame_lines`."""
        height, width = result.label_map.shape
        instances, boxes = [], []
        for i in result.object_ids:
            encoded = encode_mask(result.label_map, i)
            if encoded is not None:
                number = self._class(name_of(result, i))
                instances.append(f"{result.index} {1000 * number + i} {number} {height} {width} {encoded.counts}\n")
                x, y, w, h = encoded.box
                boxes.append(f"{result.index + 1},{i},{x + 1},{y + 1},{w},{h},{result.scores[i]:.4f},-1,-1,-1\n")
        return {"instances.txt": "".join(instances), "boxes.txt": "".join(boxes)}

    def last_lines(self) -> Mapping[str, str]:
        """See `FolderOutput.last_lines`."""
        return {"classes.txt": "".join(f"{number} {name}\n" for name, number in self._classes.items())}

    def _class(self, name: str) -> int:
        """Number of an object's class."""
        if name not in self._classes:
            used = {*self._classes.values(), _IGNORED_CLASS}
            free = (number for number in range(_FIRST_CLASS, _MAX_CLASS + 1) if number not in used)
            number = _KNOWN_CLASSES.get(name.lower()) or next(free, None)
            if number is None:
                raise OutputError(
                    f"{self.path}: MOTS has room for {_MAX_CLASS} classes only; give objects of a kind the same name"
                )
            self._classes[name] = number
        return self._classes[name]
