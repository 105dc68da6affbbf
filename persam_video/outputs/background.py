"""Video with another background, or with the objects hidden."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Generator
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from persam_video.errors import InputError
from persam_video.files.images import IMAGE_SUFFIXES, read_image
from persam_video.files.json_file import shortened
from persam_video.frame import Image
from persam_video.outputs.cutout import checked_objects, chosen
from persam_video.outputs.video import VideoOutput
from persam_video.result import FrameResult
from persam_video.video.reader import VideoInfo, open_video

BACKGROUNDS = ("blur", "grey")
"""``gray`` is understood, too."""
HIDINGS = ("pixelate", "blur", "grey")

_BLUR = 24
"""Part of the longer side over which is blurred, as its standard deviation: nothing can be read any more."""
_BLOCKS = 32
"""Along the longer side of a pixelated image."""
_SPREAD = 80
"""Part of the longer side by which hidden objects are grown, so that no edge of them is left."""

_FloatArray = npt.NDArray[np.float32]
_Fill = Callable[[Image, _FloatArray], Image]  # of a frame's image, and the share of each pixel that objects cover


class BackgroundOutput(VideoOutput):
    """Video of the objects, with soft edges, in front of another background; timing and sound are the original's.

    Args:
        path: of the file (.mp4, .mov, .mkv).
        background: ``blur`` or ``grey``: the original, blurred or without colours; a colour, ``#00ff00``; or a picture
            or video file, scaled to cover the frame; a video begins anew when it ends.
        objects: ids of the objects that are kept; None: all.
    Raises:
        InputError: there is no such background.
    """

    def __init__(
        self, path: str | Path, background: str | Path = "blur", *, objects: Collection[int] | None = None
    ) -> None:
        super().__init__(path)
        self.objects = checked_objects(objects)
        background = "grey" if background == "gray" else background
        self._background = background
        if _colour(background) is None and str(background) not in BACKGROUNDS and not Path(background).exists():
            raise InputError(
                f"there is no background {shortened(str(background))!r}; give {', '.join(BACKGROUNDS)}, a colour such "
                "as #00ff00, or a picture, a video file or a folder of images"
            )
        self._fill: _Fill | None = None
        self.inputs = [Path(background)] if Path(background).exists() else []
        """Files that are read."""

    def open(self, video: VideoInfo, *, overwrite: bool) -> None:
        """See `Output.open`."""
        self._fill = _filled_by(self._background, video)
        super().open(video, overwrite=overwrite)

    def image(self, result: FrameResult) -> Image:
        """See `VideoOutput.image`."""
        assert self._fill is not None, "the output is not open"
        alpha = result.alpha(chosen(result, self.objects))
        return _mixed(result.frame.image, self._fill(result.frame.image, alpha), alpha)


class HiddenOutput(VideoOutput):
    """Video in which the objects cannot be recognised; timing and sound are the original's.

    They are hidden a little beyond their masks.

    Args:
        path: of the file (.mp4, .mov, .mkv).
        how: ``pixelate``, ``blur``, ``grey`` (one grey) or a colour, ``#000000``.
        objects: ids of the objects that are hidden; None: all.
    Raises:
        InputError: there is no such way.
    """

    def __init__(self, path: str | Path, how: str = "pixelate", *, objects: Collection[int] | None = None) -> None:
        super().__init__(path)
        self.objects = checked_objects(objects)
        how = "grey" if how == "gray" else how
        self._how = "#808080" if how == "grey" else how
        if how not in HIDINGS and _colour(how) is None:
            raise InputError(
                f"objects cannot be hidden by {shortened(how)!r}; give {', '.join(HIDINGS)} or a colour such as #000000"
            )

    def image(self, result: FrameResult) -> Image:
        """See `VideoOutput.image`."""
        image = result.frame.image
        mask = np.isin(result.label_map, chosen(result, self.objects)).astype(np.uint8)
        side = 2 * max(1, max(mask.shape) // _SPREAD) + 1
        grown = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
        cover = _pixelated(image) if self._how == "pixelate" else _original_or_colour(self._how, image)
        return np.where(grown[..., None] > 0, cover, image)


def _colour(value: str | Path) -> tuple[int, int, int] | None:
    """RGB of ``#rrggbb`` or ``#rgb``; None: it is no colour."""
    if re.fullmatch("#[0-9a-fA-F]{3}", str(value)):
        value = "#" + "".join(2 * digit for digit in str(value)[1:])
    found = re.fullmatch("#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", str(value))
    return None if found is None else (int(found[1], 16), int(found[2], 16), int(found[3], 16))


def _filled_by(background: str | Path, video: VideoInfo) -> _Fill:
    """Function of a frame's image that returns its background."""
    if str(background) in BACKGROUNDS or _colour(background) is not None:
        return lambda image, alpha: _original_or_colour(str(background), image, alpha)
    path, size = Path(background), (video.width, video.height)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        picture = _covering(read_image(path), *size)
        return lambda *_: picture
    frames = _frames(path, *size)
    all_frames = chain([next(frames)], frames)  # what is no video is refused here
    return lambda *_: next(all_frames)


def _frames(path: Path, width: int, height: int) -> Generator[Image, None, None]:
    """Frames of a video, again and again."""
    while True:
        with open_video(path) as reader:
            for frame in reader:
                yield _covering(frame.image, width, height)


def _original_or_colour(name: str, image: Image, alpha: _FloatArray | None = None) -> Image:
    """Image in one colour, without colours, or blurred."""
    colour = _colour(name)
    if colour is not None:
        return np.broadcast_to(np.array(colour, np.uint8), image.shape)
    if name == "grey":
        return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    return _blurred(image, alpha)


def _blurred(image: Image, alpha: _FloatArray | None) -> Image:
    """Image without detail; at a smaller size, as large blurs are slow.

    Args:
        alpha: share of each pixel that does not count: the colours of objects do not run into their background.
    """
    height, width = image.shape[:2]
    factor = max(1, max(height, width) // 256)
    size = (max(1, width // factor), max(1, height // factor))
    weight = np.full((height, width), 1.0, np.float32) if alpha is None else np.maximum(1 - alpha, 1e-4)
    sums = np.dstack((image * weight[..., None], weight)).astype(np.float32)
    small = cv2.resize(sums, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(small.shape) / _BLUR / 2)
    blurred = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(blurred[..., :3] / blurred[..., 3:], 0, 255), np.uint8)


def _pixelated(image: Image) -> Image:
    height, width = image.shape[:2]
    block = max(2, max(height, width) // _BLOCKS)
    size = (max(1, -(-width // block)), max(1, -(-height // block)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def _covering(image: Image, width: int, height: int) -> Image:
    """Image scaled and cut to a size."""
    scale = max(width / image.shape[1], height / image.shape[0])
    scaled = (max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(image, scaled, interpolation=interpolation)
    left, top = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    return np.ascontiguousarray(resized[top : top + height, left : left + width])


def _mixed(front: Image, behind: Image, alpha: _FloatArray) -> Image:
    """Two images by the share of the first."""
    share = alpha[..., None]
    return np.asarray(np.rint(front * share + behind * (1 - share)), np.uint8)
