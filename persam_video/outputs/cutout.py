"""Objects on a transparent background."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import cv2
import numpy as np

from persam_video.errors import InputError
from persam_video.files.json_file import shortened
from persam_video.frame import Image
from persam_video.outputs.folder import FolderOutput, encode_png
from persam_video.outputs.video import VideoOutput
from persam_video.result import FrameResult


class CutoutOutput(FolderOutput):
    """Folder of PNG files with transparency, ``<folder>/<frame name>.png``: objects with soft edges, straight alpha.

    Args:
        path: of the folder.
        objects: ids of the objects that are kept; None: all.
    """

    own = ("*.png",)

    def __init__(self, path: str | Path, *, objects: Collection[int] | None = None) -> None:
        super().__init__(path)
        self.objects = checked_objects(objects)

    def frame_files(self, result: FrameResult) -> Mapping[str, bytes]:
        """See `FolderOutput.frame_files`."""
        bgra = cv2.cvtColor(cutout(result, self.objects), cv2.COLOR_RGBA2BGRA)
        return {f"{result.frame.name}.png": encode_png(bgra)}


class CutoutVideoOutput(VideoOutput):
    """Video with transparency, of objects with soft edges: ProRes 4444 in .mov, or VP9 in .webm.

    Args:
        path: of the file.
        objects: ids of the objects that are kept; None: all.
    """

    has_alpha = True

    def __init__(self, path: str | Path, *, objects: Collection[int] | None = None) -> None:
        super().__init__(path)
        self.objects = checked_objects(objects)

    def image(self, result: FrameResult) -> Image:
        """See `VideoOutput.image`."""
        return cutout(result, self.objects)


def cutout(result: FrameResult, objects: Collection[int] | None = None) -> Image:
    """Objects of a frame on a transparent background, RGBA, uint8, H×W×4; black where nothing is left of them.

    Args:
        objects: ids of those that are kept; None: all.
    """
    alpha = np.rint(result.alpha(chosen(result, objects)) * 255).astype(np.uint8)
    rgba: Image = np.dstack((result.frame.image, alpha))
    rgba[alpha == 0] = 0
    return rgba


def checked_objects(objects: Collection[int] | None) -> tuple[int, ...] | None:
    """Ids of some objects; None: all.

    Raises:
        InputError: they are no ids.
    """
    if objects is None:
        return None
    is_list = isinstance(objects, Collection) and not isinstance(objects, (str, bytes))
    if not is_list or not all(isinstance(each, (int, np.integer)) for each in objects):
        raise InputError(f"objects are {shortened(objects)}; give a list of ids, such as [1, 3]")
    return tuple(map(int, objects))


def chosen(result: FrameResult, objects: Collection[int] | None) -> list[int]:
    """Ids of a result among those of some objects; None: all."""
    return [i for i in result.object_ids if objects is None or i in objects]
