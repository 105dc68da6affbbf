"""What a frame in which objects are given might as well have looked like: mirrored, or seen from farther away.

A place's features depend on where in the picture it is and how large things are. What is learned from two views is more
of the objects and less of the one picture, and a view that was not learned from tells what is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from persam_video.frame import Image


@dataclass(frozen=True, eq=False, slots=True)
class View:
    """A picture and the objects in it.

    Args:
        image: RGB, uint8, H×W×3.
        masks: bool, N×H×W, on the CPU.
        ignored: bool, H×W, on the CPU: what is neither object nor background.
    """

    image: Image
    masks: Tensor
    ignored: Tensor

    def mirrored(self) -> View:
        """Left and right exchanged."""
        return View(np.ascontiguousarray(self.image[:, ::-1]), self.masks.flip(-1), self.ignored.flip(-1))

    def smaller(self, factor: float) -> View:
        """Everything smaller by a factor, 0 to 1, in a picture of the same size: around it, it is mirrored."""
        height, width = self.image.shape[:2]
        rows, columns = max(1, round(factor * height)), max(1, round(factor * width))
        image = np.asarray(cv2.resize(self.image, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
        y, x = _mirrored_around(rows, height), _mirrored_around(columns, width)
        from_y, from_x = (
            torch.from_numpy((2 * at + 1) * size // (2 * inner))  # the pixel in which the small one's centre is
            for at, size, inner in ((y, height, rows), (x, width, columns))
        )
        return View(image[y][:, x], self.masks[:, from_y][:, :, from_x], self.ignored[from_y][:, from_x])


def _mirrored_around(inner: int, outer: int) -> npt.NDArray[np.int64]:
    """Which of ``inner`` places each of ``outer`` shows, where the inner ones are in the middle."""
    before = (outer - inner) // 2
    return np.pad(np.arange(inner), (before, outer - inner - before), mode="symmetric")
