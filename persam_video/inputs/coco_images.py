"""Image of a COCO file that is of a video's frame: by its name, as annotation programs change it, or its number."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from persam_video.errors import AnnotationError
from persam_video.files.json_file import shortened
from persam_video.messages import parameter

logger = logging.getLogger(__name__)


Key = str | tuple[str, int] | None
"""Id of an image, as text; of a frame of a video, the video's and its place; None: the file gives none to its image."""


@dataclass(frozen=True, slots=True)
class CocoImage:
    """Entry of an image.

    Args:
        key: its id, by which annotations name it.
        name: its file's name, with folders, or else its id.
        size: width and height in pixels; None: not known.
    """

    key: Key
    name: str
    size: tuple[int, int] | None = None

    @property
    def stem(self) -> str:
        """Name of the file that was annotated, without folder, suffix, and what programs add.

        Roboflow makes ``clip_mp4-0000_jpg.rf.0a1b2c.jpg`` of ``clip_mp4-0000.jpg``, Label Studio
        ``a1b2c3d4-frame_0.jpg`` of ``frame_0.jpg``.
        """
        name = _file_name(self.name)
        name = re.sub(
            r"_(?:jpe?g|png|bmp|webp|tiff?)\.rf\.[0-9A-Za-z]+$", "", _without_suffix(name), flags=re.IGNORECASE
        )
        return re.sub(r"^[0-9a-f]{8}-(?=.)", "", name)


def find_image(
    images: Sequence[CocoImage],
    frame_name: str,
    *,
    path: Path,
    chosen: str | int | None = None,
    frame_index: int | None = None,
    video_name: str = "",
    frame_count: int | None = None,
    is_named: bool = True,
) -> CocoImage:
    """Image of a frame: the chosen one; the only one; or that of the frame's name, or its number among all.

    Args:
        images: of the file, at least one.
        frame_name: name of the frame: of its image file, or its number.
        path: of the file, for messages.
        chosen: name or id of the image; None: none is chosen.
        frame_index: number of the frame in the video, from 0; None: that in its name.
        video_name: name of the video, without suffix; it tells the images of several videos apart.
        frame_count: of the whole video; None: unknown.
        is_named: whether the frame's name is that of its image file, not its number.

    Raises:
        AnnotationError: there is no such image, or it is not clear which one it is.
    """
    if chosen is not None:
        return _chosen(images, str(chosen), path)
    if len(images) == 1:
        return images[0]
    candidates = _of_video(images, video_name)
    numbers = _numbers([each.stem for each in candidates])
    by_number = {} if numbers is None else dict(zip(numbers, candidates, strict=True))
    counts_from_1 = sorted(by_number) == [*range(1, len(by_number) + 1)]
    name, stem = _file_name(frame_name), _without_suffix(_file_name(frame_name))
    for same in (
        [each for each in images if _file_name(each.name) == name],
        [each for each in images if _without_suffix(_file_name(each.name)) == stem],
        [each for each in images if each.stem.casefold() == stem.casefold()],
    ):
        of_video = _of_video(same, video_name)
        # The name of a video's frame is its number, from 0.
        if len(of_video) == 1 and (is_named or not counts_from_1):
            return of_video[0]
    digits = re.search("[0-9]{1,9}$", stem)
    named = None if digits is None else int(digits[0])
    index = named if frame_index is None else frame_index
    if by_number:
        if named is not None and named != index and named in by_number:  # both count as the files do
            return by_number[named]
        if index is not None and (found := _of_number(by_number, index, path, frame_count)):
            return found
    elif index is not None and frame_count == len(candidates) and index < len(candidates):
        return _taken(candidates[index], index, "in the order of the file", path)
    raise AnnotationError(
        f"{path}: holds no image {frame_name}; it holds {some_names(images)}: choose one with {parameter('coco_image')}"
    )


def _chosen(images: Sequence[CocoImage], chosen: str, path: Path) -> CocoImage:
    for same in (
        [each for each in images if each.name == chosen],
        [each for each in images if _file_name(each.name) == chosen],
        [each for each in images if chosen in (each.key, _without_suffix(_file_name(each.name)), each.stem)],
    ):
        if len(same) == 1:
            return same[0]
        if same:
            raise AnnotationError(
                f"{path}: holds {len(same)} images {chosen}: {some_names(same)}; give the whole name of one"
            )
    what = parameter("coco_image", chosen)
    raise AnnotationError(f"{path}: holds no image of {what}; it holds {some_names(images)}")


def _of_number(images: Mapping[int, CocoImage], index: int, path: Path, frame_count: int | None) -> CocoImage | None:
    """Image of a frame among images by number; None: there is none, or they may begin with 0 or with 1."""
    if min(images) != 1:
        if index == 0 or index not in images:
            return images.get(index)
        return _taken(images[index], index, "by its number", path)
    if index + 1 in images and (index == 0 or max(images) == frame_count):
        return _taken(images[index + 1], index, "as the images are counted from 1", path)
    return None


def _taken(image: CocoImage, index: int, reason: str, path: Path) -> CocoImage:
    logger.warning(f"{path}: {shortened(image.name)} is taken for frame {index}, {reason}")
    return image


def _numbers(stems: Sequence[str]) -> list[int] | None:
    """Numbers that names count, all else in them being equal; None: they do not."""
    parts = [re.split("([0-9]+)", stem) for stem in stems]
    if len({(len(each), *each[::2]) for each in parts}) > 1:
        return None
    changing = [place for place in range(1, len(parts[0]), 2) if len({int(each[place]) for each in parts}) > 1]
    if len(changing) != 1:
        return None
    numbers = [int(each[changing[0]]) for each in parts]
    return numbers if len(set(numbers)) == len(numbers) else None


def _of_video(images: Sequence[CocoImage], video_name: str) -> Sequence[CocoImage]:
    """Those of images that have the name of the video in theirs; all, if none has."""
    wanted = _letters(video_name)
    return [each for each in images if wanted and wanted in _letters(each.name)] or images


def _letters(name: str) -> str:
    """Letters and digits of a name, by which programs leave it: ``my clip.mp4`` becomes ``my_clip_mp4``."""
    return re.sub(r"[\W_]+", "", name).casefold()


def _file_name(name: str) -> str:
    """Name of a file without folders, of this or another system."""
    return re.split(r"[/\\]", name)[-1]


def _without_suffix(name: str) -> str:
    return re.sub(r"(?<=.)\.[A-Za-z]{1,5}$", "", name)


def some_names(images: Sequence[CocoImage]) -> str:
    return ", ".join(shortened(each.name) for each in images[:3]) + (", …" if len(images) > 3 else "")
